//! One zygote from its start to its end.
//!
//! ```text
//! launched ─► imports ─► ready ─► forks … ─► interpreter ended ─► (sessions inside go on) ─► keeper ended ─► nothing left
//!                 └── refused, ended, too slow ───────┘
//! ```

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use innkeep_protocol::link::{AgentState, ExitFacts, LaunchPlan};
use innkeep_protocol::walls;
use innkeep_types::{Clock, Egress, SandboxId, SystemClock, limits};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::super::{Walled, ids, seccomp};
use super::{Interpreter, SCRIPT, SCRIPT_PATH, Zygote, fit};
use super::{older, strays};
use crate::counts::ZygoteRefusal;
use crate::driver::{Error, LaunchSpec, ZygoteSpec};
use crate::link::Link;
use crate::local::{Ground, Process, Spares};
use crate::pool::PoolKey;
use crate::tasks::Kind;

/// The longest that a keeper may take to end its interpreter. It takes milliseconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// How long sessions inside that have ended may take to be gone. They take milliseconds.
const END_TIMEOUT: Duration = Duration::from_millis(500);

/// The longest that the server's end waits for a keeper that nobody lives in.
const LAST_TIMEOUT: Duration = Duration::from_secs(5);

/// No message says who lives inside, and this is asked for a moment at the server's end.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The longest time between two looks for what the imports left. Source: our choice.
const LOOK_FOR_STRAYS: Duration = Duration::from_secs(10);

/// What zygotes are made with.
#[derive(Debug, Clone)]
pub(in crate::container) struct Workshop {
    pub(in crate::container) ground: Arc<Walled>,
    pub(in crate::container) spares: Arc<Spares<Walled>>,
}

/// A keeper that runs, its interpreter importing.
struct Started {
    keeper: Process,
    link: Link,
    /// As the host sees it.
    interpreter: Option<i32>,
    state: AgentState,
}

/// Why a zygote does not fork, for people.
enum Refusal {
    /// What it imports is no good for it.
    Unfit(String),
    Failed(String),
}

impl Workshop {
    /// Starts a zygote for launches like `spec` in the background, unless there is one, or cannot be. `plan` makes the plan of a
    /// launch.
    pub(in crate::container) fn want(&self, spec: &LaunchSpec, plan: impl FnOnce(&LaunchSpec) -> LaunchPlan) {
        let (Some(wanted), zygotes) = (&spec.zygote, &self.ground.zygotes) else { return };
        if !wanted.may_start {
            return;
        }
        let id = SandboxId::generate();
        let Some(retire) = zygotes.slots.lock().claim(&wanted.key, &id, Instant::now()) else { return };
        let interpreter = match fit(&spec.bundle, spec.egress, self.ground.ids.is_some()) {
            Ok(interpreter) => interpreter,
            Err(why) => {
                zygotes.slots.lock().retired(&wanted.key, &id);
                return zygotes.never(&wanted.key, why);
            }
        };
        let own = LaunchSpec {
            sandbox: id,
            egress: Egress::None,
            ends_at: SystemClock.now().plus(limits::ZYGOTE_LIFETIME),
            zygote: None,
            ..spec.clone()
        };
        let plan = LaunchPlan { directory: zygotes.directory.join(own.sandbox.as_str()), ..plan(&own) };
        let (workshop, wanted) = (self.clone(), wanted.clone());
        zygotes.tasks.spawn(Kind::Zygote, async move { workshop.keep(wanted, own, plan, interpreter, retire).await });
    }

