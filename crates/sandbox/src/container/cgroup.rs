//! Control groups: what limits and counts the memory, processor time and processes of a sandbox, and knows every process in it.
//!
//! A server has one parent group, named after its data directory, and below it one group per sandbox, named by the sandbox's id:
//! `<base>/innkeep-<8 hex>/<sandbox>`. With cgroup v1 that is so in the hierarchy of each controller. [`v1`] and [`v2`] know where
//! `<base>` is and which files limit and count; [`remove`] ends what is inside. A parent is there as long as it has groups.
//!
//! Knows nothing of sessions, and starts nothing: the launcher enters the groups by writing to [`Cgroup::procs_files`].

mod files;
mod host;
mod layout;
mod remove;
mod room;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use innkeep_types::{Resources, SandboxId};
use parking_lot::Mutex;

use crate::driver::Usage;
use files::{make_directory, read_field, subdirectories, write};
use host::Host;
pub(crate) use room::MemoryGroup;

use layout::{Found, Group, Layout, Limit, Tree, Version, parent_name};

/// The control groups that this server may use. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Cgroups(Arc<Layout>);

/// The control groups of one sandbox: one per hierarchy, none where nothing can be limited. Cheap to make; dropping it does nothing.
#[derive(Debug, Clone)]
pub(crate) struct Cgroup {
    sandbox: SandboxId,
    groups: Vec<Group>,
    layout: Arc<Layout>,
}

/// Something that cannot be limited on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Missing {
    pub(crate) what: Controller,
    /// Why not, for people.
    pub(crate) why: String,
    /// The command, unit line or option that closes the gap.
    pub(crate) fix: String,
}

/// What can be limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Controller {
    Memory,
    Cpu,
    Processes,
}

/// Why the groups of a sandbox could not be made. Nothing of them remains.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("control group {} could not be made", path.display())]
    Make {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("processes of control group {} could not be moved to {}", from.display(), to.display())]
    Move {
        from: PathBuf,
        to: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("controllers {controllers} could not be enabled in control group {}", path.display())]
    Enable {
        path: PathBuf,
        controllers: String,
        #[source]
        source: io::Error,
    },
    #[error("limit {value} could not be written to {}", file.display())]
    Limit {
        file: PathBuf,
        value: String,
        #[source]
        source: io::Error,
    },
}

impl Cgroups {
    /// Looks at the host, and changes nothing. Never fails: what cannot be limited is in [`Self::missing`].
    pub(crate) fn find(data_dir: &Path) -> Self {
        Self::find_on(&Host::look(), data_dir)
    }

    fn find_on(host: &Host, data_dir: &Path) -> Self {
        let name = parent_name(data_dir);
        let (version, Found { trees, missing }) = match host.has_v1() {
            true => (Version::V1, v1::find(host, &name)),
            false => {
                let (found, entrance) = v2::find(host, &name);
                (Version::V2(entrance), found)
            }
        };
        Self(Arc::new(Layout { version, trees, missing, is_ready: Mutex::new(false) }))
    }

    /// Returns what cannot be limited here.
    pub(crate) fn missing(&self) -> &[Missing] {
        &self.0.missing
    }

    /// Returns the group whose limit all sandboxes are under.
    pub(crate) fn memory_group(&self) -> MemoryGroup {
        let mut trees = self.0.trees.iter();
        let tree = trees.find(|tree| tree.controllers.contains(&"memory"));
        // Where no group can be made they are in the server's.
        tree.map_or_else(MemoryGroup::of_server, |tree| MemoryGroup::at(tree.parent.clone()))
    }

    /// Makes ready what all groups share. With a delegated v2 subtree this moves the server into a group of its own below it, since
    /// a group that hands its controllers on may not hold processes: so call it before the server starts any process.
    /// [`Self::create`] does it otherwise.
    pub(crate) fn prepare(&self) -> Result<(), Error> {
        match &self.0.version {
            Version::V1 => Ok(()),
            Version::V2(entrance) => self.0.trees.iter().try_for_each(|tree| v2::claim(tree, entrance)),
        }
    }

    /// Makes the groups of a sandbox, without limits: [`Cgroup::limit`] sets them. A group that is already there is used: ids are not given twice. Takes
    /// 0.2 ms (v1, five hierarchies), now and then 10 ms: the kernel waits for other processors.
    ///
    /// # Errors
    /// When a group cannot be made.
    pub(crate) fn create(&self, sandbox: &SandboxId) -> Result<Cgroup, Error> {
        let cgroup = self.at_parents(sandbox);
        if let Err(error) = self.make(&cgroup) {
            cgroup.discard();
            return Err(error);
        }
        Ok(cgroup)
    }

