//! Tests in a machine of their own, whatever this one is: control groups of version 2 alone. QEMU emulates it (without KVM), it runs
//! Debian's kernel and this host's `/usr`, its systemd too, and keeps nothing. `e2e/guest` has what happens inside. On the host all is in `target/guest`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::command::Run;
use crate::host;

/// Its name.
pub(crate) const SUITE: &str = "cgroup2";

/// Depends on Debian's newest kernel.
const KERNEL: &str = "linux-image-amd64";

/// What of the kernel's tree has the modules that the guest loads, and those that they need.
const MODULES: [&str; 6] = ["drivers/virtio", "fs/9p", "fs/fscache", "fs/netfs", "fs/overlayfs", "net/9p"];

/// Cargo's arguments for what is tested: of the whole workspace, as the other tests, which in a run of all have built it. Of two packages
/// alone, the crates that they depend on would have other features, and be built once more.
const BUILD: [&str; 5] = ["build", "--workspace", "--bin", "innkeep", "--tests"];

/// The longest that the guest may run, seconds. It takes 150 of processor time.
const DEADLINE_S: &str = "600";

/// What the guest says last if all is well.
const PASSED: &str = "guest: all is well";

/// Runs the tests of `e2e/guest`, or says why there is no machine for them.
///
/// # Errors
/// When something cannot be built, or a test fails.
pub(crate) fn run(root: &Path) -> Result<()> {
    let directory = root.join("target/guest");
    if let Err(error) = provide(&directory) {
        println!("skipped: control groups of version 2 have no machine to be tested in: {error:#}");
        return Ok(());
    }
    share(root, &directory.join("share"))?;
    initial_files(root, &directory)?;
    boot(&directory)
}

/// Installs QEMU, and unpacks the kernel into `directory/kernel`, unless they are there.
fn provide(directory: &Path) -> Result<()> {
    ensure!(cfg!(all(target_os = "linux", target_arch = "x86_64")), "only x86_64 is prepared");
    host::provide(host::GUEST)?;
    let kernel = directory.join("kernel");
    if kernel.exists() {
        return Ok(());
    }
    let unpacked = directory.join("kernel.unpacking");
    let _ = fs::remove_dir_all(&unpacked);
    fs::create_dir_all(&unpacked)?;
    let newest = newest_kernel().with_context(|| format!("apt-get knows no package {KERNEL}; try: apt-get update"))?;
    Run::new("apt-get").args(["download", "-q", &newest]).dir(&unpacked).go()?;
    let unpack = "dpkg-deb --fsys-tarfile ./*.deb | tar -x --wildcards \"$@\" && rm ./*.deb && \
                  find . -name '*.ko.xz' -exec xz -d {} +";
    let of_modules = MODULES.map(|part| format!("*/modules/*/kernel/{part}/*"));
    let wanted = ["./boot/vmlinuz-*", "*/modules/*/modules.builtin*", "*/modules/*/modules.order"].map(str::to_owned);
    Run::new("sh").args(["-c", unpack, "sh"]).args(wanted).args(of_modules).dir(&unpacked).go()?;
    fs::rename(unpacked, kernel)?;
    Ok(())
}

/// `linux-image-6.1.0-56-amd64`
fn newest_kernel() -> Option<String> {
    let depends = Run::new("apt-cache").args(["depends", KERNEL]).output()?;
    let depends = String::from_utf8(depends).ok()?;
    depends.lines().find_map(|line| line.trim().strip_prefix("Depends: ")).map(str::to_owned)
}

/// What cargo tells of something that it has built.
#[derive(Debug, Deserialize)]
struct Artifact {
    package_id: String,
    target: Target,
    profile: Profile,
    executable: Option<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct Target {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Profile {
    test: bool,
}

/// Makes the directory that the guest sees: what is tested, and the scripts that test it.
fn share(root: &Path, share: &Path) -> Result<()> {
    Run::cargo(&BUILD).dir(root).go()?;
    let told = Run::cargo(&BUILD).args(["--message-format=json"]).dir(root).output().context("cargo tells nothing")?;
    let artifacts: Vec<Artifact> =
        told.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    fs::create_dir_all(share)?;
    for (name, package, target, is_test) in [
        ("innkeep", "crates/cli", "innkeep", false),
        ("lib", "crates/sandbox", "innkeep_sandbox", true),
        ("it", "crates/sandbox", "it", true),
    ] {
        let is_it = |artifact: &&Artifact| {
            let of_package = artifact.package_id.contains(&format!("/{package}#"));
            of_package && artifact.target.name == target && artifact.profile.test == is_test
        };
        let built = artifacts.iter().filter(is_it).find_map(|artifact| artifact.executable.as_ref());
        copy(built.with_context(|| format!("cargo built no {target} of {package}"))?, &share.join(name))?;
    }
    for script in ["situations.py", "units.py"] {
        copy(&root.join("e2e/guest").join(script), &share.join(script))?;
    }
    Ok(())
}

/// Makes `directory/initial.cpio`: the files that the guest begins with, until it has mounted the others.
fn initial_files(root: &Path, directory: &Path) -> Result<()> {
    let files = directory.join("initial");
    let _ = fs::remove_dir_all(&files);
    for empty in ["bin", "dev", "lib", "proc", "root"] {
        fs::create_dir_all(files.join(empty))?;
    }
    copy(Path::new("/usr/bin/busybox"), &files.join("bin/busybox"))?;
    copy(&root.join("e2e/guest/init.sh"), &files.join("init"))?;
    let pack = "cp -r ../kernel/lib/modules lib/ 2>/dev/null || cp -r ../kernel/usr/lib/modules lib/ && \
                busybox depmod -b . \"$(ls lib/modules)\" && find . | busybox cpio -o -H newc > ../initial.cpio";
    Run::new("sh").args(["-c", pack]).dir(&files).go()
}

/// Copies a file that everybody in the guest may run.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let copied = fs::copy(from, to).and_then(|_| fs::set_permissions(to, fs::Permissions::from_mode(0o755)));
    copied.with_context(|| format!("could not copy {} to {}", from.display(), to.display()))
}

/// Runs the guest with this terminal, until it is done or out of time.
fn boot(directory: &Path) -> Result<()> {
    let console = directory.join("console.log");
    // Its clock is emulated too, and nobody attacks it. (Of processors to emulate, the plainest is the fastest.)
    let kernel_line = "console=ttyS0 quiet loglevel=2 panic=-1 tsc=unstable mitigations=off";
    let shared = |tag: &str, path: &str| format!("local,mount_tag={tag},path={path},security_model=none,readonly=on");
    let qemu = "exec setpriv --pdeathsig TERM timeout --kill-after=5 \"$0\" qemu-system-x86_64 \"$@\" \
                -kernel kernel/boot/vmlinuz-* -initrd initial.cpio < /dev/null";
    Run::new("sh")
        .args(["-c", qemu, DEADLINE_S])
        .args(["-accel", "tcg,thread=multi", "-cpu", "qemu64", "-smp", "2", "-m", "1024"])
        .args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"])
        .args(["-append", kernel_line])
        .args(["-chardev", "stdio,id=console,logfile=console.log", "-serial", "chardev:console"])
        .args(["-virtfs", &shared("usr", "/usr"), "-virtfs", &shared("guest", "share")])
        .dir(directory)
        .go()?;
    let said = fs::read(&console).with_context(|| format!("could not read {}", console.display()))?;
    // The kernel may go on in the same line.
    let passed = String::from_utf8_lossy(&said).lines().any(|line| line.starts_with(PASSED));
    ensure!(passed, "a test in the guest failed, or the guest did: see {}", console.display());
    Ok(())
}
