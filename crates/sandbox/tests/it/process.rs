//! The `process` driver with real agents: what happens to processes, ports, descriptors and files.

mod agents;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use agents::{PING, World, children_of, get, has_ended};
use innkeep_protocol::link::{AgentState, ExitCause, LaunchAnswer, LogLine};
use innkeep_protocol::ping::PingStatus;
use innkeep_sandbox::driver::{Driver, Error, Sandbox};
use innkeep_testkit::wait_for;
use innkeep_types::{AgentExit, Clock, HealthCheck, SystemClock, UnixMillis};

/// For what should take milliseconds, on a busy machine.
const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn two_agents_on_one_port_answer_for_themselves_and_only_on_loopback() {
    let world = World::new().await;
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

#[tokio::test]
async fn every_way_to_bind_the_port_leads_to_the_agent() {
    let world = World::new().await;
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

#[tokio::test]
async fn an_agent_that_ends_at_import_is_told_at_once_with_its_last_words() {
    let world = World::new().await;
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

#[tokio::test]
async fn an_agent_that_binds_another_port_is_not_ready_and_told_which() {
    let world = World::new().await;
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

#[tokio::test]
async fn an_agent_without_ping_is_named_and_accepted_by_tcp() {
    let world = World::new().await;
    let script = "from http.server import *\nHTTPServer(('', 8080), BaseHTTPRequestHandler).serve_forever()";
    let sandbox = world.launch(world.spec(script)).await.unwrap();
    let detail = never_ready(&sandbox).await;
    assert!(detail.contains("501") && detail.contains("innkeep deploy --set health=tcp"), "{detail}");
    sandbox.kill(Duration::ZERO).await;

    let mut spec = world.spec(script);
    spec.health = HealthCheck::Tcp;
    world.launch_ready(spec).await.kill(Duration::ZERO).await;
}

#[tokio::test]
async fn changes_of_health_and_misses_are_told() {
    let world = World::new().await;
    let script = format!(
        "{PING}\nserve(lambda: 'x', ping=lambda: \
         (500, '') if os.path.exists('sick') else (200, '{{\"status\":\"HealthyBusy\",\"time_of_last_update\":7}}') \
         if os.path.exists('busy') else (200, 'OK'))"
    );
    let mut spec = world.spec(&script);
    spec.ping_interval = Duration::from_millis(20);
    let code = spec.bundle.code.clone();
    let sandbox = world.launch_ready(spec).await;
    let mut state = sandbox.state();
    fs::write(code.join("busy"), "").unwrap();
    state
        .wait_for(|state| {
            matches!(state, AgentState::Healthy(p) if p.status == PingStatus::HealthyBusy && p.time_of_last_update == Some(7))
        })
        .await
        .unwrap();
    fs::write(code.join("sick"), "").unwrap();
    let sick =
        |state: &AgentState| matches!(state, AgentState::Missed { misses: 3.., detail } if detail.contains("500"));
    state.wait_for(sick).await.unwrap();
    fs::remove_file(code.join("sick")).unwrap();
    state.wait_for(|state| matches!(state, AgentState::Healthy(_))).await.unwrap();
    sandbox.kill(Duration::ZERO).await;
}

#[tokio::test]
async fn kill_leaves_no_process_whatever_the_agent_started() {
    let world = World::new().await;
    // Ignores SIGTERM, and has a grandchild in a session of its own whose parent is gone.
    let script = format!(
        "import signal, subprocess\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
         subprocess.run(['/bin/sh', '-c', 'setsid sleep 999 & setsid setsid sleep 998 &'])\n\
         child = subprocess.Popen(['sleep', '997'], stdout=subprocess.DEVNULL)\n{PING}\nserve(lambda: 'x')"
    );
    let sandbox = world.launch_ready(world.spec(&script)).await;
    wait_for("the agent and its three descendants", SOON, || world.processes() == 4).await;
    let begun = tokio::time::Instant::now();
    let grace = Duration::from_millis(300);
    let facts = sandbox.kill(grace).await.unwrap();
    assert!(begun.elapsed() >= grace, "SIGTERM is ignored, so it takes the whole grace");
    assert_eq!((facts.exit, facts.cause), (AgentExit::Signal(9), ExitCause::Stopped));
    assert_eq!(world.processes(), 0);
    assert!(!world.directory(&sandbox).exists());
    assert!(sandbox.log_file().exists());
    assert!(matches!(sandbox.dial().await, Err(Error::Link { .. })));
    assert_eq!(sandbox.kill(grace).await, Some(facts), "it may be killed again");
}

#[tokio::test]
async fn a_kill_that_waits_for_its_grace_is_hastened_by_one_without() {
    let world = World::new().await;
    let script = format!("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{PING}\nserve(lambda: 'x')");
    let sandbox = world.launch_ready(world.spec(&script)).await;
    let hour = Duration::from_secs(60 * 60);
    let (patient, _) = tokio::join!(sandbox.kill(hour), sandbox.kill(Duration::ZERO));
    assert_eq!(patient.unwrap().exit, AgentExit::Signal(9));
}

#[tokio::test]
async fn sigterm_gives_an_agent_the_chance_to_end_itself() {
    let world = World::new().await;
    let script = format!(
        "import signal, sys\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(7))\n{PING}\nserve(lambda: 'x')"
    );
    let sandbox = world.launch_ready(world.spec(&script)).await;
    let facts = sandbox.kill(SOON).await.unwrap();
    assert_eq!((facts.exit, facts.cause), (AgentExit::Code(7), ExitCause::Stopped));
}

#[tokio::test]
async fn an_agent_inherits_its_environment_three_descriptors_and_nothing_else() {
    let world = World::new().await;
    let script = format!(
        "import json, signal\nfds = sorted(os.listdir('/proc/self/fd'), key=int) if (os := __import__('os')) else 0\n{PING}\n\
         status = dict(l.split(':', 1) for l in open('/proc/self/status').read().splitlines())\n\
         serve(lambda: json.dumps({{'fds': fds, 'env': sorted(os.environ), 'cwd': os.getcwd(), 'home': os.environ['HOME'], \
         'blocked': status['SigBlk'].strip(), 'leader': os.getsid(0) == os.getpgid(0) == os.getpid()}}))"
    );
    let spec = world.spec(&script);
    let code = spec.bundle.code.clone();
    let sandbox = world.launch_ready(spec).await;
    let seen: serde_json::Value = serde_json::from_str(&get(&sandbox, "/").await).unwrap();
    // The fourth is the listing itself.
    assert_eq!(seen["fds"], serde_json::json!(["0", "1", "2", "3"]));
    // LC_CTYPE is Python's own doing.
    let environment: Vec<_> = seen["env"].as_array().unwrap().iter().filter(|name| **name != "LC_CTYPE").collect();
    assert_eq!(environment, ["HOME", "INNKEEP_SANDBOX", "MARK", "PATH", "TMPDIR"]);
    assert_eq!(seen["cwd"], code.canonicalize().unwrap().to_str().unwrap());
    assert_eq!(seen["blocked"], "0000000000000000");
    assert_eq!(seen["leader"], true);
    let home = std::path::PathBuf::from(seen["home"].as_str().unwrap());
    assert!(home.is_dir());
    sandbox.kill(Duration::ZERO).await;
    assert!(!home.exists());
}

#[tokio::test]
async fn an_agent_and_all_that_it_started_die_with_their_sidecar() {
    let mut world = World::new().await;
    // One child of its own, and one that cut every tie but its environment.
    let script = format!(
        "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'sleep 999 & setsid setsid sleep 998 &'])\n{PING}\nserve(lambda: 'x')"
    );
    for server_is_there in [true, false] {
        let sandbox = world.launch_ready(world.spec(&script)).await;
        wait_for("the agent and its descendants", SOON, || world.processes() == 3).await;
        let mut state = sandbox.state();
        if server_is_there {
            world.kill_sidecar(&sandbox);
        } else {
            world.replace_driver().await;
            world.kill_sidecar(&sandbox);
            wait_for("the agent to die", SOON, || has_ended(sandbox.agent_pid().unwrap())).await;
            let adopted = world.driver.adopt().await.unwrap();
            assert_eq!(adopted.dead, [(sandbox.id().clone(), None)], "nobody saw how it ended");
        }
        while state.changed().await.is_ok() {}
        assert_eq!(world.processes(), 0);
        assert!(!world.directory(&sandbox).exists());
        assert_eq!(sandbox.kill(SOON).await, None, "nobody saw how it ended");
    }
}

/// The sandbox of a server that never comes back. (Through the API the shortest life is a minute.)
#[tokio::test]
async fn without_a_server_a_sandbox_ends_at_its_deadline_and_leaves_the_facts_to_the_next() {
    let mut world = World::new().await;
    let mut spec = world.spec(&format!("{PING}\nserve(lambda: 'x')"));
    spec.ends_at = UnixMillis(SystemClock.now().0 + 1000);
    let sandbox = world.launch(spec).await.unwrap();
    let directory = world.directory(&sandbox);
    let sidecar = world.sidecar_pid(&sandbox);
    world.replace_driver().await;
    wait_for("agent and sidecar to end", SOON, || world.processes() == 0 && has_ended(sidecar)).await;
    assert!(directory.exists());

    let adopted = world.driver.adopt().await.unwrap();
    assert!(adopted.living.is_empty());
    let [(id, Some(facts))] = adopted.dead.as_slice() else { panic!("{:?}", adopted.dead) };
    assert_eq!((id, facts.cause), (sandbox.id(), ExitCause::Deadline));
    assert!(!directory.exists());
}

#[tokio::test]
async fn a_later_driver_adopts_what_lives_and_removes_what_does_not() {
    let mut world = World::new().await;
    let script = format!("{PING}\nserve(lambda: 'still here')");
    let lives = world.launch_ready(world.spec(&script)).await;
    let dies = world.launch_ready(world.spec(&script)).await;
    let pid = lives.agent_pid();
    world.replace_driver().await;
    world.kill_sidecar(&dies);
    wait_for("the agent to die", SOON, || has_ended(dies.agent_pid().unwrap())).await;

    let adopted = world.driver.adopt().await.unwrap();
    assert_eq!(adopted.living.iter().map(|sandbox| sandbox.id()).collect::<Vec<_>>(), [lives.id()]);
    assert_eq!(adopted.living[0].agent_pid(), pid);
    assert!(matches!(&*adopted.living[0].state().borrow(), AgentState::Healthy(_)));
    assert_eq!(get(&adopted.living[0], "/").await, "still here");
    assert!(!world.directory(&dies).exists());

    adopted.living[0].kill(Duration::ZERO).await;
    assert_eq!(world.processes(), 0);
    assert!(world.driver.adopt().await.unwrap().living.is_empty());
}

#[tokio::test]
async fn a_sandbox_ends_by_itself_at_its_deadline_or_without_its_directory() {
    let world = World::new().await;
    let mut spec = world.spec(&format!("{PING}\nserve(lambda: 'x')"));
    spec.ends_at = UnixMillis(0);
    let sandbox = world.launch(spec).await.unwrap();
    let mut state = sandbox.state();
    while state.changed().await.is_ok() {}
    assert!(matches!(&*state.borrow(), AgentState::Exited(facts) if facts.cause == ExitCause::Deadline));

    let sandbox = world.launch_ready(world.spec(&format!("{PING}\nserve(lambda: 'x')"))).await;
    let mut state = sandbox.state();
    fs::remove_dir_all(world.directory(&sandbox)).unwrap();
    while state.changed().await.is_ok() {}
    assert_eq!(world.processes(), 0);
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_in_words_and_leaves_nothing() {
    let world = World::new().await;
    let mut no_program = world.spec("");
    std::sync::Arc::make_mut(&mut no_program.bundle).argv = vec!["/no/such/program".to_owned()];
    let mut no_directory = world.spec("");
    std::sync::Arc::make_mut(&mut no_directory.bundle).code = "/no/such/directory".into();
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

/// Under a sidecar's filter the kernel refuses a second one: just the host that this is about.
#[tokio::test]
async fn where_binds_cannot_be_answered_the_agent_is_told_its_port_and_two_collide() {
    let world = World::new().await;
    // Below the ports that the kernel gives out: those of the other tests' agents.
    let port = 20_000 + std::process::id() % 10_000;
    let code = world.spec("").bundle.code.clone();
    let plan = serde_json::json!({
        "protocol": 1, "sandbox": "nested00", "directory": code, "log_file": code.join("log"),
        "argv": ["/usr/bin/python3", "-c", "import os, socket, time\ns = socket.create_server(('', int(os.environ['PORT'])))\ntime.sleep(60)"],
        "environment": {}, "working_directory": code, "port": port, "health": "tcp", "start_timeout_ms": 9000,
        "ping_interval_ms": 1000, "ends_at": i64::MAX, "stop_grace_ms": 0
    });
    fs::write(code.join("sidecar"), fs::read(env!("INNKEEP_SIDECAR_BIN")).unwrap()).unwrap();
    fs::set_permissions(code.join("sidecar"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let script = format!(
        "import socket, subprocess\n{PING}\nos.chdir({code:?})\nplan = {:?}\n\
         def launch(): return subprocess.run(['./sidecar', 'launch'], input=plan, text=True, capture_output=True).stdout\n\
         first = launch()\n\
         while socket.socket().connect_ex(('127.0.0.1', {port})): pass\n\
         serve(lambda: first + launch())",
        plan.to_string()
    );
    let sandbox = world.launch_ready(world.spec(&script)).await;
    let answers = get(&sandbox, "/").await;
    let answers: Vec<LaunchAnswer> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    match answers.as_slice() {
        [LaunchAnswer::Started(facts), LaunchAnswer::AgentFailed(message)] => {
            assert!(facts.caveat.as_ref().unwrap().contains("does not let us answer bind calls"), "{facts:?}");
            assert!(message.contains(&format!("port {port} is in use on this host")), "{message}");
        }
        other => panic!("{other:?}"),
    }
    sandbox.kill(Duration::ZERO).await;
    assert_eq!(world.processes(), 0);
}

#[tokio::test]
async fn the_sidecar_is_no_child_of_the_server_and_ends_with_its_agent() {
    let world = World::new().await;
    let sandbox = world.launch_ready(world.spec(&format!("{PING}\nserve(lambda: 'x')"))).await;
    let sidecar = world.sidecar_pid(&sandbox);
    assert!(!children_of(std::process::id()).contains(&sidecar));
    sandbox.kill(Duration::ZERO).await;
    wait_for("the sidecar to end", SOON, || has_ended(sidecar)).await;
}

/// Waits for the end of an agent that was not ready, and returns why.
async fn never_ready(sandbox: &std::sync::Arc<dyn Sandbox>) -> String {
    let mut state = sandbox.state();
    let state = state.wait_for(|state| matches!(state, AgentState::Exited(_))).await.unwrap();
    let AgentState::Exited(facts) = &*state else { unreachable!() };
    assert_eq!(facts.cause, ExitCause::NotReady);
    facts.detail.clone().unwrap()
}
