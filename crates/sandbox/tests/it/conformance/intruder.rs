//! A hostile image, whose agent is its root: what that is worth.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::agent::{obedient, obedient_script, run, run_words};
use super::images::{image_of, refused, top_of};
use super::table;
use super::world::World;

pub(crate) async fn root_in_an_image_gains_no_power(world: World) {
    let mut spec = world.spec(&obedient_script());
    let top = top_of(&mut spec);
    fs::copy("/usr/bin/id", top.join("app/id")).unwrap();
    if world.has_users() {
        chown(top.join("app/id"), Some(1000), Some(1000)).unwrap();
    }
    fs::set_permissions(top.join("app/id"), Permissions::from_mode(0o6755)).unwrap();
    let sandbox = world.launch_ready(spec).await;
    let none = "0".repeat(16);
    let powers = "[line.split()[1] for line in open('/proc/self/status') if line.startswith(('Cap', 'NoNewPrivs'))]";
    let expected = [&none, &none, &none, &none, &none, "1"];
    assert_eq!(run_words(&sandbox, powers).await, expected);
    // Nor has what it starts: to a root user, exec gives everything that it may have.
    let child = format!(
        "json.loads(subprocess.run(['python3', '-c', \"import json; print(json.dumps({}))\"], capture_output=True, text=True).stdout)",
        powers.replace('\'', "\\'")
    );
    assert_eq!(run_words(&sandbox, &child).await, expected);
    assert_eq!(run(&sandbox, "subprocess.run(['/app/id', '-u'], capture_output=True, text=True).stdout").await, "0\n");
    let attempts = r"
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    return 'done' if libc[name](*arguments) >= 0 else errno.errorcode[ctypes.get_errno()]
open('/tmp/own', 'w').close()
result = [attempt(os.chown, '/tmp/own', 5, -1), attempt(os.chown, '/tmp/own', -1, 5), attempt(os.setuid, 5), attempt(os.setresuid, 5, 5, 5),
    attempt(os.setgid, 5), attempt(os.setgroups, [5]), attempt(os.chroot, '/tmp'), attempt(os.mknod, '/tmp/device', 0o20666, 0x103),
    call('mount', b'none', b'/tmp', b'tmpfs', 0, None), call('umount2', b'/proc', 2), call('unshare', 0x10000000), call('unshare', 0x20000),
    call('sethostname', b'x', 1), call('setns', 0, 0), call('pivot_root', b'/', b'/tmp') if hasattr(libc, 'pivot_root') else 'EPERM',
    call('mount', None, b'/proc/sys', None, 0x20 | 0x1000, None), call('reboot', 0), attempt(os.setpriority, 0, 0, -20)]
";
    for answer in run_words(&sandbox, attempts).await {
        assert!(["EPERM", "EACCES", "EINVAL", "ENOSYS"].contains(&answer.as_str()), "{answer}");
    }
    let user = table::status(sandbox.agent_pid().unwrap(), "Uid").unwrap();
    let is_nobody = if world.has_users() { user >= 0x7000_0000 } else { user == rustix::process::geteuid().as_raw() };
    assert!(is_nobody && user != 0, "{user}");
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn root_in_an_image_does_not_reach_the_sidecar(world: World) {
    let sandbox = obedient(&world).await;
    let sidecar = world.sidecar_pid(&sandbox);
    let before = fs::read(format!("/proc/{sidecar}/limits")).unwrap();
    if world.has_users() {
        assert_ne!(table::status(sidecar, "Uid"), table::status(sandbox.agent_pid().unwrap(), "Uid"));
        assert_ne!(table::status(sidecar, "Gid"), table::status(sandbox.agent_pid().unwrap(), "Gid"));
    }
    // The signals, memory and descriptors: the_sidecar_is_pid_1_and_out_of_reach. Here what a user may do to its own processes.
    let touches = r"
def write(name): return os.write(os.open(f'/proc/1/{name}', os.O_WRONLY), b'1')
result = [attempt(write, name) for name in ('mem', 'oom_score_adj', 'comm', 'clear_refs', 'coredump_filter', 'timerslack_ns')]
result += [attempt(os.listdir, '/proc/1'), attempt(os.listdir, '/proc/1/task'), attempt(os.stat, '/proc/1/cwd/ctl.sock')]
";
    let seen = run_words(&sandbox, touches).await;
    assert!(seen.iter().all(|error| ["EACCES", "EPERM", "ENOENT"].contains(&error.as_str())), "{seen:?}");
    assert_eq!(run(&sandbox, "'1' in os.listdir('/proc')").await, false);
    if world.has_users() {
        let settings = "[attempt(resource.prlimit, 1, resource.RLIMIT_NOFILE, (1, 1)), attempt(os.setpriority, os.PRIO_PROCESS, 1, 19), \
                        attempt(os.sched_setaffinity, 1, {0}), attempt(os.sched_setscheduler, 1, os.SCHED_IDLE, os.sched_param(0))]";
        let settings = settings.replace("attempt(resource.prlimit", "permitted(resource.prlimit");
        let settings = format!(
            "def permitted(action, *arguments):\n try: return attempt(action, *arguments)\n except (PermissionError, ValueError): return 'EPERM'\n\
             result = {settings}"
        );
        assert_eq!(run_words(&sandbox, &settings).await, ["EPERM"; 4]);
    }
    assert_eq!(fs::read(format!("/proc/{sidecar}/limits")).unwrap(), before);
    assert_eq!(run(&sandbox, "1 + 1").await, 2, "it is still there");
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn root_in_an_image_writes_no_switch_and_makes_no_device(world: World) {
    let sandbox = obedient(&world).await;
    // Those of the network namespace belong to its root.
    let writes = r"
switches = [os.path.join(d, f) for top in ('/proc/sys', '/proc/irq', '/proc/bus', '/proc/fs') for d, _, files in os.walk(top) for f in files]
switches += ['/proc/sysrq-trigger', '/proc/kcore', '/proc/timer_list']
def write(path):
    with open(path, 'r+b', buffering=0): return 'opened'
answers = [(path, attempt(write, path)) for path in switches]
result = [len(answers) > 100, [answer for answer in answers if answer[1] == 'opened' and not os.path.samefile(answer[0], '/dev/null')]]
";
    assert_eq!(run(&sandbox, writes).await, json!([true, []]));
    let makes = r"
def make(path): return os.close(os.open(path, os.O_WRONLY | os.O_CREAT))
places = ('/proc', '/proc/sys', '/proc/self', '/sys', '/dev', '/proc/acpi')
result = [attempt(make, place + '/new') for place in places] + [attempt(os.mkdir, place + '/newer') for place in places]
result += [attempt(os.chmod, place, 0o777) for place in ('/proc', '/proc/sys', '/sys', '/dev')]
result += [attempt(os.rename, place, place + '2') for place in ('/proc', '/sys', '/dev')]
result += [attempt(os.mknod, f'/tmp/{name}', 0o60600, number) for name, number in (('disk', 0xfe00), ('memory', 0x101))]
";
    let refused = ["EACCES", "EPERM", "EROFS", "ENOENT", "EBUSY", "EXDEV", "ENOSPC"];
    for answer in run_words(&sandbox, makes).await {
        assert!(refused.contains(&answer.as_str()), "{answer}");
    }
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn links_in_an_image_lead_nowhere_else(world: World) {
    let out = "../../../../../../../..";
    let goal = world.path().join("code-goal");
    fs::create_dir(&goal).unwrap();
    fs::set_permissions(&goal, Permissions::from_mode(0o777)).unwrap();
    let on_host = goal.strip_prefix("/").unwrap();
    let mut spec = world.spec(&obedient_script());
    let top = top_of(&mut spec);
    fs::rename(top.join("etc"), top.join("real-etc")).unwrap();
    for name in ["proc", "sys", "dev", "etc"] {
        symlink(PathBuf::from(out).join(on_host), top.join(name)).unwrap();
    }
    // The way out, which is one back in.
    symlink(PathBuf::from(out).join(on_host), top.join("work")).unwrap();
    fs::create_dir_all(top.join(on_host)).unwrap();
    image_of(&mut spec).working_directory = PathBuf::from("/work/made");
    Arc::make_mut(&mut spec.bundle).argv[3] = "/app/main.py".to_owned();
    let sandbox = world.launch_ready(spec).await;
    assert_eq!(
        run_words(&sandbox, "[os.getcwd(), str(os.listdir('/sys'))]").await,
        [format!("/{}/made", on_host.display()), "[]".to_owned()]
    );
    assert_eq!(run(&sandbox, "sorted(os.listdir('/etc'))").await, json!(["hostname", "hosts", "resolv.conf"]));
    sandbox.kill(Duration::ZERO).await;
    assert_eq!(fs::read_dir(&goal).unwrap().count(), 0);

    // What the sidecar holds open has names too.
    for n in 3..24 {
        for place in [format!("/proc/self/fd/{n}"), format!("/proc/1/fd/{n}"), "/link".to_owned()] {
            let mut spec = world.spec("");
            symlink(format!("/proc/self/fd/{n}"), top_of(&mut spec).join("link")).unwrap();
            image_of(&mut spec).working_directory = PathBuf::from(&place);
            assert_eq!(refused(&world, spec).await, format!("working directory {place} is no directory"));
        }
    }
}

pub(crate) async fn programs_and_interpreters_of_an_image_come_from_it(world: World) {
    for n in 3..24 {
        let program = format!("/proc/self/fd/{n}/run");
        for is_interpreter in [false, true] {
            let mut spec = world.spec("");
            // The sidecar holds the directory of the output open, which is the host's.
            let logs = world.path().join("logs").join(spec.sandbox.as_str());
            DirBuilder::new().recursive(true).mode(0o700).create(&logs).unwrap();
            fs::copy("/usr/bin/true", logs.join("run")).unwrap();
            let script = top_of(&mut spec).join("app/script");
            fs::write(&script, format!("#!{program}\n")).unwrap();
            fs::set_permissions(&script, Permissions::from_mode(0o755)).unwrap();
            let argv = if is_interpreter { "/app/script".to_owned() } else { program.clone() };
            Arc::make_mut(&mut spec.bundle).argv = vec![argv];
            let message = refused(&world, spec).await;
            assert!(message.starts_with("could not execute /"), "{message}");
        }
    }
}