    async fn keep(
        self,
        wanted: ZygoteSpec,
        spec: LaunchSpec,
        plan: LaunchPlan,
        interpreter: Interpreter,
        retire: CancellationToken,
    ) {
        let (id, directory, key) = (plan.sandbox.clone(), plan.directory.clone(), wanted.key.clone());
        let zygotes = &self.ground.zygotes;
        let Started { keeper, link, interpreter, state } = match self.start(&wanted, &spec, plan, interpreter).await {
            Ok(started) => started,
            Err(error) => {
                let why = super::super::options::chain(&error);
                warn!("the zygote of {key} could not be started: {why}");
                zygotes.failed(&key, &id, ZygoteRefusal::Interpreter, &format!("it could not be started: {why}"));
                return forget(&self, &id, &directory).await;
            }
        };
        let (state_tx, state) = watch::channel(state);
        // An ordinary user may not look into the keeper, which hides. No sandbox is inside yet: the interpreter is where its keeper is.
        let inside = if self.ground.ids.is_some() { Some(keeper.pid()) } else { interpreter };
        let offered = || Zygote::open(&id, &directory, inside.unwrap_or_default());
        let refusal = tokio::select! {
            // Ours first: the end of the interpreter is told, and then the link's.
            biased;
            refusal = self.offer((&key, &id), offered, state, &retire) => refusal,
            told = link.receive(&state_tx, Some) => match told {
                Ok(()) => end(&state_tx.borrow()),
                Err(error) => Some(Refusal::Failed(format!("the link to its keeper broke: {error}"))),
            },
        };
        match refusal {
            Some(Refusal::Unfit(why)) => {
                warn!("agents of {key} start from their program, without a zygote: {why}");
                zygotes.failed(&key, &id, ZygoteRefusal::Imports, &why);
            }
            Some(Refusal::Failed(why)) => {
                warn!("the zygote of {key} failed: {why}");
                zygotes.failed(&key, &id, ZygoteRefusal::Interpreter, &why);
            }
            None => zygotes.slots.lock().retired(&key, &id),
        }
        // Whatever is said above: it does not fork any more. The keeper stays for as long as sessions are inside.
        stop(&link, &state_tx).await;
        drop(link);
        self.outlast(&keeper, &id, &directory).await;
    }

    /// Waits for the end of a keeper whose interpreter has ended, which is that of the last session inside, and leaves nothing of it. At
    /// the server's end those with sessions stay, for the next server.
    pub(super) async fn outlast(&self, keeper: &Process, id: &SandboxId, directory: &Path) {
        let left_alone = async {
            self.ground.zygotes.tasks.stopping().cancelled().await;
            let started = Instant::now();
            let mut alone_since = None;
            while started.elapsed() < LAST_TIMEOUT {
                // Those that are ending just now are soon gone.
                if has_children(keeper.pid()) && alone_since.unwrap_or(started).elapsed() >= END_TIMEOUT {
                    return;
                }
                if !has_children(keeper.pid()) {
                    alone_since = Some(Instant::now());
                }
                sleep(LOOK_AGAIN).await;
            }
        };
        let without_strays = async {
            let mut wait = LOOK_AGAIN;
            loop {
                strays::end(keeper);
                sleep(wait).await;
                wait = (wait * 2).min(LOOK_FOR_STRAYS);
            }
        };
        tokio::select! {
            () = keeper.ended() => forget(self, id, directory).await,
            () = left_alone => {}
            () = without_strays => {}
        }
    }

    /// Launches a keeper.
    async fn start(
        &self,
        wanted: &ZygoteSpec,
        spec: &LaunchSpec,
        plan: LaunchPlan,
        interpreter: Interpreter,
    ) -> Result<Started, Error> {
        let (id, directory) = (&plan.sandbox.clone(), plan.directory.clone());
        let failed = |what| move |source| Error::Host { sandbox: id.clone(), what, source };
        let launcher = self.spares.take(id).await.map_err(failed("ready a launcher"))?;
        let directories = [Some(directory.as_path()), plan.log_file.parent()];
        for directory in directories.into_iter().flatten() {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(directory);
            made.map_err(failed("make a directory of a zygote"))?;
        }
        let plan = plan_of_zygote(self.ground.prepare(spec, plan).await?, wanted, interpreter);
        let facts = launcher.launch(&plan).await?;
        let gone = || io::Error::from(io::ErrorKind::NotFound);
        let keeper = Process::find_sidecar(&facts, &directory)
            .and_then(|found| found.ok_or_else(gone))
            .map_err(failed("find the keeper"))?;
        let (link, inside, state) = Link::connect(&directory, id).await.map_err(failed("reach the keeper"))?;
        let interpreter = self.ground.agent_pid(keeper.pid(), inside);
        Ok(Started { keeper, link, interpreter, state })
    }

