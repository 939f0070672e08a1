//! Isolation demanded and isolation given.

use innkeep_server::{Config, Error, Isolation, Server};
use innkeep_types::{RuntimeStatus, Settings, Tier};

use crate::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_that_demands_more_than_the_server_gives_is_not_made_and_says_why() {
    let world = World::new(Config::default()).await;
    let demanding = |tier| Settings { isolation: Some(tier), ..Settings::default() };
    let refused = world.deploy("demanding", &demanding(Tier::Container)).await;
    assert_eq!(refused.status, RuntimeStatus::CreateFailed);
    let reason = refused.failure_reason.unwrap();
    assert!(reason.contains("demands isolation container, and this server gives process"), "{reason}");
    assert!(reason.contains("--isolation container"), "{reason}");
    let modest = world.deploy("modest", &demanding(Tier::Process)).await;
    assert_eq!(modest.status, RuntimeStatus::Ready, "{:?}", modest.failure_reason);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_whose_containers_cannot_be_made_does_not_start_and_says_what_to_do() {
    for isolation in [Isolation::Auto, Isolation::Container] {
        let data_dir = tempfile::tempdir().unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        // A base that is not there: no host makes containers of it.
        let base = innkeep_protocol::walls::Base::Tree("/nonexistent/base".into());
        let data_dir = data_dir.path().to_owned();
        let started = Server::start(Config { isolation, listen, base, data_dir, ..Config::default() }).await;
        let refused = started.map(|_| ()).unwrap_err();
        assert!(matches!(refused, Error::NoIsolation(_) | Error::NoContainers(_)), "{refused}");
        let fix = refused.fix().unwrap();
        assert!(fix.contains("innkeep doctor"), "{fix}");
        assert_eq!(fix.contains("--isolation process"), isolation == Isolation::Auto, "{fix}");
    }
}
