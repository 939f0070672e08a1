//! From a launch to an agent that answers, or to the words why there is none.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use innkeep_artifacts::Content;
use innkeep_protocol::link::{AgentState, ExitCause, LogLine};
use innkeep_protocol::ping::PingStatus;
use innkeep_sandbox::driver::{Error, Sandbox};
use innkeep_types::{AgentExit, HealthCheck};
use tokio::time::timeout;

use super::agent::{PING, get, get_from, obedient_script, run, run_words};
use super::world::{Kind, SOON, World};

pub(crate) async fn two_agents_on_one_port_answer_for_themselves_and_only_on_loopback(world: World) {
    let script = format!("{PING}\nserve(lambda: f\"{{os.environ['NAME']}} {{server.socket.getsockname()[0]}}\")");
    let mut sandboxes = Vec::new();
    for name in ["one", "two"] {
        let mut spec = world.spec(&script);
        spec.environment.insert("NAME".to_owned(), name.to_owned());
        sandboxes.push((name, world.launch_ready(spec).await));
    }
    for (name, sandbox) in &sandboxes {
        assert_eq!(get(sandbox, "/").await, format!("{name} 127.0.0.1"));
    }
    for (_, sandbox) in sandboxes {
        sandbox.kill(Duration::ZERO).await;
    }
}

pub(crate) async fn every_way_to_bind_the_port_leads_to_the_agent(world: World) {
    let ways = [
        "socket.create_server(('', 8080))",
        "socket.create_server(('::', 8080), family=socket.AF_INET6, dualstack_ipv6=True)",
        "socket.create_server(('::1', 8080), family=socket.AF_INET6)",
        // Two workers share it; the first one's listener goes again.
        "[socket.create_server(('', 8080), reuse_port=True).close(), socket.create_server(('', 8080), reuse_port=True)][1]",
        // Neither another protocol nor a unix socket is the agent's port.
        "[socket.socket(socket.AF_INET, socket.SOCK_DGRAM).bind(('127.0.0.1', 0)), \
          socket.socket(socket.AF_UNIX).bind('\\0innkeep-test-%d' % os.getpid()), socket.create_server(('', 8080))][2]",
    ];
    for way in ways {
        let script = format!(
            "import os, socket\nlistener = {way}\nwhile True:\n c, _ = listener.accept()\n c.recv(999)\n \
             c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nhi')\n c.close()"
        );
        let sandbox = world.launch_ready(world.spec(&script)).await;
        assert_eq!(get(&sandbox, "/").await, "hi", "{way}");
        sandbox.kill(Duration::ZERO).await;
    }
}

pub(crate) async fn another_port_of_the_agents_is_reached_by_its_number(world: World) {
    // Free a moment ago; only the process driver's agents share ports with us.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = format!(
        "{PING}\nimport socket, threading\nlistener = socket.create_server(('', {port}))\ndef other():\n while True:\n  \
         c, _ = listener.accept()\n  c.recv(999)\n  c.sendall(b'HTTP/1.0 200 OK\\r\\n\\r\\nother')\n  c.close()\n\
         threading.Thread(target=other, daemon=True).start()\nserve('own')"
    );
    let sandbox = world.launch_ready(world.spec(&script)).await;
    assert_eq!((get(&sandbox, "/").await, get_from(&sandbox, Some(port), "/").await), ("own".into(), "other".into()));
    assert!(matches!(sandbox.dial(Some(1)).await, Err(Error::Refused { .. })));
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn an_agent_that_ends_at_import_is_told_at_once_with_its_last_words(world: World) {
    let begun = tokio::time::Instant::now();
    let sandbox = world.launch(world.spec("print('hello')\nraise SystemExit('no model configured')")).await.unwrap();
    let mut state = sandbox.state();
    let state = state.wait_for(|state| matches!(state, AgentState::Exited(_))).await.unwrap().clone();
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    let AgentState::Exited(facts) = state else { unreachable!() };
    assert_eq!((facts.exit, facts.cause), (AgentExit::Code(1), ExitCause::Itself));
    assert_eq!(
        BTreeSet::from_iter(facts.log_tail),
        BTreeSet::from(["hello".to_owned(), "no model configured".to_owned()])
    );

    assert_eq!(sandbox.kill(Duration::ZERO).await.unwrap().exit, AgentExit::Code(1));
    assert!(!world.directory(&sandbox).exists());
    let log = fs::read_to_string(sandbox.log_file()).unwrap();
    let lines: BTreeSet<_> = log.lines().map(|line| serde_json::from_str::<LogLine>(line).unwrap().m).collect();
    assert!(lines.contains("hello"));
}

pub(crate) async fn an_agent_that_binds_another_port_is_not_ready_and_told_which(world: World) {
    for (script, words) in [
        ("import time\ntime.sleep(60)", "Nothing listens on port 8080."),
        (
            "import socket, time\nserver = socket.create_server(('127.0.0.1', 39117))\ntime.sleep(60)",
            "listens on 39117 instead",
        ),
        (&format!("{PING}\nserve(lambda: 'x', ping=500)"), "GET /ping was answered with status 500"),
    ] {
        let mut spec = world.spec(script);
        spec.start_timeout = Duration::from_millis(700);
        let sandbox = world.launch(spec).await.unwrap();
        let detail = never_ready(&sandbox).await;
        assert!(detail.contains("initialization completes in 0.7s.") && detail.contains(words), "{detail}");
        sandbox.kill(SOON).await;
    }
}

