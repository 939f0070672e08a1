//! The root file system: a read-only base and the code, or the layers of an image, and one private writable layer in memory above.
//!
//! ```text
//! /tmp of the old root      one tmpfs of limited size
//!   skel/                   mount points and our own files; belongs to the sandbox
//!   image/N                 the layers of an image
//!   root/                   overlay of skel : base, or of skel : image/0 : …, written to upper/; the new root
//!   layer-N/                the private layer of a mount that has one
//! ```
//!
//! What is mounted inside is mounted on directories of `skel`, which hides whatever base or image have in their place: a link there
//! would else lead our mounts astray.

use std::collections::VecDeque;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use innkeep_protocol::walls::{Base, Root, Walls};
use innkeep_types::limits::{INOTIFY_INSTANCES, INOTIFY_WATCHES, OWN_CODE_DIRECTORIES};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};

use super::mounts::{PLAIN, bind, bind_read_only, mount, path_of};
use super::{Sources, devices, touch};
use crate::launch::{Error, to};

/// Where the new root is built: in every root, and reachable for everybody.
const SCRATCH: &str = "/tmp";

/// The agent's own directories.
const OWNED: [&str; 1] = ["home/agent"];

/// Directories that a program may expect.
const DIRECTORIES: [&str; 11] = ["proc", "sys", "dev", "run", "etc", "usr", "root", "opt", "srv", "mnt", "var"];

/// What is ours in an image: the rest it has itself, or does without.
const DIRECTORIES_OF_IMAGE: [&str; 4] = ["proc", "sys", "dev", "etc"];

/// Where everybody may write.
const PUBLIC: [&str; 2] = ["tmp", "var/tmp"];

/// Of the host's root, where its base is the development base. A host whose `/bin` is a link into `/usr` gives a link.
const HOST_ROOT: [&str; 7] = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];

/// Of the host's `/etc`, where its base is the development base: what names libraries, certificates, zones and the like, and nothing
/// that tells of the host's users or services.
const HOST_ETC: [&str; 16] = [
    "alternatives",
    "ca-certificates",
    "ca-certificates.conf",
    "debian_version",
    "fonts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "os-release",
    "pki/ca-trust",
    "pki/tls/certs",
    "ssl/certs",
    "ssl/openssl.cnf",
    "timezone",
];

/// What of `/proc` tells of the host, or reaches it. Source: OCI runtime specification and the default of container engines.
const MASKED: [&str; 10] = [
    "acpi",
    "asound",
    "kcore",
    "keys",
    "latency_stats",
    "pressure",
    "sched_debug",
    "scsi",
    "timer_list",
    "timer_stats",
];

/// What of `/proc` is not to be written. Source: as above.
const READ_ONLY: [&str; 5] = ["bus", "fs", "irq", "sys", "sysrq-trigger"];

/// A file system with nothing in it.
const NOTHING: &str = "size=0,nr_inodes=2";

/// Builds the root file system and moves into it; nothing of the old one is left.
pub(super) fn build(walls: &Walls, sources: Sources) -> Result<(), Error> {
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(to("leave the host's mounts"))?;
    let size = format!("mode=755,size={},nr_inodes={}", walls.disk_bytes, walls.disk_files);
    mount("tmpfs", Path::new(SCRATCH), PLAIN, &size)?;
    rustix::process::chdir(SCRATCH).map_err(to("enter the new file system"))?;
    let below = match (&walls.root, &sources.base) {
        (Root::Image { .. }, _) => sources.layers.attach(Path::new("image"))?,
        (Root::Base(_), base) => base.iter().map(path_of).collect(),
    };
    let (skel, root) = (Path::new("skel"), Path::new("root"));
    skeleton(skel, walls, &below).map_err(to("write the root's own files"))?;
    let of_host = match walls.root {
        Root::Base(Base::Host) => places_of_host(skel).map_err(to("make places for the host's programs"))?,
        _ => Vec::new(),
    };
    overlay(skel, &below, Path::new("upper"), root)?;
    for name in of_host {
        bind_read_only(Path::new("/").join(&name), &root.join(&name))?;
    }
    if let Root::Image { .. } = walls.root {
        mount("tmpfs", &root.join("sys"), PLAIN | MountFlags::RDONLY, NOTHING)?;
    }
    for (n, (spec, source)) in walls.mounts.iter().zip(&sources.mounts).enumerate() {
        let place = root.join(relative(&spec.target));
        if spec.private_layer {
            let (code, layer) = (path_of(source), PathBuf::from(format!("layer-{n}")));
            own_directories(&code, &layer.join("upper"), walls)
                .map_err(to("give the code's directories to the agent"))?;
            overlay(&code, &[], &layer, &place)?;
        } else {
            bind_read_only(path_of(source), &place)?;
        }
    }
    devices::build(&root.join("dev"), walls.disk_bytes, walls.disk_files)?;
    proc(&root.join("proc"), walls)?;
    pivot(root).map_err(to("move into the new root"))
}

