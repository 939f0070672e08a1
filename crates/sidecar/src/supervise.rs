//! The sidecar's life after the launch: everything at once until the agent ends, then the end of the sandbox.
//!
//! ```text
//!                 Stop, SIGTERM, never ready, ends_at          grace over, directory gone
//! agent runs ───────────────► SIGTERM to its group ───────────────► SIGKILL to all
//!     └───── exits ───────────────────┴───────────────────────────────────┘
//!              └─► the rest killed ─► output drained ─► exit.json ─► host told ─► gone
//! ```
//!
//! Where the agent is a zygote, the sandboxes of its forks are inside of this one: they are no part of the rest, and are waited for.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use innkeep_protocol::link::{AgentState, EXIT_FILE, ExitCause, ExitFacts, LogStream};
use innkeep_types::{Clock, SystemClock};
use rustix::process::{Pid, Signal};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, interval, sleep_until, timeout};

use crate::bind::{self, Bound, Ports};
use crate::exec::Grounds;
use crate::launch::Launched;
use crate::link::{self, Door};
use crate::logs::Output;
use crate::{children, health, keeper};

/// How often the wall clock and the sandbox directory are looked at.
const LOOK_AROUND: Duration = Duration::from_secs(1);

/// The longest that is waited for output after the agent's end.
const DRAIN: Duration = Duration::from_millis(100);

/// The longest that is waited for a host to take the last message, or to connect at all: an agent may end before it can.
const FAREWELL: Duration = Duration::from_secs(5);

/// An agent that is being ended.
#[derive(Debug, Clone, Copy)]
struct Ending {
    cause: ExitCause,
    kill_at: Instant,
}

/// Looks after the sandbox to its end.
pub(crate) async fn run(launched: Launched) -> std::io::Result<()> {
    let Launched { plan, place, listener, agent, mut logs, mut children, reports, start, .. } = launched;
    let plan = Arc::new(plan);
    let mut stdout = Output::new(agent.stdout, LogStream::Stdout)?;
    let mut stderr = Output::new(agent.stderr, LogStream::Stderr)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (state_tx, state) = watch::channel(AgentState::Starting);
    // An agent whose binds we do not see has to be where it belongs.
    let address = agent.binds.is_none().then(|| (std::net::Ipv4Addr::LOCALHOST, plan.port).into());
    let (bound_tx, bound) = watch::channel(Bound { address, ..Bound::default() });
    let ports = Ports { asked: plan.port, given: plan.walls.as_ref().map_or(0, |_| plan.port) };
    let (stop_tx, mut stop_rx) = mpsc::channel(4);
    // A session's time begins when it is bound.
    let ends_at = watch::Sender::new(plan.ends_at);
    let door = Door {
        sandbox: plan.sandbox.clone(),
        agent: agent.pid,
        state,
        bound: bound.clone(),
        stop_tx,
        ends_at: ends_at.clone(),
        behind_walls: plan.walls.is_some(),
        grounds: reports.is_none().then(|| Arc::new(Grounds { plan: Arc::clone(&plan), start })),
    };
    let own_grace = Duration::from_millis(plan.stop_grace_ms);

    let mut link = pin!(link::serve(listener, door));
    let mut binds = pin!(async {
        match agent.binds {
            Some(binds) => bind::answer(binds, ports, &bound_tx).await,
            None => Ok(()),
        }
    });
    let keeps_zygote = reports.is_some();
    let mut health = pin!(async {
        match reports {
            Some(reports) => keeper::watch(reports, &plan, &state_tx).await,
            None => health::watch(&plan, bound, &state_tx).await,
        }
    });
    let mut output = Box::pin(logs.pump(&mut stdout, &mut stderr));
    let (mut linked, mut binding, mut watching, mut talking) = (true, true, true, true);
    let mut look_around = interval(LOOK_AROUND);
    let mut ending = None;
    let mut never_ready = None;

    let exit = loop {
        tokio::select! {
            exit = children.agent_exit() => break exit,
            Some(grace) = stop_rx.recv() => end(&mut ending, agent.pid, ExitCause::Stopped, grace),
            Some(()) = terminate.recv() => end(&mut ending, agent.pid, ExitCause::Stopped, own_grace),
            detail = &mut health, if watching => {
                watching = false;
                never_ready = Some(detail.clone());
                state_tx.send_replace(AgentState::NotReady { detail });
                end(&mut ending, agent.pid, ExitCause::NotReady, own_grace);
            }
            _ = look_around.tick() => {
                if !place.is_wanted() {
                    end(&mut ending, agent.pid, ExitCause::Stopped, Duration::ZERO);
                } else if SystemClock.now() >= *ends_at.borrow() {
                    end(&mut ending, agent.pid, ExitCause::Deadline, own_grace);
                }
            }
            () = until_kill(ending) => children.kill_all().await,
            // Without the link no host can reach us, and without answers no bind ever returns: nothing is left to wait for.
            _ = &mut link, if linked => { linked = false; end(&mut ending, agent.pid, ExitCause::Itself, own_grace); }
            answered = &mut binds, if binding => {
                binding = false;
                if answered.is_err() {
                    end(&mut ending, agent.pid, ExitCause::Itself, own_grace);
                }
            }
            () = &mut output, if talking => talking = false,
        }
    };
    if keeps_zygote && watching {
        // It may have said why in the moment before.
        never_ready = timeout(DRAIN, &mut health).await.ok();
    }
    children.kill_all().await;
    if talking {
        // Nearly always done at once: nobody is left who could hold the pipes open.
        let _ = timeout(DRAIN, &mut output).await;
    }
    drop(output);
    let facts = ExitFacts {
        exit,
        cause: ending.map_or(ExitCause::Itself, |ending| ending.cause),
        detail: never_ready,
        at: SystemClock.now(),
        log_tail: logs.finish([stdout, stderr]),
    };
    // The directory may be gone: then nobody wants to know.
    let _ = place.write(EXIT_FILE, &facts);
    state_tx.send_replace(AgentState::Exited(facts));
    if linked {
        let _ = timeout(FAREWELL, link).await;
    }
    if keeps_zygote {
        // The end of this process, the first of its namespace, would be theirs.
        children.none_left().await;
    }
    Ok(())
}

/// Begins the agent's end, or hastens it. The first cause stands.
fn end(ending: &mut Option<Ending>, agent: Pid, cause: ExitCause, grace: Duration) {
    let kill_at = Instant::now() + grace;
    match ending {
        Some(ending) => ending.kill_at = ending.kill_at.min(kill_at),
        None => {
            *ending = Some(Ending { cause, kill_at });
            children::signal_group(agent, if grace.is_zero() { Signal::KILL } else { Signal::TERM });
        }
    }
}

async fn until_kill(ending: Option<Ending>) {
    match ending {
        Some(ending) => sleep_until(ending.kill_at).await,
        None => std::future::pending().await,
    }
}
