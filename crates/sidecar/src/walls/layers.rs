//! The layers of an image on their way from the host into a sandbox: mounts that are nowhere attached at first. Where the sandbox has
//! users of its own, each shows the files of 0, 1, … as those of the sandbox's 0, 1, ….
//!
//! ```text
//! launcher   opened ─► fork ─► owners mapped by the child's user namespace ─► "go"
//! sidecar                 └──────────────────────────────────────────────────► attached below the new root file system
//! ```
//!
//! A sandbox without users of its own opens them itself: in the mount namespace that it shall mount them in.

use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};
use rustix::process::Pid;

use crate::launch::{Error, to};
use crate::sys;

/// The words for a host that cannot.
const MAP: &str = "give the files of an image to the users of a sandbox, which takes a kernel of 5.19 or newer and a data directory on \
                   a file system that maps ids (ext4, xfs, btrfs; not overlayfs, and hardly any network file system)";

/// Layers, the topmost first.
#[derive(Debug, Default)]
pub(super) struct Layers(Vec<OwnedFd>);

impl Layers {
    /// Takes hold of the layers in these directories.
    pub(super) fn open(directories: &[PathBuf]) -> Result<Self, Error> {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let opened = directories.iter().map(|directory| open_tree(CWD, directory, flags)).collect::<Result<_, _>>();
        opened.map(Self).map_err(to("open the layers of an image"))
    }

    /// Maps the owners of their files to the users of `child`.
    pub(super) fn map_owners(&self, child: Pid) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let users = File::open(format!("/proc/{}/ns/user", child.as_raw_pid())).map_err(to(MAP))?;
        self.0.iter().try_for_each(|layer| sys::map_owners(layer.as_fd(), users.as_fd())).map_err(to(MAP))
    }

    /// Attaches them, one below `at` each, and returns where.
    pub(super) fn attach(self, at: &Path) -> Result<Vec<PathBuf>, Error> {
        let mut places = Vec::with_capacity(self.0.len());
        for (n, layer) in self.0.into_iter().enumerate() {
            // Short: the kernel takes one page of names.
            let place = at.join(n.to_string());
            fs::create_dir_all(&place).map_err(to("make a place for a layer"))?;
            move_mount(&layer, "", CWD, &place, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
                .map_err(to("attach a layer of an image"))?;
            // Where owners are mapped, it is so already; else it is still as on the host.
            sys::make_read_only(&place).map_err(to("make a layer of an image read-only"))?;
            places.push(place);
        }
        Ok(places)
    }
}
