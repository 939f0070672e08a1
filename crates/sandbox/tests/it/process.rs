//! What is true of the `process` driver alone: the host's network, and its files, are the agent's too.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use innkeep_artifacts::Content;
use innkeep_protocol::link::LaunchAnswer;
use innkeep_sandbox::driver::Error;

use crate::conformance::agent::{PING, get, obedient, run};
use crate::conformance::world::{Kind, World};
use crate::conformance::{every_kind, images};

every_kind!(Process);

#[tokio::test]
async fn an_agent_has_a_home_on_the_host_which_goes_with_it() {
    let world = World::enter(Kind::Process, "").await.unwrap();
    let sandbox = obedient(&world).await;
    let home = PathBuf::from(run(&sandbox, "os.environ['HOME']").await.as_str().unwrap());
    assert!(home.is_dir() && home.starts_with(world.directory(&sandbox)));
    assert_eq!(run(&sandbox, "os.environ['TMPDIR']").await, home.to_str().unwrap());
    assert_eq!(sandbox.usage(), None, "nothing counts");
    sandbox.kill(Duration::ZERO).await;
    assert!(!home.exists());
}

#[tokio::test]
async fn an_image_is_refused_and_what_to_do_about_it_is_said() {
    let world = World::enter(Kind::Process, "").await.unwrap();
    let mut spec = world.spec("");
    let top = world.path().join("top");
    fs::create_dir(&top).unwrap();
    let image = images::python(&top, "");
    std::sync::Arc::make_mut(&mut spec.bundle).content = Content::Image { image };
    let directory = world.sandbox_directory(&spec.sandbox);
    match world.launch(spec).await {
        Err(Error::NoImages { why, fix }) => {
            assert_eq!(
                (why.as_str(), fix.as_str()),
                ("images run in containers", "start the server with --isolation container")
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(!directory.exists());
    assert_eq!(
        world.driver.capabilities().no_images.map(|missing| missing.why),
        Some("images run in containers".to_owned())
    );
}

/// Under a sidecar's filter the kernel refuses a second one: just the host that this is about.
#[tokio::test]
async fn where_binds_cannot_be_answered_the_agent_is_told_its_port_and_two_collide() {
    let world = World::enter(Kind::Process, "").await.unwrap();
    // Below the ports that the kernel gives out: those of the other tests' agents.
    let port = 20_000 + std::process::id() % 10_000;
    let code = world.spec("").bundle.code().unwrap().to_owned();
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