    /// Returns the groups of a sandbox from before a restart, also if they are elsewhere, or gone.
    pub(crate) fn open(&self, sandbox: &SandboxId) -> Cgroup {
        let mut cgroup = self.at_parents(sandbox);
        for (group, tree) in cgroup.groups.iter_mut().zip(&self.0.trees) {
            let elsewhere = tree.elsewhere.iter().map(|parent| parent.join(sandbox.as_str()));
            if let Some(found) = elsewhere.filter(|_| !group.directory.is_dir()).find(|directory| directory.is_dir()) {
                group.directory = found;
            }
        }
        cgroup
    }

    /// Returns the sandboxes that have a group, living or not, in order.
    pub(crate) fn found(&self) -> Vec<SandboxId> {
        let parents = self.0.trees.iter().flat_map(Tree::parents);
        let names = parents.flat_map(|parent| subdirectories(parent)).filter_map(|path| {
            let name = path.file_name()?.to_str()?;
            SandboxId::parse(name).ok()
        });
        let mut found: Vec<_> = names.collect();
        found.sort();
        found.dedup();
        found
    }

    fn at_parents(&self, sandbox: &SandboxId) -> Cgroup {
        let group = |tree: &Tree| Group {
            controllers: tree.controllers.clone(),
            directory: tree.parent.join(sandbox.as_str()),
        };
        let groups = self.0.trees.iter().map(group).collect();
        Cgroup { sandbox: sandbox.clone(), groups, layout: Arc::clone(&self.0) }
    }

    fn make(&self, cgroup: &Cgroup) -> Result<(), Error> {
        // Held, because the end of another sandbox may be removing its parent, which then seems to have no groups.
        let mut is_ready = self.0.is_ready.lock();
        if !*is_ready || !self.0.trees.iter().all(|tree| tree.parent.is_dir()) {
            self.prepare()?;
            for tree in &self.0.trees {
                make_directory(&tree.parent)?;
                if matches!(self.0.version, Version::V2(_)) {
                    v2::enable(&tree.parent, &tree.controllers)?;
                }
            }
            *is_ready = true;
        }
        cgroup.groups.iter().try_for_each(|group| make_directory(&group.directory))
    }
}

impl Cgroup {
    /// Returns the files that a process writes its id to, to be in the sandbox.
    pub(crate) fn procs_files(&self) -> Vec<PathBuf> {
        self.groups.iter().map(|group| group.directory.join("cgroup.procs")).collect()
    }

    /// Returns how many processes the kernel killed because the sandbox was out of memory. Zero where nothing counts, and
    /// once the group is removed.
    pub(crate) fn oom_kills(&self) -> u64 {
        let file = match self.layout.version {
            Version::V1 => "memory.oom_control",
            Version::V2(_) => "memory.events",
        };
        self.file("memory", file).and_then(|file| read_field(&file, "oom_kill")).unwrap_or(0)
    }

    /// Returns what the sandbox uses now. Reads five files at most.
    pub(crate) fn usage(&self) -> Usage {
        match self.layout.version {
            Version::V1 => v1::usage(self),
            Version::V2(_) => v2::usage(self),
        }
    }

    /// Kills what is in the sandbox, also if it is frozen, and removes its groups; those that are not there are removed already.
    /// Bounded in time: what resists is named in the log.
    ///
    /// # Cancel safety
    /// Once polled it runs to its end, whether or not anybody waits.
    pub(crate) async fn remove(&self) {
        let this = self.clone();
        // An error is the runtime's own end.
        let _ = tokio::task::spawn_blocking(move || remove::remove(&this)).await;
    }

    /// Limits what the sandbox uses from now on, once.
    pub(crate) fn limit(&self, resources: &Resources) -> Result<(), Error> {
        let limits = match self.layout.version {
            Version::V1 => v1::limits(resources),
            Version::V2(_) => v2::limits(resources),
        };
        for Limit { controller, file, value, is_optional } in limits {
            let Some(file) = self.file(controller, file) else { continue };
            match write(&file, &value) {
                Err(error) if is_optional && error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(Error::Limit { file, value, source }),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// Removes groups in which no process ever was, and parents that are then empty.
    fn discard(&self) {
        for group in &self.groups {
            // What cannot be removed is found again, and then named in the log.
            let _ = fs::remove_dir(&group.directory);
        }
        self.layout.remove_empty_parents();
    }

    /// Returns a file of the group that has `controller`.
    fn file(&self, controller: &str, name: &str) -> Option<PathBuf> {
        let group = self.groups.iter().find(|group| group.controllers.contains(&controller))?;
        Some(group.directory.join(name))
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Processes => "processes",
        })
    }
}