pub(crate) async fn an_agent_without_ping_is_named_and_accepted_by_tcp(world: World) {
    let script = "from http.server import *\nHTTPServer(('', 8080), BaseHTTPRequestHandler).serve_forever()";
    let sandbox = world.launch(world.spec(script)).await.unwrap();
    let detail = never_ready(&sandbox).await;
    assert!(detail.contains("501") && detail.contains("innkeep deploy --set health=tcp"), "{detail}");
    sandbox.kill(Duration::ZERO).await;

    let mut spec = world.spec(script);
    spec.health = HealthCheck::Tcp;
    world.launch_ready(spec).await.kill(Duration::ZERO).await;
}

pub(crate) async fn an_agent_that_has_its_port_is_told_before_it_is_healthy(world: World) {
    let script = "path = ''\nserve(lambda: 'x', ping=lambda: (200 if path == '/go' else 503, '{}'))";
    let sandbox = world.launch(world.spec(&[PING, script].concat())).await.unwrap();
    let mut state = sandbox.state();
    // It cannot be healthy yet, so that this is the state for as long as it takes.
    timeout(SOON, state.wait_for(|state| matches!(state, AgentState::Listening))).await.unwrap().unwrap();
    // Bound, it is about to listen.
    timeout(SOON, async { while sandbox.dial(None).await.is_err() {} }).await.unwrap();
    get(&sandbox, "/go").await;
    state.wait_for(|state| matches!(state, AgentState::Healthy(_))).await.unwrap();
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn changes_of_health_and_misses_are_told(world: World) {
    let health = r#"
health = {'/well': (200, 'OK'), '/busy': (200, '{"status":"HealthyBusy","time_of_last_update":7}'), '/sick': (500, '')}
path = '/well'
serve(lambda: 'x', ping=lambda: health[path])
"#;
    let mut spec = world.spec(&[PING, health].concat());
    spec.ping_interval = Duration::from_millis(20);
    let sandbox = world.launch_ready(spec).await;
    let mut state = sandbox.state();
    get(&sandbox, "/busy").await;
    state
        .wait_for(|state| {
            matches!(state, AgentState::Healthy(p) if p.status == PingStatus::HealthyBusy && p.time_of_last_update == Some(7))
        })
        .await
        .unwrap();
    get(&sandbox, "/sick").await;
    let sick =
        |state: &AgentState| matches!(state, AgentState::Missed { misses: 3.., detail } if detail.contains("500"));
    state.wait_for(sick).await.unwrap();
    get(&sandbox, "/well").await;
    state.wait_for(|state| matches!(state, AgentState::Healthy(_))).await.unwrap();
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn an_agent_inherits_its_environment_three_descriptors_and_nothing_else(world: World) {
    // Before anything else opens something. The fourth is the listing itself.
    let script = ["import os\nfds = sorted(os.listdir('/proc/self/fd'), key=int)\n", &obedient_script()].concat();
    let spec = world.spec(&script);
    let code = spec.bundle.code().map(|code| code.canonicalize().unwrap());
    let sandbox = world.launch_ready(spec).await;
    assert_eq!(run_words(&sandbox, "fds").await, ["0", "1", "2", "3"]);
    let expected = match world.kind {
        // By the one more, what it leaves behind is found.
        Kind::Process => vec!["HOME", "INNKEEP_SANDBOX", "MARK", "PATH", "TMPDIR"],
        Kind::Container | Kind::Forked | Kind::Rootless => vec!["HOME", "MARK", "PATH", "TMPDIR"],
        Kind::Image | Kind::RootlessImage => vec!["HOME", "MARK", "PATH"],
    };
    // LC_CTYPE is Python's own doing.
    assert_eq!(run_words(&sandbox, "sorted(set(os.environ) - {'LC_CTYPE'})").await, expected);
    let directory = match (world.is_walled(), &code) {
        (_, None) => "/app",
        (true, Some(_)) => "/var/task",
        (false, Some(code)) => code.to_str().unwrap(),
    };
    assert_eq!(run(&sandbox, "os.getcwd()").await, directory);
    let blocked = "[line.split()[1] for line in open('/proc/self/status') if line.startswith('SigBlk')][0]";
    assert_eq!(run(&sandbox, blocked).await, "0000000000000000");
    assert_eq!(run(&sandbox, "os.getsid(0) == os.getpgid(0) == os.getpid()").await, true);
    sandbox.kill(Duration::ZERO).await;
}

pub(crate) async fn what_cannot_be_started_is_refused_in_words_and_leaves_nothing(world: World) {
    let mut no_program = world.spec("");
    std::sync::Arc::make_mut(&mut no_program.bundle).argv = vec!["/no/such/program".to_owned()];
    let mut no_directory = world.spec("");
    std::sync::Arc::make_mut(&mut no_directory.bundle).content =
        Content::Code { code: "/no/such/directory".into(), layers: Vec::new() };
    for (spec, words) in
        [(no_program, "could not execute /no/such/program"), (no_directory, "/no/such/directory is no directory")]
    {
        let directory = world.sandbox_directory(&spec.sandbox);
        match world.launch(spec).await {
            Err(Error::Agent { message }) => assert!(message.contains(words), "{message}"),
            other => panic!("{other:?}"),
        }
        assert!(!directory.exists());
    }
}

/// Waits for the end of an agent that was not ready, and returns why.
async fn never_ready(sandbox: &std::sync::Arc<dyn Sandbox>) -> String {
    let mut state = sandbox.state();
    let state = state.wait_for(|state| matches!(state, AgentState::Exited(_))).await.unwrap();
    let AgentState::Exited(facts) = &*state else { unreachable!() };
    assert_eq!(facts.cause, ExitCause::NotReady);
    facts.detail.clone().unwrap()
}
