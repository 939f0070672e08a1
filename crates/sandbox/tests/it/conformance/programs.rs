//! Programs beside an agent: what they have of it, what passes, and that nothing of them is left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use innkeep_sandbox::driver::Sandbox;
use innkeep_sandbox::exec::{Error, Exec, ExecExit, ExecProgram, ExecSpec, ExecStreams, TerminalSize};
use innkeep_testkit::wait_for;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::agent::{obedient, run, run_words};
use super::world::{SOON, World};

pub(crate) async fn a_program_has_what_the_agent_has_and_three_descriptors(world: World) {
    let sandbox = obedient(&world).await;
    let same = [
        "sorted(set(os.environ.items()) - {('LC_CTYPE', os.environ.get('LC_CTYPE'))})",
        "os.getcwd()",
        "[*os.getresuid(), *os.getresgid(), *sorted(os.getgroups())]",
        "[line for line in open('/proc/self/status') if line[:3] in ('Cap', 'NoN', 'Sig') and line[:6] not in ('SigCgt', 'SigQ:\t')]",
        "open('/proc/self/limits').read()",
        "[os.umask(0o22), os.stat('/').st_ino]",
        "[os.readlink('/proc/self/ns/' + name) for name in ('user', 'mnt', 'pid', 'net', 'ipc', 'uts', 'cgroup')]",
        "open('/proc/self/oom_score_adj').read()",
        "open('/proc/self/cgroup').read()",
    ];
    for what in same {
        let printed = python(&sandbox, &format!("import json, os; print(json.dumps({what}))")).await;
        assert_eq!(run(&sandbox, what).await, serde_json::from_str::<serde_json::Value>(&printed).unwrap(), "{what}");
    }
    // The fourth is the listing itself.
    assert_eq!(
        python(&sandbox, "import os; print(sorted(os.listdir('/proc/self/fd')))").await,
        "['0', '1', '2', '3']\n"
    );
    assert_eq!(python(&sandbox, "import os; print(os.getsid(0) == os.getpgid(0) == os.getpid())").await, "True\n");
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn a_program_is_filtered_like_the_agent(world: World) {
    let sandbox = obedient(&world).await;
    // Besides the walls' own, the agent has that of its binds.
    let filters = "[line for line in open('/proc/self/status') if line.startswith('Seccomp')]";
    let of_agent = run_words(&sandbox, filters).await;
    let of_program = python(&sandbox, &format!("print(*{filters}, sep='', end='')")).await;
    assert_eq!(of_agent[0], "Seccomp:\t2\n");
    assert!(of_program.starts_with("Seccomp:\t2\nSeccomp_filters:\t1\n"), "{of_program}");
    for write in ["/usr/x", "/etc/x", "/proc/sys/kernel/hostname", "/sys/x"] {
        let attempt = format!("attempt(open, {write:?}, 'w') and 1");
        let tried = format!(
            "import errno\ntry: open({write:?}, 'w')\nexcept OSError as e: print(errno.errorcode[e.errno], end='')"
        );
        let by_agent = run(&sandbox, &format!("import builtins\nresult = attempt(open, {write:?}, 'w')\nresult = result if isinstance(result, str) else ''")).await;
        assert_eq!(by_agent.as_str().unwrap(), python(&sandbox, &tried).await, "{attempt}");
    }
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn an_agent_reaches_no_warden(world: World) {
    if !world.has_users() {
        println!("not tested: without users of its own only landlock stands before it");
        return;
    }
    let sandbox = obedient(&world).await;
    let mut exec = sandbox.exec(python_spec("print('up', flush=True)\ninput()\nprint('done')")).await.unwrap();
    read_until(&mut exec, "up\n").await;
    // The program is another of the agent's user's: landlock, where there is its scope, keeps that too.
    let attempts = "result = [attempt(os.kill, pid, signal.SIGKILL) for pid in range(2, 400) if pid != os.getpid()]";
    run(&sandbox, attempts).await;
    let ExecStreams::Pipes { stdin, .. } = &mut exec.streams else { panic!() };
    let _ = stdin.take().unwrap().write_all(b"go\n").await;
    let exit = timeout(SOON, exec.wait()).await.unwrap();
    assert!(matches!(exit, ExecExit::Exited(0) | ExecExit::Signalled(9)), "its end was told: {exit:?}");
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn what_a_program_reads_and_writes_passes(world: World) {
    let sandbox = obedient(&world).await;
    let mut spec = python_spec(
        "import os, sys\nprint(sys.stdin.read().upper() + os.environ['MORE'], end='', flush=True)\nsys.stderr.write('!' * 300000)\n\
         open('/dev/stdout', 'w').write('by name')\nsys.exit(7)",
    );
    spec.environment.insert("MORE".to_owned(), "more".to_owned());
    let (stdout, stderr, exit) = finish(sandbox.exec(spec).await.unwrap(), b"typed ").await;
    assert_eq!((stdout.as_str(), stderr.len(), exit), ("TYPED moreby name", 300_000, ExecExit::Exited(7)));
    // One that is as long as a command may be, and of what JSON makes six bytes each.
    let long = "\u{1}".repeat(64 * 1024);
    let mut spec = python_spec("import sys\nprint(len(sys.argv[1]))");
    spec.arguments.push(long);
    assert_eq!(finish(sandbox.exec(spec).await.unwrap(), b"").await.0, "65536\n");
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn a_program_ends_with_all_that_it_started(world: World) {
    let sandbox = obedient(&world).await;
    let n_before = world.processes();
    // A child, one that has no parent any more, and one of a session of its own.
    let tree = "import os, subprocess, sys, time\n\
                os.setsid = getattr(os, 'setsid')\n\
                def nap(away):\n if os.fork() == 0:\n  if away:\n   os.setsid()\n   if os.fork(): os._exit(0)\n  time.sleep(999)\n\
                nap(False); nap(True); nap(True)\nprint('up', flush=True)\n";
    let ends = [("time.sleep(999)", ExecExit::Signalled(9)), ("sys.exit(3)", ExecExit::Exited(3))];
    for (last, expected) in ends {
        let mut exec = sandbox.exec(python_spec(&format!("{tree}{last}"))).await.unwrap();
        read_until(&mut exec, "up\n").await;
        if expected == ExecExit::Signalled(9) {
            exec.kill();
        }
        assert_eq!(timeout(SOON, exec.wait()).await.unwrap(), expected);
        assert_eq!(world.processes(), n_before, "{last}");
    }
    // Nobody waits for it, and nobody is told.
    let mut exec = sandbox.exec(python_spec(&format!("{tree}time.sleep(999)"))).await.unwrap();
    read_until(&mut exec, "up\n").await;
    assert!(world.processes() > n_before);
    drop(exec);
    wait_for("the end of all", SOON, || world.processes() == n_before).await;
    assert_eq!(run(&sandbox, "'the agent lives'").await, "the agent lives");
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn what_a_program_leaves_may_finish_its_words(world: World) {
    let sandbox = obedient(&world).await;
    let script = "import os, time\nif os.fork() == 0:\n time.sleep(0.03)\n print('late', flush=True)\n";
    let (stdout, _, exit) = finish(sandbox.exec(python_spec(script)).await.unwrap(), b"").await;
    assert_eq!((stdout.as_str(), exit), ("late\n", ExecExit::Exited(0)));
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn programs_end_with_their_sandbox(world: World) {
    let sandbox = obedient(&world).await;
    let mut exec = sandbox.exec(python_spec("import time\nprint('up', flush=True)\ntime.sleep(999)")).await.unwrap();
    read_until(&mut exec, "up\n").await;
    sandbox.kill(Duration::ZERO).await;
    timeout(SOON, exec.wait()).await.unwrap();
    assert_eq!(world.processes(), 0);
    assert!(matches!(sandbox.exec(python_spec("")).await, Err(Error::Gone(_))));
}

pub(crate) async fn a_program_dies_with_the_sidecar(world: World) {
    let sandbox = obedient(&world).await;
    let mut exec = sandbox.exec(python_spec("import time\nprint('up', flush=True)\ntime.sleep(999)")).await.unwrap();
    read_until(&mut exec, "up\n").await;
    world.kill_sidecar(&sandbox);
    assert_eq!(timeout(SOON, exec.wait()).await.unwrap(), ExecExit::SandboxGone);
    wait_for("the end of all", SOON, || world.processes() == 0).await;
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn what_cannot_be_run_is_refused_in_words(world: World) {
    let sandbox = obedient(&world).await;
    let named = |name: &str| ExecSpec { program: ExecProgram::Named(name.to_owned()), ..python_spec("") };
    for (spec, words) in [
        (named("/no/such/program"), "could not execute /no/such/program"),
        (named("no-such-program"), "it is in no directory of PATH"),
        (named("/proc"), "is it executable"),
        (python_spec("nul\0byte"), "null byte"),
    ] {
        match sandbox.exec(spec).await {
            Err(Error::Program(message)) => assert!(message.contains(words), "{message}"),
            other => panic!("{other:?}"),
        }
    }
    let shell = ExecSpec {
        program: ExecProgram::Shell,
        arguments: vec!["-c".to_owned(), "echo $((1 + 1))".to_owned()],
        ..python_spec("")
    };
    match sandbox.exec(shell).await {
        Ok(exec) => assert_eq!(finish(exec, b"").await.0, "2\n"),
        Err(Error::NoShell) => assert!(world.is_image(), "there is a shell on every host"),
        Err(error) => panic!("{error:?}"),
    }
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn many_programs_run_at_once_and_too_many_are_refused(world: World) {
    let sandbox = obedient(&world).await;
    let mut running = Vec::new();
    let refused = loop {
        match sandbox.exec(python_spec("import sys\nsys.stdin.read()")).await {
            Ok(exec) => running.push(exec),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::Busy), "{refused:?}");
    assert_eq!(running.len(), 64);
    let begun = Instant::now();
    finish(running.pop().unwrap(), b"").await;
    drop(running);
    let again = async {
        while sandbox.exec(python_spec("")).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, again).await.unwrap();
    assert!(begun.elapsed() < SOON);
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn a_program_has_a_terminal_of_its_own(world: World) {
    let sandbox = obedient(&world).await;
    let script = "import os, signal, sys\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGWINCH])\n\
                  print(os.ttyname(0), os.stat(os.ttyname(0)).st_uid == os.getuid(), os.get_terminal_size(), os.tcgetpgrp(0) == os.getpid())\n\
                  open('/dev/tty', 'w').write('by name\\n')\n\
                  signal.sigwait([signal.SIGWINCH])\nprint(os.get_terminal_size(), flush=True)\n\
                  while True:\n line = input()\n print('got', line)\n if line == 'end': sys.exit(5)";
    let terminal = Some(TerminalSize { rows: 24, columns: 80 });
    let mut exec = sandbox.exec(ExecSpec { terminal, ..python_spec(script) }).await.unwrap();
    let seen = read_until(&mut exec, "by name\r\n").await;
    assert!(seen.contains("/dev/pts/") && seen.contains("True os.terminal_size(columns=80, lines=24) True"), "{seen}");
    exec.resize(TerminalSize { rows: 50, columns: 132 });
    read_until(&mut exec, "os.terminal_size(columns=132, lines=50)\r\n").await;
    let ExecStreams::Terminal(screen) = &mut exec.streams else { panic!() };
    screen.write_all(b"hello\nend\n").await.unwrap();
    let mut rest = read_until(&mut exec, "got hello\r\n").await;
    assert_eq!(timeout(SOON, exec.wait()).await.unwrap(), ExecExit::Exited(5));
    let ExecStreams::Terminal(screen) = &mut exec.streams else { panic!() };
    timeout(SOON, screen.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert!(rest.ends_with("got end\r\n"), "{rest:?}");
    // Ctrl-C, and a terminal that is hung up.
    let mut exec = sandbox.exec(ExecSpec { terminal, ..python_spec("print('up')\nwhile True: pass") }).await.unwrap();
    read_until(&mut exec, "up\r\n").await;
    let ExecStreams::Terminal(screen) = &mut exec.streams else { panic!() };
    screen.write_all(b"\x03").await.unwrap();
    // Python raises the signal anew.
    assert_eq!(timeout(SOON, exec.wait()).await.unwrap(), ExecExit::Signalled(2));
    sandbox.kill(Duration::ZERO).await;
}

fn python_spec(script: &str) -> ExecSpec {
    ExecSpec {
        program: ExecProgram::Named("python3".to_owned()),
        arguments: ["-S", "-c", script].map(str::to_owned).to_vec(),
        environment: BTreeMap::new(),
        terminal: None,
    }
}

/// Returns what a script prints.
async fn python(sandbox: &Arc<dyn Sandbox>, script: &str) -> String {
    let (stdout, stderr, exit) = finish(sandbox.exec(python_spec(script)).await.unwrap(), b"").await;
    assert_eq!((stderr.as_str(), exit), ("", ExecExit::Exited(0)), "{script}");
    stdout
}

/// Feeds a program and reads it to its end.
async fn finish(mut exec: Exec, typed: &[u8]) -> (String, String, ExecExit) {
    let ExecStreams::Pipes { stdin, stdout, stderr } = &mut exec.streams else { panic!("it has a terminal") };
    let mut input = stdin.take().unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    let all = async {
        // One that does not read it is gone sooner.
        let _ = input.write_all(typed).await;
        drop(input);
    };
    let (_, read, also_read) = tokio::join!(all, stdout.read_to_string(&mut out), stderr.read_to_string(&mut err));
    read.and(also_read).unwrap();
    (out, err, timeout(SOON, exec.wait()).await.unwrap())
}

/// Reads until it ends with, or has, these words; returns all.
async fn read_until(exec: &mut Exec, words: &str) -> String {
    let mut seen = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&seen).contains(words) {
            let mut part = [0; 1024];
            let n = match &mut exec.streams {
                ExecStreams::Pipes { stdout, .. } => stdout.read(&mut part).await,
                ExecStreams::Terminal(screen) => screen.read(&mut part).await,
            };
            match n {
                Ok(n @ 1..) => seen.extend_from_slice(&part[..n]),
                other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&seen)),
            }
        }
    };
    let found = timeout(SOON, read).await;
    let seen = String::from_utf8_lossy(&seen).into_owned();
    assert!(found.is_ok(), "{seen:?}");
    seen
}
