//! What a start waits for, and what it does not.

use std::collections::BTreeMap;
use std::time::Duration;

use innkeep_server::{Config, Isolation, Server};
use innkeep_store::{NewRuntime, Outcome, Store};
use innkeep_types::{
    Artifact, ArtifactDigest, Clock, Lifecycle, Protocol, RuntimeId, RuntimeName, RuntimeVersion, Settings,
    SystemClock, VersionConfig,
};
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::wire::SOON;

/// Keeps in `data_dir` a runtime whose image is at `uri`, and not here any more.
async fn keep_image(data_dir: &std::path::Path, uri: String) {
    let store = Store::open(data_dir).await.unwrap();
    let (name, now) = (RuntimeName::parse("pulled").unwrap(), SystemClock.now());
    let config = VersionConfig {
        artifact: Artifact::Container { uri },
        role_arn: "arn:aws:iam::000000000000:role/x".to_owned(),
        description: None,
        protocol: Protocol::default(),
        lifecycle: Lifecycle::default(),
        environment: BTreeMap::new(),
        platform_version: None,
        minimum_memory_mib: None,
        warmup: None,
        request_headers: Vec::new(),
        kept: BTreeMap::new(),
    };
    let id = RuntimeId::generate(&name, [7; 10]);
    let new = NewRuntime {
        id: id.clone(),
        name,
        config,
        settings: Settings::default(),
        tags: BTreeMap::new(),
        token: None,
        at: now,
    };
    store.create_runtime(new).await.unwrap();
    let bundle = ArtifactDigest::parse("0f".repeat(32)).unwrap();
    store.finish_version(&id, RuntimeVersion::new(1).unwrap(), Outcome::Ready { bundle }, now).await.unwrap();
    store.close().await.unwrap();
}

/// The registry takes connections and says nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_and_a_shutdown_do_not_wait_for_registries() {
    let registry = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let data_dir = tempfile::tempdir().unwrap();
    keep_image(data_dir.path(), format!("{}/agent:v1", registry.local_addr().unwrap())).await;
    let server = Server::start(Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        data_dir: data_dir.path().to_owned(),
        isolation: Isolation::Process,
        ..Config::default()
    });
    let server = timeout(SOON, server).await.expect("a start that waits for nobody").unwrap();
    // It is asked all the same.
    let asked = timeout(SOON, registry.accept()).await.expect("a registry that is asked").unwrap();
    timeout(SOON, server.shutdown(Duration::from_secs(1))).await.expect("an end that waits for nobody");
    drop(asked);
}
