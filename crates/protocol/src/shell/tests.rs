//! The channels as the developer guide and the SDK's own framer have them.

use super::*;

#[track_caller]
fn check_client(message: &[u8], expect: Result<ToShell<'_>, Unreadable>) {
    let found = ToShell::parse(message);
    assert_eq!(found, expect, "{}", message.escape_ascii());
    if let Ok(said) = found {
        let again = said.to_message();
        assert_eq!(ToShell::parse(&again), expect);
    }
}

#[test]
fn a_clients_message_is_a_channel_and_what_it_carries() {
    let size = |width, height| Ok(ToShell::Resize(Size { width, height }));
    check_client(b"\x00ls\n", Ok(ToShell::Stdin(b"ls\n")));
    check_client(b"\x00", Ok(ToShell::Stdin(b"")));
    check_client(b"\x00\xFF\xFE", Ok(ToShell::Stdin(b"\xFF\xFE")));
    check_client(b"\x04{\"width\": 220, \"height\": 50}", size(220, 50));
    check_client(b"\x04{\"width\":1,\"height\":65535,\"more\":true}", size(1, 65535));
    check_client(b"\x05", Ok(ToShell::Heartbeat));
    check_client(b"\x05and more", Ok(ToShell::Heartbeat));
    check_client(b"\xFF", Ok(ToShell::Close));
}

#[test]
fn what_a_client_cannot_say_is_told_from_what_it_says_wrongly() {
    for other in [&b""[..], b"\x01out", b"\x02err", b"\x03{}", b"\x06", b"\x80", b"\xFE"] {
        check_client(other, Err(Unreadable::Channel));
    }
    for size in
        ["", "{}", "[1,2]x", r#"{"width":0,"height":1}"#, r#"{"width":65536,"height":1}"#, r#"{"width":-1,"height":1}"#]
    {
        check_client(&[b"\x04", size.as_bytes()].concat(), Err(Unreadable::Size));
    }
}

#[track_caller]
fn check_status(status: Status, expect: &str) {
    let message = FromShell::Status(status.clone()).to_message();
    assert_eq!(message.split_first(), Some((&3, expect.as_bytes())), "{}", message.escape_ascii());
    assert_eq!(FromShell::parse(&message), Ok(FromShell::Status(status)));
}

#[test]
fn a_status_is_that_of_kubernetes() {
    let shell = ShellId::parse("debug").unwrap();
    check_status(
        Status::Connected { shell, reconnected: true },
        r#"{"kind":"Status","apiVersion":"v1","metadata":{"shellId":"debug","reconnected":true},"status":"Success"}"#,
    );
    check_status(
        Status::Exited(Exit::Code(0)),
        r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}"#,
    );
    check_status(
        Status::Exited(Exit::Code(3)),
        r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"NonZeroExitCode","message":"command terminated with exit code 3","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}"#,
    );
    check_status(
        Status::Exited(Exit::Signal(9)),
        r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"NonZeroExitCode","message":"command terminated with exit code 137","details":{"causes":[{"reason":"ExitCode","message":"137"},{"reason":"Signal","message":"9"}]}}"#,
    );
    check_status(
        Status::Failed { message: "gone".to_owned() },
        r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","reason":"InternalError","message":"gone","code":500}"#,
    );
}

#[test]
fn a_servers_message_is_read_by_our_own_client_too() {
    for said in [FromShell::Stdout(b"\x1b[0m\xFF"), FromShell::Stderr("words"), FromShell::Heartbeat, FromShell::Close]
    {
        assert_eq!(FromShell::parse(&said.to_message()), Ok(said));
    }
    assert_eq!(FromShell::parse(b"\x00keys"), Err(Unreadable::Channel));
    assert_eq!(FromShell::parse(b"\x02\xFF"), Err(Unreadable::Words));
    assert_eq!(FromShell::parse(b"\x03nothing"), Err(Unreadable::Status));
}
