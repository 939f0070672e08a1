//! What the tests need on this machine, and how to get it: system packages, Rust components, the Python environment.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command::Run;

/// The system's own interpreter. One found on PATH may be a shim that an agent's environment cannot run.
const PYTHON: &str = "/usr/bin/python3";

/// A thing that must work, and the Debian packages that make it work.
#[derive(Debug)]
pub(crate) struct Need {
    check: &'static [&'static str],
    packages: &'static [&'static str],
}

/// What every test needs.
pub(crate) const TESTS: &[Need] = &[
    Need { check: &["cc", "--version"], packages: &["gcc", "libc6-dev"] },
    Need { check: &["curl", "--version"], packages: &["curl", "ca-certificates"] },
    Need { check: &["git", "--version"], packages: &["git"] },
    Need { check: &["strace", "-V"], packages: &["strace"] },
    Need { check: &[PYTHON, "-c", "import ensurepip, venv"], packages: &["python3", "python3-venv"] },
    Need { check: &["/bin/busybox", "true"], packages: &["busybox-static"] },
    Need { check: &["openssl", "version"], packages: &["openssl"] },
    Need { check: &["unshare", "--version"], packages: &["util-linux", "mount"] },
    Need { check: &["sh", "-c", "command -v setpriv"], packages: &["util-linux"] },
    Need { check: &["/usr/sbin/debootstrap", "--version"], packages: &["debootstrap"] },
    Need { check: &["/usr/sbin/nft", "--version"], packages: &["nftables"] },
    Need { check: &["ip", "-V"], packages: &["iproute2"] },
    Need { check: &["pasta", "--version"], packages: &["passt"] },
    Need { check: &["node", "--version"], packages: &["nodejs"] },
    Need { check: &["npm", "--version"], packages: &["npm"] },
    // What test_browser.py drives.
    Need { check: &["sh", "-c", "command -v chromium"], packages: &["chromium"] },
    // What test_images.py makes images and registries of.
    Need { check: &["umoci", "--version"], packages: &["umoci"] },
    Need { check: &["skopeo", "--version"], packages: &["skopeo"] },
    Need { check: &["docker-registry", "--version"], packages: &["docker-registry"] },
    Need { check: &["sh", "-c", "command -v busybox && ! ldd $(command -v busybox)"], packages: &["busybox-static"] },
    Need { check: &["sh", "-c", "command -v htpasswd"], packages: &["apache2-utils"] },
];

/// What the measurements need besides: the load generator and the yardsticks.
pub(crate) const BENCH: &[Need] = &[
    Need { check: &["sh", "-c", "command -v wrk"], packages: &["wrk"] },
    Need { check: &["/usr/sbin/nginx", "-v"], packages: &["nginx-light"] },
    Need { check: &["/usr/bin/crun", "--version"], packages: &["crun"] },
    Need { check: &["/usr/sbin/runc", "--version"], packages: &["runc"] },
    Need { check: &["/usr/bin/podman", "--version"], packages: &["podman"] },
    Need { check: &["/usr/bin/setpriv", "--version"], packages: &["util-linux"] },
];

/// What it takes to run a machine in this one.
pub(crate) const GUEST: &[Need] = &[
    Need { check: &["qemu-system-x86_64", "--version"], packages: &["qemu-system-x86"] },
    Need { check: &["/usr/bin/busybox", "true"], packages: &["busybox-static"] },
    Need { check: &["setpriv", "--version"], packages: &["util-linux"] },
    Need { check: &["/usr/lib/systemd/systemd", "--version"], packages: &["systemd"] },
    Need { check: &["ip", "-V"], packages: &["iproute2"] },
    Need { check: &["xz", "--version"], packages: &["xz-utils"] },
];

/// Installs the packages behind those `needs` that are not met.
///
/// # Errors
/// When something is missing and cannot be installed; the message says what to run.
pub(crate) fn provide(needs: &[Need]) -> Result<()> {
    let works =
        |need: &&Need| need.check.split_first().is_none_or(|(program, rest)| Run::new(program).args(rest).works());
    let missing: Vec<&str> = needs.iter().filter(|need| !works(need)).flat_map(|need| need.packages).copied().collect();
    if !missing.is_empty() {
        install(&missing)?;
    }
    Ok(())
}

/// Installs the Rust components that are missing.
///
/// # Errors
/// When `rustup` cannot.
pub(crate) fn provide_rust_components() -> Result<()> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if !Run::cargo(&[subcommand, "--version"]).works() {
            Run::new("rustup").args(["component", "add", component]).go()?;
        }
    }
    Ok(())
}

fn install(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if !is_root() || !Run::new("apt-get").args(["--version"]).works() {
        bail!("the tests need packages that are missing here; install them and run this again: apt-get install {list}");
    }
    Run::new("apt-get").args(["update", "-q"]).go()?;
    Run::new("apt-get")
        .args(["install", "-q", "-y", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUNLEVEL", "1") // installs daemons without starting them
        .go()
}

/// Makes the virtual environment `directory/.venv` hold exactly `directory/requirements.txt`, and returns its interpreter.
///
/// # Errors
/// When the environment cannot be made or a package cannot be installed.
pub(crate) fn python_environment(directory: &Path) -> Result<PathBuf> {
    let requirements = directory.join("requirements.txt");
    let wanted =
        fs::read_to_string(&requirements).with_context(|| format!("could not read {}", requirements.display()))?;
    let venv = directory.join(".venv");
    let interpreter = venv.join("bin/python");
    let stamp = venv.join("requirements.installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(interpreter);
    }
    Run::new(PYTHON).args(["-m", "venv", "--clear"]).args([&venv]).go()?;
    Run::new(&interpreter).args(["-m", "pip", "install", "--quiet", "--requirement"]).args([&requirements]).go()?;
    fs::write(&stamp, wanted).with_context(|| format!("could not write {}", stamp.display()))?;
    Ok(interpreter)
}

/// Makes `directory/node_modules` hold exactly what `directory/package-lock.json` says.
///
/// # Errors
/// When Node.js is too old, or npm cannot install a package.
pub(crate) fn node_packages(directory: &Path) -> Result<()> {
    let lock = directory.join("package-lock.json");
    let wanted = fs::read_to_string(&lock).with_context(|| format!("could not read {}", lock.display()))?;
    let stamp = directory.join("node_modules/package-lock.installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    if !Run::new("node").args(["--eval", "process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)"]).works() {
        bail!("the tests need Node.js 20 or newer, and this one is older: see https://nodejs.org/en/download");
    }
    Run::new("npm").args(["ci"]).dir(directory).go()?;
    fs::write(&stamp, wanted).with_context(|| format!("could not write {}", stamp.display()))
}

/// Tells whether root runs this.
pub(crate) fn is_root() -> bool {
    Run::new("id").args(["-u"]).output().is_some_and(|uid| uid.trim_ascii() == b"0")
}
