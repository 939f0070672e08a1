//! What an image is inside: its layers, its users, its place, its program. Images here are made by hand, upon the host's `/usr` where
//! they need Python.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use innkeep_artifacts::{Content, Image};
use innkeep_sandbox::driver::{Error, LaunchSpec};
use innkeep_types::HealthCheck;
use rustix::fs::{CWD, FileType, Mode, XattrFlags, mknodat, setxattr};
use serde_json::json;

use super::agent::{obedient_script, run, run_words};
use super::files::tree;
use super::world::World;

/// Where Debian's busybox-static has its program.
const BUSYBOX: &str = "/bin/busybox";

/// Makes in `top` the topmost layer of an image with this host's Python, whose root runs `script` in `/app`.
pub(crate) fn python(top: &Path, script: &str) -> Image {
    for directory in ["app", "etc", "tmp"] {
        fs::create_dir_all(top.join(directory)).unwrap();
    }
    fs::set_permissions(top.join("tmp"), Permissions::from_mode(0o1777)).unwrap();
    // The layer below is what other roots have in /usr.
    symlink(".", top.join("usr")).unwrap();
    let users = "root:x:0:0:root:/root:/bin/sh\nagent:x:1000:1000:agent:/home/agent:/bin/sh\n";
    fs::write(top.join("etc/passwd"), users).unwrap();
    fs::write(top.join("app/main.py"), script).unwrap();
    let layers = vec![top.to_owned(), PathBuf::from("/usr")];
    let (home, working_directory) = ("/root".to_owned(), PathBuf::from("/app"));
    Image { layers, user: 0, group: 0, groups: Vec::new(), home, working_directory }
}

/// Returns the image of a start, to be changed.
pub(super) fn image_of(spec: &mut LaunchSpec) -> &mut Image {
    match &mut Arc::make_mut(&mut spec.bundle).content {
        Content::Image { image } => image,
        Content::Code { .. } => panic!("no image"),
    }
}

/// Returns the directory of the topmost layer of a start.
pub(super) fn top_of(spec: &mut LaunchSpec) -> PathBuf {
    image_of(spec).layers[0].clone()
}

/// Starts what cannot be started, and returns the words for its deployer.
pub(super) async fn refused(world: &World, spec: LaunchSpec) -> String {
    let directory = world.sandbox_directory(&spec.sandbox);
    match world.launch(spec).await {
        Err(Error::Agent { message }) => {
            assert!(!directory.exists());
            message
        }
        other => panic!("{other:?}"),
    }
}

/// Makes a layer with these files and their contents.
fn layer(world: &World, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let layer = world.path().join(format!("code-layer-{name}"));
    fs::create_dir(&layer).unwrap();
    for (path, text) in files {
        fs::create_dir_all(layer.join(path).parent().unwrap()).unwrap();
        fs::write(layer.join(path), text).unwrap();
    }
    layer
}

fn whiteout(at: &Path) {
    mknodat(CWD, at, FileType::CharacterDevice, Mode::empty(), 0).unwrap();
}

pub(crate) async fn layers_hide_what_they_say_and_are_not_changed(world: World) {
    let lower =
        [("data/kept", "lower"), ("data/removed", "x"), ("data/closed/old", "x"), ("gone/file", "x"), ("was/a", "x")];
    let lower = layer(&world, "lower", &lower);
    let upper = layer(&world, "upper", &[("data/kept", "upper"), ("data/closed/new", "x"), ("was-not", "x")]);
    for removed in ["data/removed", "gone"] {
        whiteout(&upper.join(removed));
    }
    fs::write(upper.join("was"), "a file now").unwrap();
    setxattr(upper.join("data/closed"), "user.overlay.opaque", b"y", XattrFlags::empty()).unwrap();
    let mut spec = world.spec(&obedient_script());
    image_of(&mut spec).layers.splice(1..1, [upper.clone(), lower.clone()]);
    let before = (tree(&lower), tree(&upper));
    let sandbox = world.launch_ready(spec).await;
    let found = "[sorted(os.listdir(d)) for d in ('/data', '/data/closed')] + [open('/data/kept').read(), open('/was').read(), os.path.exists('/gone')]";
    let expected = json!([["closed", "kept"], ["new"], "upper", "a file now", false]);
    assert_eq!(run(&sandbox, found).await, expected);
    let changes = r"
def write(path): return open(path, 'w').close()
result = [attempt(write, '/data/kept'), attempt(write, '/data/closed/newer'), attempt(os.unlink, '/was'), attempt(os.mkdir, '/gone'),
    attempt(os.listdir, '/gone'), attempt(write, '/data/removed'), attempt(os.chmod, '/data', 0o700), attempt(write, '/at-the-root')]
";
    assert_eq!(run(&sandbox, changes).await, json!([null, null, null, null, [], null, null, null]));
    sandbox.kill(Duration::ZERO).await;
    assert_eq!((tree(&lower), tree(&upper)), before);
}