/// Writes what belongs to the sandbox itself. `below`: the layers of an image, if it is one.
fn skeleton(skel: &Path, walls: &Walls, below: &[PathBuf]) -> std::io::Result<()> {
    match walls.root {
        Root::Base(_) => {
            make(skel, &DIRECTORIES)?;
            make(skel, &PUBLIC)?;
            for directory in PUBLIC {
                fs::set_permissions(skel.join(directory), Permissions::from_mode(0o1777))?;
            }
            make(skel, &OWNED)?;
            for directory in OWNED {
                chown(skel.join(directory), Some(walls.agent.user), Some(walls.agent.group))?;
            }
        }
        Root::Image { .. } => {
            make(skel, &DIRECTORIES_OF_IMAGE)?;
            as_in_image("etc", skel, below, walls.first_id.is_some())?;
        }
    }
    for mount in &walls.mounts {
        fs::create_dir_all(skel.join(relative(&mount.target)))?;
    }
    for (path, text) in &walls.files {
        let place = skel.join(relative(path));
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(place, text)?;
    }
    Ok(())
}

fn make(skel: &Path, directories: &[&str]) -> std::io::Result<()> {
    directories.iter().try_for_each(|directory| fs::create_dir_all(skel.join(directory)))
}

/// Gives a directory of ours the mode that the image's has, which it hides, and the owner, where there is more than one user.
fn as_in_image(name: &str, skel: &Path, below: &[PathBuf], has_users: bool) -> std::io::Result<()> {
    let found = below.iter().find_map(|layer| fs::symlink_metadata(layer.join(name)).ok());
    let Some(found) = found.filter(fs::Metadata::is_dir) else { return Ok(()) };
    if has_users {
        chown(skel.join(name), Some(found.uid()), Some(found.gid()))?;
    }
    fs::set_permissions(skel.join(name), found.permissions())
}

/// Mounts `above` over all of `below` at `at`, with a new private layer in `layer`.
fn overlay(above: &Path, below: &[PathBuf], layer: &Path, at: &Path) -> Result<(), Error> {
    let (upper, work) = (layer.join("upper"), layer.join("work"));
    for directory in [&upper, &work, at] {
        fs::create_dir_all(directory).map_err(to("make a private layer"))?;
    }
    let below: String = below.iter().map(|below| format!(":{}", below.display())).collect();
    let data = format!(
        "lowerdir={}{below},upperdir={},workdir={},userxattr",
        above.display(),
        upper.display(),
        work.display()
    );
    mount("overlay", at, PLAIN, &data)
}

/// Makes the agent's own, in its private layer, of the directories of its code, nearest first: what is on the host stays sealed, and
/// its mode would be theirs.
fn own_directories(code: &Path, layer: &Path, walls: &Walls) -> std::io::Result<()> {
    let mut directories = VecDeque::from([PathBuf::new()]);
    for _ in 0..OWN_CODE_DIRECTORIES {
        let Some(directory) = directories.pop_front() else { break };
        let own = layer.join(&directory);
        fs::create_dir_all(&own)?;
        chown(&own, Some(walls.agent.user), Some(walls.agent.group))?;
        for entry in fs::read_dir(code.join(&directory))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                directories.push_back(directory.join(entry.file_name()));
            }
        }
    }
    Ok(())
}

/// Makes the places of the development base in `skel`, or its links; returns what is to be shown there. In an overlay it would take
/// longer.
fn places_of_host(skel: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut shown = Vec::new();
    let etc = HOST_ETC.iter().map(|name| Path::new("etc").join(name));
    for name in HOST_ROOT.iter().map(PathBuf::from).chain(etc) {
        let (host, place) = (Path::new("/").join(&name), skel.join(&name));
        let Ok(found) = fs::symlink_metadata(&host) else { continue };
        if let Some(parent) = place.parent() {
            fs::create_dir_all(parent)?;
        }
        if found.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(&host)?, &place)?;
            continue;
        }
        if found.is_dir() { fs::create_dir_all(&place) } else { touch(&place) }?;
        shown.push(name);
    }
    Ok(shown)
}

fn proc(at: &Path, walls: &Walls) -> Result<(), Error> {
    mount("proc", at, PLAIN | MountFlags::NOEXEC, "hidepid=2")?;
    // Those of a zygote would be those of all its forks together.
    if !walls.keeps_zygote() {
        limit_watches(&at.join("sys/user")).map_err(to("limit what watches files"))?;
    }
    for name in READ_ONLY {
        let place = at.join(name);
        if place.exists() {
            bind_read_only(&place, &place)?;
        }
    }
    for name in MASKED {
        let place = at.join(name);
        match fs::symlink_metadata(&place) {
            Ok(found) if found.is_dir() => mount("tmpfs", &place, PLAIN | MountFlags::RDONLY, NOTHING)?,
            Ok(_) => bind("/dev/null", &place)?,
            Err(_) => {}
        }
    }
    Ok(())
}

/// Limits what the kernel counts per user of the host, above all its namespaces together: one sandbox would else take it from all.
/// Source: user_namespaces(7), `/proc/sys/user`.
fn limit_watches(limits: &Path) -> std::io::Result<()> {
    for (name, limit) in [("max_inotify_instances", INOTIFY_INSTANCES), ("max_inotify_watches", INOTIFY_WATCHES)] {
        match fs::write(limits.join(name), limit.to_string()) {
            // A kernel without.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            written => written?,
        }
    }
    Ok(())
}

fn pivot(root: &Path) -> rustix::io::Result<()> {
    rustix::process::chdir(root)?;
    rustix::process::pivot_root(".", ".")?;
    // The old root lies upon the new one now.
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    rustix::process::chdir("/")
}

/// Returns a path inside without its leading slash.
fn relative(path: &Path) -> &Path {
    path.strip_prefix("/").unwrap_or(path)
}
