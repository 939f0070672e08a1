//! Plays a sidecar that runs programs: on this machine, without walls and without a terminal, but otherwise as a real one does.

use std::fs::File;
use std::io::{IoSliceMut, Read};
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;

use innkeep_protocol::link::exec::{ExecPlan, ExecProgram, ExecRefusal, FromExec};
use innkeep_types::AgentExit;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags};
use rustix::process::{Pid, Signal};

/// Runs what the socket asks for. Its end, or that of its other direction, kills the program's process group.
pub(crate) fn run(socket: OwnedFd) {
    let socket = Arc::new(socket);
    let (plan, streams) = receive(&socket);
    let mut child = match start(plan, streams) {
        Ok(child) => child,
        Err(refusal) => return tell(&socket, &FromExec::Refused(refusal)),
    };
    tell(&socket, &FromExec::Started);
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw).expect("a process has a number");
    let asked = Arc::clone(&socket);
    thread::spawn(move || {
        let mut frame = [0; 256];
        while rustix::net::recv(&asked, &mut frame, RecvFlags::empty()).is_ok_and(|(n, _)| n > 0) {}
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    });
    thread::spawn(move || {
        let status = child.wait().expect("a child is waited for");
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
        let exit = match (status.code(), status.signal()) {
            (Some(code), _) => AgentExit::Code(code),
            (None, signal) => AgentExit::Signal(signal.unwrap_or_default()),
        };
        tell(&socket, &FromExec::Exited(exit));
        let _ = rustix::net::shutdown(&socket, rustix::net::Shutdown::Both);
    });
}

fn start(plan: ExecPlan, streams: [OwnedFd; 3]) -> Result<Child, ExecRefusal> {
    let program = match &plan.program {
        ExecProgram::Shell => "/bin/bash",
        ExecProgram::Named(name) => name,
    };
    let [stdin, stdout, stderr] = streams;
    let mut command = Command::new(program);
    command.args(plan.arguments).env_clear().env("PATH", "/usr/bin:/bin").envs(plan.environment).process_group(0);
    command.stdin(stdin).stdout(stdout).stderr(stderr);
    command.spawn().map_err(|error| ExecRefusal::Program(format!("could not execute {program}: {error}")))
}

fn receive(socket: &OwnedFd) -> (ExecPlan, [OwnedFd; 3]) {
    let mut frame = [0; 1024];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    rustix::net::recvmsg(socket, &mut [IoSliceMut::new(&mut frame)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .expect("a start lies in the socket");
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(some) = message {
            descriptors.extend(some);
        }
    }
    let mut plan = String::new();
    File::from(descriptors.remove(0)).read_to_string(&mut plan).expect("a plan is read");
    // In place of a terminal: its socket, which all three share.
    while descriptors.len() < 3 {
        descriptors.push(descriptors[0].try_clone().expect("a descriptor is copied"));
    }
    let streams = descriptors.try_into().expect("three streams");
    (serde_json::from_str(&plan).expect("a plan is JSON"), streams)
}

fn tell(socket: &OwnedFd, message: &FromExec) {
    let frame = serde_json::to_vec(message).expect("it is JSON");
    // A test that does not listen any more is over.
    let _ = rustix::net::send(socket, &frame, SendFlags::NOSIGNAL);
}