pub(crate) async fn a_hundred_layers_are_one_root(world: World) {
    let layers: Vec<_> = (0..100)
        .map(|n| layer(&world, &n.to_string(), &[("all/top", &n.to_string()), (&format!("all/{n}"), "")]))
        .collect();
    let mut spec = world.spec(&obedient_script());
    image_of(&mut spec).layers.splice(1..1, layers.clone());
    let sandbox = world.launch_ready(spec).await;
    assert_eq!(run(&sandbox, "[len(os.listdir('/all')), open('/all/top').read()]").await, json!([101, "0"]));
    sandbox.kill(Duration::ZERO).await;

    let mut spec = world.spec("");
    image_of(&mut spec).layers.extend(layers.iter().cycle().take(128).cloned());
    assert!(refused(&world, spec).await.contains("the image has 130 layers, and 127 is the most"));
}

pub(crate) async fn files_are_of_whom_the_image_says(world: World) {
    let mut spec = world.spec(&obedient_script());
    let top = top_of(&mut spec);
    let files = [("roots", 0), ("agents", 1000), ("last", 65_534), ("nobodys", 100_000)];
    for (name, owner) in files {
        fs::create_dir(top.join(name)).unwrap();
        fs::write(top.join(name).join("file"), "x").unwrap();
        if world.has_users() {
            chown(top.join(name).join("file"), Some(owner), Some(owner)).unwrap();
            chown(top.join(name), Some(owner), Some(owner)).unwrap();
        }
    }
    let image = image_of(&mut spec);
    (image.user, image.group) = (1000, 1000);
    let sandbox = world.launch_ready(spec).await;
    let places = "('/roots', '/agents', '/last', '/nobodys')";
    let owners = run(&sandbox, &format!("[os.stat(d + '/file').st_uid for d in {places}]")).await;
    let use_them = format!(
        "def change(place):\n open(place + '/file', 'w').close()\n open(place + '/new', 'w').close()\n os.unlink(place + '/file')\n\
         result = [attempt(change, place) for place in {places}]"
    );
    let used = run(&sandbox, &use_them).await;
    if world.has_users() {
        assert_eq!(owners, json!([0, 1000, 65_534, 65_534]), "whom the sandbox does not have is nobody");
        assert_eq!(used, json!(["EACCES", null, "EACCES", "EACCES"]));
    } else {
        assert_eq!((owners, used), (json!([1000, 1000, 1000, 1000]), json!([null, null, null, null])));
    }
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn the_agent_is_whom_the_image_names_where_it_says(world: World) {
    let who = "[os.getresuid()[1], os.getresgid()[1], sorted(set(os.getgroups()) - {65534}), os.environ['HOME'], os.getcwd()]";
    for (user, home, expected) in [(0, None, "/root"), (1000, Some("/elsewhere"), "/elsewhere")] {
        let mut spec = world.spec(&obedient_script());
        spec.environment.extend(home.map(|home| ("HOME".to_owned(), home.to_owned())));
        let image = image_of(&mut spec);
        (image.user, image.group, image.groups) = (user, 1001, vec![7, 8]);
        let sandbox = world.launch_ready(spec).await;
        // Who may not map groups cannot give up its own; it is called as the image's.
        let groups =
            if world.has_users() { json!([7, 8]) } else { run(&sandbox, "sorted(set(os.getgroups()) & {1001})").await };
        assert_eq!(run(&sandbox, who).await, json!([user, 1001, groups, expected, "/app"]));
        sandbox.kill(Duration::ZERO).await;
    }
}

pub(crate) async fn a_working_directory_is_made_where_it_is_missing(world: World) {
    for (directory, expected) in
        [("/made/for/it", "/made/for/it"), ("/link/made", "/app/made"), ("/closed/open", "/closed/open")]
    {
        let mut spec = world.spec(&obedient_script());
        let top = top_of(&mut spec);
        symlink("../../../app", top.join("link")).unwrap();
        fs::create_dir_all(top.join("closed/open")).unwrap();
        fs::set_permissions(top.join("closed"), Permissions::from_mode(0o700)).unwrap();
        let image = image_of(&mut spec);
        (image.user, image.working_directory) = (1000, PathBuf::from(directory));
        Arc::make_mut(&mut spec.bundle).argv[3] = "/app/main.py".to_owned();
        let sandbox = world.launch_ready(spec).await;
        let place = "[os.readlink('/proc/self/cwd'), oct(os.stat('.').st_mode & 0o777)]";
        assert_eq!(run_words(&sandbox, place).await, [expected, "0o755"]);
        sandbox.kill(Duration::ZERO).await;
        assert!(!top.join("made").exists() && !top.join("app/made").exists());
    }
}

pub(crate) async fn a_static_program_needs_nothing_else(world: World) {
    if !Path::new(BUSYBOX).exists() {
        println!("skipped: no {BUSYBOX} (Debian: busybox-static)");
        return;
    }
    let only = world.path().join("code-only");
    fs::create_dir_all(only.join("tools")).unwrap();
    fs::copy(BUSYBOX, only.join("tools/httpd")).unwrap();
    fs::write(only.join("index.html"), "here").unwrap();
    let mut spec = world.spec("");
    spec.health = HealthCheck::Tcp;
    spec.environment.insert("PATH".to_owned(), "/bin:/tools".to_owned());
    let image = image_of(&mut spec);
    (image.user, image.group, image.layers) = (65_532, 65_532, vec![only]);
    image.working_directory = PathBuf::from("/");
    Arc::make_mut(&mut spec.bundle).argv = ["httpd", "-f", "-p", "8080"].map(str::to_owned).to_vec();
    let sandbox = world.launch_ready(spec).await;
    assert_eq!(super::agent::get(&sandbox, "/").await, "here");
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn what_an_image_lacks_is_told_in_words(world: World) {
    // The head of a program for a machine that nobody has any more (EM_M32).
    let mut foreign = fs::read("/usr/bin/true").unwrap();
    foreign[18] = 1;
    let files: [(&str, &[u8], u32); 4] = [
        ("foreign", &foreign, 0o755),
        ("text", b"echo", 0o755),
        ("data", b"#!/bin/sh\n", 0o644),
        ("orphan", b"#!/no/such/sh\n", 0o755),
    ];
    let cases = [
        (
            "no-such-program",
            "could not execute no-such-program: No such file or directory (os error 2) (it is in no directory of PATH",
        ),
        ("/no/such/program", "the program, or the interpreter that it names, is not there"),
        ("/app/orphan", "the program, or the interpreter that it names, is not there"),
        ("/app/data", "Permission denied (os error 13) (is it executable"),
        ("data", "Permission denied (os error 13) (is it executable"),
        ("/app/foreign", "it is no program for this machine"),
        ("text", "it is no program for this machine"),
        ("/app", "Permission denied"),
    ];
    for (program, words) in cases {
        let mut spec = world.spec("");
        let top = top_of(&mut spec);
        for (name, bytes, mode) in files {
            fs::write(top.join("app").join(name), bytes).unwrap();
            fs::set_permissions(top.join("app").join(name), Permissions::from_mode(mode)).unwrap();
        }
        spec.environment.insert("PATH".to_owned(), "/bin:/app".to_owned());
        Arc::make_mut(&mut spec.bundle).argv = vec![program.to_owned()];
        let message = refused(&world, spec).await;
        assert!(message.contains(words), "{program}: {message}");
    }
    for directory in ["/app/main.py", "/app/main.py/below", "/proc/sys", "/proc/self/cwd"] {
        let mut spec = world.spec("");
        image_of(&mut spec).working_directory = PathBuf::from(directory);
        assert_eq!(refused(&world, spec).await, format!("working directory {directory} is no directory"));
    }
    let mut spec = world.spec("");
    image_of(&mut spec).groups = vec![65_535];
    if world.has_users() {
        assert!(refused(&world, spec).await.contains("user or group 65535, and a sandbox has 0 to 65534"));
    }
}

pub(crate) async fn what_is_ours_in_an_image_is_not_the_images(world: World) {
    let mut spec = world.spec(&obedient_script());
    let top = top_of(&mut spec);
    for (path, text) in
        [("etc/hosts", "6.6.6.6 localhost"), ("etc/own", "kept"), ("etc/resolv.conf", "nameserver 6.6.6.6")]
    {
        fs::write(top.join(path), text).unwrap();
    }
    for (path, below) in [("sys/kernel", "x"), ("dev/evil", "x")] {
        fs::create_dir_all(top.join(path)).unwrap();
        fs::write(top.join(path).join(below), "x").unwrap();
    }
    fs::set_permissions(top.join("etc"), Permissions::from_mode(0o750)).unwrap();
    let sandbox = world.launch_ready(spec).await;
    let id = sandbox.id();
    let ours = "[open('/etc/hostname').read(), socket.gethostname(), open('/etc/resolv.conf').read(), open('/etc/own').read(), \
                oct(os.stat('/etc').st_mode & 0o777), str(os.listdir('/sys')), str('6.6.6.6' in open('/etc/hosts').read())]";
    let expected = [&format!("{id}\n"), id.as_str(), "", "kept", "0o750", "[]", "False"];
    assert_eq!(run_words(&sandbox, ours).await, expected);
    let devices = "full null ptmx pts random shm stderr stdin stdout tty urandom zero fd";
    assert_eq!(run(&sandbox, &format!("set(os.listdir('/dev')) == set('{devices}'.split())")).await, true);
    // The host's name, users and services are not seen.
    assert_eq!(
        run(&sandbox, "os.path.exists('/etc/shadow') or len(open('/etc/passwd').readlines()) != 2").await,
        false
    );
    sandbox.kill(Duration::ZERO).await;
}
