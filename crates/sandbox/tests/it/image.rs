//! What is true of images in containers as root: the agent is root inside, and nobody outside.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use innkeep_sandbox::driver::Error;

use crate::conformance::images;
use crate::conformance::world::{Kind, World};
use crate::conformance::{every_kind, walled, with_image};

every_kind!(Image);
walled!(Image);
with_image!(Image);

/// As with a server that itself runs in a container.
#[tokio::test]
async fn where_owners_cannot_be_mapped_images_are_refused_and_all_else_runs() {
    const NAME: &str = "where_owners_cannot_be_mapped_images_are_refused_and_all_else_runs";
    if !rustix::process::geteuid().is_root() {
        println!("skipped: containers as root need root");
        return;
    }
    // The super block of an overlay says so; see magic.h of the kernel.
    let is_overlay = rustix::fs::statfs(std::env::temp_dir()).unwrap().f_type == 0x794c_7630;
    if !is_overlay {
        return run_upon_overlay(&format!("image::{NAME}"));
    }
    let world = World::enter(Kind::Container, "").await.unwrap();
    let caveats = world.driver.capabilities().caveats;
    assert!(caveats.iter().any(|caveat| caveat.starts_with("No images: ") && caveat.contains("5.19")), "{caveats:?}");
    let mut spec = world.spec("");
    let top = world.path().join("code-top");
    std::fs::create_dir(&top).unwrap();
    let image = images::python(&top, "");
    std::sync::Arc::make_mut(&mut spec.bundle).content = innkeep_artifacts::Content::Image { image };
    match world.launch(spec).await {
        Err(Error::NoImages { why, .. }) => assert!(why.contains("a file system that maps ids"), "{why}"),
        other => panic!("{other:?}"),
    }
    let sandbox = crate::conformance::agent::obedient(&world).await;
    sandbox.kill(std::time::Duration::ZERO).await;
}

/// Runs a test once more, with an overlay for temporary files that is gone with its mount namespace.
fn run_upon_overlay(name: &str) {
    let directory = tempfile::tempdir().unwrap();
    for part in ["lower", "upper", "work", "tmp"] {
        std::fs::create_dir(directory.path().join(part)).unwrap();
    }
    let script = "mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work tmp && exec \"$@\"";
    let test = std::env::current_exe().unwrap();
    let arguments = ["--exact", name, "--nocapture"].map(OsStr::new);
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(test)
        .args(arguments)
        .current_dir(directory.path())
        .env("TMPDIR", directory.path().join("tmp"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{}", String::from_utf8_lossy(&output.stderr));
}
