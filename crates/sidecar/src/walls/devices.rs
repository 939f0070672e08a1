//! A minimal `/dev`: the devices that every program may expect, and none that reaches the host.

use std::path::Path;

use rustix::fs::symlink;
use rustix::mount::MountFlags;

use super::mounts::{bind, mount};
use super::touch;
use crate::launch::{Error, to};

/// The host's devices that are harmless. Source: OCI runtime specification, "Default Devices".
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
];

/// Builds `/dev` at `dev`; shared memory takes as much as the writable layer.
pub(super) fn build(dev: &Path, disk_bytes: u64, disk_files: u64) -> Result<(), Error> {
    let plain = MountFlags::NOSUID | MountFlags::NOEXEC;
    mount("tmpfs", dev, plain, "mode=755,size=65536,nr_inodes=64")?;
    for device in DEVICES {
        let place = dev.join(device);
        touch(&place).map_err(to("make a device"))?;
        bind(Path::new("/dev").join(device), &place)?;
    }
    for (target, link) in LINKS {
        symlink(target, dev.join(link)).map_err(to("make a device's link"))?;
    }
    let make = |name: &str| {
        let directory = dev.join(name);
        std::fs::create_dir(&directory).map(|()| directory).map_err(to("make a directory of devices"))
    };
    mount("devpts", &make("pts")?, plain, "newinstance,ptmxmode=0666,mode=0620,max=64")?;
    let shm = format!("mode=1777,size={disk_bytes},nr_inodes={disk_files}");
    mount("tmpfs", &make("shm")?, plain | MountFlags::NODEV, &shm)?;
    // Of the directory alone: devices and shared memory are to be written.
    rustix::mount::mount_remount(dev, plain | MountFlags::BIND | MountFlags::RDONLY, c"")
        .map_err(to("make /dev read-only"))
}
