//! A place for one sandbox inside of a zygote's: a user namespace, and a network that nobody in either sandbox owns.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::Duration;

use innkeep_protocol::link::NestAnswer;
use innkeep_protocol::walls;
use innkeep_types::SandboxId;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

use super::Zygote;
use crate::embedded::Executable;

/// The longest that the maker may take. It takes milliseconds.
const MAKER_TIMEOUT: Duration = Duration::from_secs(5);

/// What is held until the sandbox is in it.
#[derive(Debug)]
pub(in crate::container) struct Nest {
    /// Whose it is inside of.
    zygote: SandboxId,
    /// None as an ordinary user: the sandbox then makes both itself, inside of the zygote's.
    own: Option<Own>,
}

#[derive(Debug)]
struct Own {
    users: File,
    network: File,
}

impl Nest {
    /// Makes one. `first_id`: of the users of the sandbox, if it has any.
    pub(super) async fn make(zygote: &Zygote, maker: Option<&Executable>, first_id: Option<u32>) -> io::Result<Self> {
        let (Some(first_id), Some(maker)) = (first_id, maker) else {
            return Ok(Self { zygote: zygote.id.clone(), own: None });
        };
        let mut child = maker.command("nest").arg(path(&zygote.users)).arg(first_id.to_string()).spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            timeout(MAKER_TIMEOUT, BufReader::new(stdout).read_line(&mut line)).await??;
        }
        let holder = match serde_json::from_str(&line)? {
            NestAnswer::Made(holder) => holder,
            NestAnswer::Failed(why) => return Err(io::Error::other(why)),
        };
        let open = |name| File::open(format!("/proc/{holder}/ns/{name}"));
        let own = Own { users: open("user")?, network: open("net")? };
        // Its input ends with it, and then it ends.
        drop(child.stdin.take());
        child.wait().await?;
        Ok(Self { zygote: zygote.id.clone(), own: Some(own) })
    }

    /// Returns the zygote that it is inside of.
    pub(super) fn into_zygote(self) -> SandboxId {
        self.zygote
    }

    /// Returns where the launcher finds all this, as long as it is held.
    pub(super) fn plan(&self, zygote: &Zygote) -> walls::Zygote {
        walls::Zygote::ForkedFrom {
            users: path(self.own.as_ref().map_or(&zygote.users, |own| &own.users)),
            processes: path(&zygote.processes),
            directory: zygote.directory.clone(),
        }
    }

    /// Returns the network, if there is one already, and where the launcher finds it as long as this is held.
    pub(super) fn network(&self) -> io::Result<Option<(File, PathBuf)>> {
        self.own.as_ref().map(|own| Ok((own.network.try_clone()?, path(&own.network)))).transpose()
    }
}

/// Returns the path by which other processes of this user open what is held here.
fn path(file: &File) -> PathBuf {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()).into()
}
