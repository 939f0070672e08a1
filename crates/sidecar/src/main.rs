//! The program inside every sandbox: starts the agent, watches it, keeps its output, opens connections to it, ends it.
//!
//! ```text
//! innkeep-sidecar launch < plan      reads one LaunchPlan, forks, prints one LaunchAnswer
//!   └─ the sidecar                   outlives the server; one thread; behind walls, if the plan says so, as PID 1
//!        ├─ link       the host's requests, over <sandbox dir>/ctl.sock
//!        ├─ bind       gives the agent a port of its own when it binds the one everybody binds
//!        ├─ health     asks the agent how it is
//!        ├─ exec       programs beside the agent
//!        ├─ logs       the agent's stdout and stderr, to a file
//!        ├─ fork       has the agent forked by a zygote, if the plan says so, in place of starting its program
//!        ├─ keeper     what is different where the agent is such a zygote
//!        └─ children   the agent and all that it starts; nothing survives the sandbox
//! innkeep-sidecar nest USERS FIRST     holds what a sandbox inside of a zygote's needs, until its input ends
//! ```
//!
//! It knows nothing of sessions, requests or AWS, and no byte of a request passes through it.

mod agent;
mod bind;
mod children;
mod exec;
mod fork;
mod health;
mod http;
mod keeper;
mod launch;
mod link;
mod logs;
mod place;
mod program;
mod supervise;
mod sys;
mod walls;

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("launch") => launch::run(),
        Some("nest") => walls::nest::run(),
        _ => ExitCode::from(2),
    }
}
