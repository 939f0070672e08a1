//! What is kept of the last requests: names of headers that agents did not get, of requests that were let in.

use http_body_util::BodyExt;
use innkeep_gateway::{Limit, Limits, RecentRequest};
use innkeep_testkit::wait_for;
use innkeep_types::RuntimeId;

use crate::agent::{Step, chunk, chunked_head, json};
use crate::client::Call;
use crate::world::{PLAIN_KEY, RUNTIME, SESSION, SOON, World};

fn kept(world: &World) -> Vec<RecentRequest> {
    world.gateway.recent_requests(&RuntimeId::parse(RUNTIME).unwrap()).requests
}

fn names(request: &RecentRequest) -> Vec<&str> {
    let mut names: Vec<_> = request.dropped.names.iter().map(http::HeaderName::as_str).collect();
    names.sort_unstable();
    names
}

#[tokio::test]
async fn the_names_of_what_an_agent_did_not_get_are_kept_and_no_values() {
    let world = World::new(json("{}")).await;
    world.update(|config| config.request_headers = vec!["x-tenant".to_owned()]).await;
    let call = Call::invoke("{}")
        .header("x-tenant", "a")
        .header("x-secret", "hunter2")
        .header("cookie", "hunter2")
        .header("baggage", "session.id=1");
    let answered = world.client().await.send(call).await;
    let all = kept(&world);
    let request = all.first().unwrap();
    assert_eq!(names(request), ["authorization", "cookie", "x-amz-date", "x-secret"]);
    assert_eq!((request.status, request.operation), (200, "InvokeAgentRuntime"));
    assert_eq!(request.id.as_str(), answered.header("x-amzn-requestid"));
    assert_eq!(request.session.as_ref().unwrap().as_str(), SESSION);
    assert!(!format!("{all:?}").contains("hunter2"));
}

#[tokio::test]
async fn it_is_the_list_of_the_version_that_answered() {
    let world = World::new(json("{}")).await;
    world.update(|config| config.request_headers = vec!["x-tenant".to_owned()]).await;
    let mut client = world.client().await;
    let call = || Call::invoke("{}").header("x-tenant", "a").header("x-other", "b");
    client.send(call()).await;
    world.update(|config| config.request_headers = vec!["x-other".to_owned()]).await;
    client.send(call()).await;
    client.send(call().session("another-session-of-thirty-six-chars-2")).await;
    let all = kept(&world);
    let missed = |session: &str| {
        let of = all.iter().filter(|request| request.session.as_ref().unwrap().as_str() == session);
        of.map(|request| names(request).contains(&"x-other")).collect::<Vec<_>>()
    };
    assert_eq!((missed(SESSION), missed("another-session-of-thirty-six-chars-2")), (vec![true, true], vec![false]));
}

#[tokio::test]
async fn who_was_not_let_in_leaves_nothing_and_who_failed_does() {
    let world = World::new(vec![Step::Close]).await;
    let mut client = world.client().await;
    world.principal_of(PLAIN_KEY, &[]);
    for call in [Call::invoke("{}").key(None), Call::invoke("{}").key(Some(PLAIN_KEY))] {
        assert_eq!(client.send(call).await.status, 403);
    }
    assert_eq!(kept(&world), []);
    assert_eq!(client.send(Call::invoke("{}")).await.status, 424);
    assert_eq!(kept(&world).first().unwrap().status, 424);
}

#[tokio::test]
async fn more_requests_than_are_let_in_are_429_each_caller_for_himself_and_are_counted() {
    let world = World::with_limits(json("{}"), Limits { max_requests_per_second: 1, ..Limits::default() }).await;
    let mut client = world.client().await;
    let mut refused = None;
    for _ in 0..100 {
        let answer = client.send(Call::invoke("{}")).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.unwrap();
    assert!(refused.error().starts_with("429 ThrottlingException (caller)\n"), "{}", refused.error());
    let seconds: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds));
    assert_eq!(world.gateway.crossings(Limit::RequestRate), 1);
    // Who proves nothing is not counted, and takes nothing away.
    assert_eq!(client.send(Call::invoke("{}").key(None)).await.status, 403);
    assert_eq!(world.gateway.crossings(Limit::RequestRate), 1);
    assert_eq!(client.send(Call::invoke("{}").key(Some(PLAIN_KEY))).await.status, 200, "another caller has a share");
}

#[tokio::test]
async fn limits_that_are_crossed_are_counted() {
    let short = std::time::Duration::from_millis(200);
    let limits = Limits { max_body_bytes: 10, sync_request_timeout: short, ..Limits::default() };
    let world = World::with_limits(json("an answer of more than ten bytes"), limits).await;
    let mut client = world.client().await;
    assert_eq!(client.send(Call::invoke("more than ten bytes")).await.status, 400);
    assert_eq!(client.send(Call::invoke("{}")).await.status, 424);
    assert_eq!(world.gateway.crossings(Limit::Body), 2);
    world.agent.does(vec![Step::WaitForClose]);
    assert_eq!(client.send(Call::invoke("{}")).await.status, 504);
    assert_eq!((world.gateway.crossings(Limit::SyncRequest), world.gateway.crossings(Limit::Stream)), (1, 0));
}

#[tokio::test]
async fn a_stream_that_is_cut_at_its_end_is_counted_once() {
    let limits = Limits { stream_timeout: std::time::Duration::from_millis(300), ..Limits::default() };
    let world = World::with_limits(vec![chunked_head(), chunk("data: a\n\n"), Step::WaitForClose], limits).await;
    let mut client = world.client().await;
    let answer = client.open(Call::invoke("{}")).await;
    assert!(answer.into_body().collect().await.is_err());
    wait_for("its lease to end", SOON, || world.open_requests() == 0).await;
    assert_eq!(world.gateway.crossings(Limit::Stream), 1);
}
