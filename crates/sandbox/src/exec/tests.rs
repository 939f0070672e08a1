//! The host's end against a sandbox that the test plays, honest or not.

use tokio::io::AsyncReadExt;

use super::*;

fn spec() -> ExecSpec {
    ExecSpec { program: ExecProgram::Shell, arguments: Vec::new(), environment: BTreeMap::new(), terminal: None }
}

fn say(sandbox: &OwnedFd, message: &[u8]) {
    rustix::net::send(sandbox, message, SendFlags::NOSIGNAL).unwrap();
}

fn tell(sandbox: &OwnedFd, message: &FromExec) {
    say(sandbox, &serde_json::to_vec(message).unwrap());
}

#[tokio::test]
async fn what_a_sandbox_says_of_a_program_is_believed_once_and_in_order() {
    let (asked, sandbox) = ask(spec()).unwrap();
    for message in [FromExec::Started, FromExec::Exited(AgentExit::Code(3)), FromExec::Exited(AgentExit::Code(4))] {
        tell(&sandbox, &message);
    }
    let mut exec = asked.started().await.unwrap();
    assert_eq!((exec.wait().await, exec.wait().await), (ExecExit::Exited(3), ExecExit::Exited(3)));

    for out_of_order in [FromExec::Started, FromExec::Refused(ExecRefusal::Busy)] {
        let (asked, sandbox) = ask(spec()).unwrap();
        tell(&sandbox, &FromExec::Started);
        tell(&sandbox, &out_of_order);
        assert_eq!(asked.started().await.unwrap().wait().await, ExecExit::SandboxGone);
    }
    let (asked, sandbox) = ask(spec()).unwrap();
    tell(&sandbox, &FromExec::Exited(AgentExit::Code(0)));
    assert!(matches!(asked.started().await, Err(Error::Sidecar(_))));
}

#[tokio::test]
async fn garbage_and_silence_are_an_end() {
    for garbage in [&b"{}"[..], b"\"", &[0xff; 40_000]] {
        let (asked, sandbox) = ask(spec()).unwrap();
        say(&sandbox, garbage);
        assert!(matches!(asked.started().await, Err(Error::Gone(_))));
    }
    let (asked, sandbox) = ask(spec()).unwrap();
    drop(sandbox);
    assert!(matches!(asked.started().await, Err(Error::Gone(_))));
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_does_not_answer_is_not_waited_for() {
    let (asked, _sandbox) = ask(spec()).unwrap();
    assert!(matches!(asked.started().await, Err(Error::Sidecar(_))));
}

#[tokio::test]
async fn a_kill_and_a_drop_are_heard_without_a_message() {
    for drops in [false, true] {
        let (asked, sandbox) = ask(spec()).unwrap();
        tell(&sandbox, &FromExec::Started);
        let exec = asked.started().await.unwrap();
        rustix::net::recv(&sandbox, &mut [0; 256], RecvFlags::DONTWAIT).unwrap();
        let heard = || rustix::net::recv(&sandbox, &mut [0; 256], RecvFlags::DONTWAIT).map(|(n, _)| n);
        assert_eq!(heard(), Err(rustix::io::Errno::AGAIN));
        if drops {
            drop(exec);
            assert_eq!(heard(), Ok(0));
        } else {
            exec.kill();
            assert_eq!(heard(), Ok(0));
            drop(exec);
        }
    }
}

#[tokio::test]
async fn what_was_written_can_be_read_after_the_end() {
    let (asked, sandbox) = ask(spec()).unwrap();
    tell(&sandbox, &FromExec::Started);
    let exec = asked.started().await.unwrap();
    drop(sandbox);
    let ExecStreams::Pipes { mut stdout, .. } = exec.streams else { panic!() };
    let mut all = Vec::new();
    assert_eq!(stdout.read_to_end(&mut all).await.unwrap(), 0);
}

#[tokio::test]
async fn a_plan_beyond_all_bounds_is_refused_here() {
    let arguments = vec!["x".repeat(2 << 20)];
    assert!(matches!(ask(ExecSpec { arguments, ..spec() }), Err(Error::TooLong)));
}
