//! Named endpoints: which version a session runs when they move and when they are split.

use std::collections::{BTreeMap, BTreeSet};

use innkeep_store::{EndpointChange, Moved, NewEndpoint};
use innkeep_types::{EndpointName, RuntimeId, RuntimeVersion, SessionId, UnixMillis};

use crate::agent::json;
use crate::client::{Answer, Call, Client, encode};
use crate::world::{ARN, RUNTIME, World};

/// Returns a world with versions 1 to `n`, and an endpoint `prod` that serves version 1.
async fn world(n: u32) -> World {
    let world = World::new(json("{}")).await;
    for _ in 1..n {
        world.add_version().await;
    }
    let new = NewEndpoint {
        runtime: runtime(),
        name: prod(),
        target: Some(RuntimeVersion::FIRST),
        description: None,
        tags: BTreeMap::new(),
        token: None,
        at: UnixMillis(0),
    };
    let created = world.store.create_endpoint(new).await.unwrap().endpoint;
    assert!(world.store.finish_move(&created, Moved::Done, UnixMillis(0)).await.unwrap());
    world
}

fn runtime() -> RuntimeId {
    RuntimeId::parse(RUNTIME).unwrap()
}

fn prod() -> EndpointName {
    EndpointName::parse("prod").unwrap()
}

async fn split(world: &World, weights: &[(u32, u32)]) {
    let weights = weights.iter().map(|(version, weight)| (RuntimeVersion::new(*version).unwrap(), *weight)).collect();
    world.store.split_endpoint(&runtime(), &prod(), weights, UnixMillis(0)).await.unwrap();
}

async fn send(client: &mut Client, session: &str) -> Answer {
    let path = format!("/runtimes/{}/invocations?qualifier=prod", encode(ARN));
    let session = SessionId::from_short(session).unwrap();
    client.send(Call::to(&path, "{}").session(session.as_str())).await
}

/// Invokes a session; returns how its sandbox was found, and the version that it runs.
async fn ask(client: &mut Client, session: &str) -> String {
    let answer = send(client, session).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    format!("{} v{}", answer.header("x-innkeep-start"), answer.header("x-innkeep-version"))
}

#[tokio::test]
async fn a_running_session_keeps_its_version_when_its_endpoint_moves() {
    let world = world(2).await;
    let mut client = world.client().await;
    assert_eq!(ask(&mut client, "old").await, "cold v1");
    let change = EndpointChange {
        runtime: runtime(),
        name: prod(),
        target: RuntimeVersion::new(2),
        description: None,
        token: None,
        at: UnixMillis(0),
    };
    let moving = world.store.update_endpoint(change).await.unwrap().endpoint;
    assert_eq!(ask(&mut client, "early").await, "cold v1", "the move has not ended");
    assert!(world.store.finish_move(&moving, Moved::Done, UnixMillis(0)).await.unwrap());
    assert_eq!(ask(&mut client, "new").await, "cold v2");
    assert_eq!(ask(&mut client, "old").await, "warm v1");

    world.store.begin_delete_endpoint(&runtime(), &prod(), None, UnixMillis(0)).await.unwrap();
    let path = format!("/runtimes/{}/invocations?qualifier=prod", encode(ARN));
    assert_eq!(client.send(Call::to(&path, "{}")).await.status, 404, "nothing new on what is going");
}

#[tokio::test]
async fn a_split_shares_new_sessions_out_and_never_moves_a_running_one() {
    let world = world(2).await;
    let mut client = world.client().await;
    split(&world, &[(1, 1), (2, 1)]).await;
    let mut versions = BTreeMap::new();
    for n in 0..24 {
        let session = format!("s{n}");
        let started = ask(&mut client, &session).await;
        let version = started.strip_prefix("cold ").unwrap().to_owned();
        versions.insert(session, version);
    }
    let seen: BTreeSet<_> = versions.values().map(String::as_str).collect();
    assert_eq!(seen, BTreeSet::from(["v1", "v2"]));
    split(&world, &[(2, 1)]).await;
    for (session, version) in &versions {
        assert_eq!(ask(&mut client, session).await, format!("warm {version}"));
    }
    assert_eq!(ask(&mut client, "fresh").await, "cold v2");
}

#[tokio::test]
async fn a_session_that_comes_back_goes_where_its_id_says() {
    let world = world(3).await;
    let mut client = world.client().await;
    split(&world, &[(1, 5), (2, 5), (3, 5)]).await;
    let before = ask(&mut client, "again").await;
    let session = SessionId::from_short("again").unwrap();
    let stop = format!("/runtimes/{}/stopruntimesession?qualifier=prod", encode(ARN));
    assert_eq!(client.send(Call::to(&stop, "{}").session(session.as_str())).await.status, 200);
    assert_eq!(ask(&mut client, "again").await, before);
}

#[tokio::test]
async fn a_part_that_cannot_be_started_fails_its_own_sessions_alone() {
    let world = world(3).await;
    let mut client = world.client().await;
    split(&world, &[(1, 1), (2, 1)]).await;
    world.break_version(2);
    let mut statuses = BTreeMap::new();
    for n in 0..24 {
        let session = format!("s{n}");
        let answer = send(&mut client, &session).await;
        if answer.status == 200 {
            assert_eq!(answer.header("x-innkeep-version"), "1");
        }
        statuses.insert(session, answer.status.as_u16());
    }
    assert_eq!(statuses.values().copied().collect::<BTreeSet<_>>(), BTreeSet::from([200, 500]));
    world.break_version(3);
    for (session, status) in statuses {
        let want = if status == 200 { "warm v1" } else { "cold v2" };
        assert_eq!(ask(&mut client, &session).await, want, "mended without a change in the store");
    }
}