    /// Offers a zygote for forks once it is ready, until it has to end. None: in good order.
    async fn offer(
        &self,
        (key, id): (&PoolKey, &SandboxId),
        zygote: impl Fn() -> io::Result<Zygote>,
        mut state: watch::Receiver<AgentState>,
        retire: &CancellationToken,
    ) -> Option<Refusal> {
        let zygotes = &self.ground.zygotes;
        let started = Instant::now();
        let mut is_offered = false;
        loop {
            let now = state.borrow_and_update().clone();
            match now {
                AgentState::Healthy(_) if !is_offered => match zygote() {
                    Ok(zygote) => {
                        is_offered = true;
                        if !zygotes.slots.lock().offer(key, Arc::new(zygote), Instant::now()) {
                            return None;
                        }
                        let ms = started.elapsed().as_millis();
                        info!(
                            sandbox.id = %id, import_ms = ms,
                            "sessions of {key} are forked from zygote {id} from now on; its imports took {ms} ms"
                        );
                    }
                    Err(error) => return Some(Refusal::Failed(format!("its namespaces could not be opened: {error}"))),
                },
                now => {
                    if let Some(refusal) = end(&now) {
                        return Some(refusal);
                    }
                }
            }
            let idle_at = zygotes.slots.lock().idle_at(key, id);
            tokio::select! {
                () = zygotes.tasks.stopping().cancelled() => return None,
                () = retire.cancelled() => return None,
                changed = state.changed() => if changed.is_err() { return None },
                () = sleep_until(idle_at.unwrap_or_else(Instant::now)), if idle_at.is_some() => {
                    if zygotes.slots.lock().idle_at(key, id).is_none_or(|idle_at| idle_at <= Instant::now()) {
                        info!("the zygote of {key} was not needed, and ends");
                        return None;
                    }
                }
            }
        }
    }
}

/// Ends an interpreter, and hears its keeper out, who would else wait for somebody to tell.
pub(super) async fn stop(link: &Link, state: &watch::Sender<AgentState>) {
    let told = async {
        link.stop(Duration::ZERO).await?;
        link.receive(state, Some).await
    };
    // One that does not answer has ended, or is waited for by its process.
    let _ = timeout(STOP_TIMEOUT, told).await;
}

fn has_children(pid: i32) -> bool {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    children.is_ok_and(|children| !children.trim().is_empty())
}

/// Returns what an interpreter's state says against it.
fn end(state: &AgentState) -> Option<Refusal> {
    match state {
        AgentState::NotReady { detail } => Some(Refusal::Unfit(detail.clone())),
        AgentState::Exited(ExitFacts { detail: Some(detail), .. }) => Some(Refusal::Unfit(detail.clone())),
        AgentState::Exited(facts) => {
            let last = facts.log_tail.last().map(|line| format!(": {line}")).unwrap_or_default();
            Some(Refusal::Failed(format!("its interpreter ended with {:?}{last}", facts.exit)))
        }
        AgentState::Starting | AgentState::Listening | AgentState::Healthy(_) | AgentState::Missed { .. } => None,
    }
}

impl Zygote {
    /// Takes hold of the namespaces of a zygote that `pid` is inside of.
    fn open(id: &SandboxId, directory: &Path, pid: i32) -> io::Result<Self> {
        let open = |name| File::open(format!("/proc/{pid}/ns/{name}"));
        let (users, processes) = (open("user")?, open("pid")?);
        Ok(Self { id: id.clone(), directory: directory.to_owned(), users, processes })
    }
}

/// Makes of the plan of an agent that of the interpreter that its forks come from.
fn plan_of_zygote(plan: LaunchPlan, wanted: &ZygoteSpec, Interpreter { n_options }: Interpreter) -> LaunchPlan {
    let script = plan.argv.get(1 + n_options).cloned().unwrap_or_default();
    let configuration = json!({ "script": script, "modules": wanted.modules, "options": n_options });
    let mut argv: Vec<String> = plan.argv.iter().take(1 + n_options).cloned().collect();
    argv.extend([SCRIPT_PATH.to_owned(), configuration.to_string()]);
    let walls = plan.walls.map(|mut walls| {
        walls.files.insert(SCRIPT_PATH.into(), SCRIPT.to_owned());
        walls.seccomp = seccomp::filter_of_zygote();
        walls.zygote = Some(walls::Zygote::Keeps { ids: walls.first_id.map(|_| ids::ALL) });
        walls
    });
    LaunchPlan { argv, walls, ..plan }
}

/// Leaves nothing of a zygote whose keeper has ended but its log.
pub(super) async fn forget(workshop: &Workshop, id: &SandboxId, directory: &Path) {
    workshop.ground.clear(id, directory, true, None).await;
    older::remove_directory(directory.to_owned()).await;
}
