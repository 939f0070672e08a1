//! A control plane on a temporary directory, and the maker that the test commands.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use innkeep_auth::policy;
use innkeep_control::{Control, ControlConfig, MakeFailed, Maker, Principal, route};
use innkeep_sandbox::tasks::Tasks;
use innkeep_store::{Store, VersionRecord};
use innkeep_types::{AccountId, ArtifactDigest, Clock, EndpointArn, Region, RuntimeArn, RuntimeVersion, UnixMillis};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;

/// The clock of every test stands still.
pub(crate) const NOW: &str = "2026-11-20T10:00:00.000Z";

#[derive(Debug)]
struct StoppedClock;

impl Clock for StoppedClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(1_795_168_800_000)
    }
}

/// Makes what it is told to, once it is let.
#[derive(Debug)]
pub(crate) struct FakeMaker {
    /// How the next ones end; then all end well.
    pub(crate) failures: Mutex<VecDeque<MakeFailed>>,
    /// Whether the next one is a panic.
    pub(crate) panics: Mutex<bool>,
    /// Whether making and unmaking may end.
    pub(crate) open: watch::Sender<bool>,
    /// What was asked of it: `make ID VERSION[ of BUNDLE]`, `check ID VERSION`, `unmake ID [VERSION]`.
    pub(crate) calls: Mutex<Vec<String>>,
    /// How many versions are being made, and how many were at most.
    pub(crate) now: Mutex<usize>,
    pub(crate) most_at_once: Mutex<usize>,
}

impl FakeMaker {
    async fn opened(&self) {
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
    }

    async fn boot(&self, what: &str, version: &VersionRecord) -> Result<(), MakeFailed> {
        let pinned = version.bundle.as_ref().filter(|_| version.status.in_progress());
        let pinned = pinned.map_or_else(String::new, |bundle| format!(" of {}", &bundle.as_str()[..4]));
        self.calls.lock().push(format!("{what} {} {}{pinned}", version.runtime, version.version));
        {
            let (mut now, mut most) = (self.now.lock(), self.most_at_once.lock());
            *now += 1;
            *most = (*most).max(*now);
        }
        self.opened().await;
        *self.now.lock() -= 1;
        assert!(!std::mem::take(&mut *self.panics.lock()), "a defect of the maker");
        self.failures.lock().pop_front().map_or(Ok(()), Err)
    }

    pub(crate) fn fail_next(&self, reason: &str) {
        let log = vec!["secret line".to_owned()];
        self.failures.lock().push_back(MakeFailed::Failed { reason: reason.to_owned(), log });
    }
}

#[async_trait]
impl Maker for FakeMaker {
    async fn make(&self, version: &VersionRecord) -> Result<ArtifactDigest, MakeFailed> {
        self.boot("make", version).await?;
        Ok(ArtifactDigest::parse("ab".repeat(32)).unwrap())
    }

    async fn check(&self, version: &VersionRecord) -> Result<(), MakeFailed> {
        assert!(version.bundle.is_some(), "what it is made of is not to be found out anew");
        self.boot("check", version).await
    }

    async fn unmake(&self, runtime: &RuntimeArn, version: Option<RuntimeVersion>) {
        let version = version.map_or_else(String::new, |version| format!(" {version}"));
        self.calls.lock().push(format!("unmake {}{version}", runtime.runtime));
        self.opened().await;
    }

    async fn unmake_endpoint(&self, endpoint: &EndpointArn) {
        self.calls.lock().push(format!("unmake {}/{}", endpoint.runtime.runtime, endpoint.endpoint));
        self.opened().await;
    }
}

pub(crate) struct Plane {
    pub(crate) control: Control,
    pub(crate) store: Store,
    pub(crate) maker: Arc<FakeMaker>,
    pub(crate) tasks: Tasks,
}

/// What came back.
#[derive(Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// `x-amzn-ErrorType`.
    pub(crate) exception: Option<String>,
    pub(crate) body: Value,
}

impl Answer {
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.body
    }

    #[track_caller]
    pub(crate) fn refuses(self, status: u16, exception: &str, message: &str) {
        assert_eq!((self.status, self.exception.as_deref()), (status, Some(exception)), "{self:?}");
        assert_eq!(self.body["message"], message);
    }
}

/// Returns a control plane on a directory of its own.
pub(crate) async fn plane() -> (Plane, TempDir) {
    let dir = tempfile::tempdir().unwrap();
    (Plane::open(dir.path()).await, dir)
}

/// Returns a user with these policies.
pub(crate) fn user(name: &str, documents: &[&str], operator: bool) -> Principal {
    let (policies, unreadable) = innkeep_auth::Principal::stored_policies(documents.iter().copied());
    assert_eq!(unreadable, []);
    let account = AccountId::parse("000000000000").unwrap();
    let who = Arc::new(innkeep_auth::Principal::user(name, &account, policies, operator));
    Principal { key_id: "AKIATEST".to_owned(), who }
}

impl Plane {
    pub(crate) async fn open(dir: &Path) -> Self {
        Self::open_with(dir, 64).await
    }

    /// Opens one that makes so many versions at one time.
    pub(crate) async fn open_with(dir: &Path, checks: usize) -> Self {
        let store = Store::open(dir).await.unwrap();
        let (failures, panics, calls, now, most_at_once) = Default::default();
        let maker = Arc::new(FakeMaker { failures, panics, open: watch::Sender::new(true), calls, now, most_at_once });
        let tasks = Tasks::default();
        let control = Control::new(ControlConfig {
            store: store.clone(),
            maker: maker.clone(),
            region: Region::parse("us-west-2").unwrap(),
            account: AccountId::parse("000000000000").unwrap(),
            clock: Arc::new(StoppedClock),
            tasks: tasks.clone(),
            max_concurrent_checks: checks,
            page_key: [7; 32],
            client_token_key: [8; 32],
        });
        Self { control, store, maker, tasks }
    }

    pub(crate) async fn send(&self, request: Request<Bytes>) -> Answer {
        self.send_as(&user("admin", &[policy::ready("admin").unwrap()], false), request).await
    }

    pub(crate) async fn send_as(&self, principal: &Principal, request: Request<Bytes>) -> Answer {
        let (parts, body) = request.into_parts();
        let route = route(&parts.method, parts.uri.path()).expect("a control-plane path");
        let response = self.control.handle(&route, &parts, body, principal).await;
        if response.status() == 204 {
            assert!(
                response.headers().is_empty() && response.into_body().collect().await.unwrap().to_bytes().is_empty()
            );
            return Answer { status: 204, exception: None, body: Value::Null };
        }
        assert_eq!(response.headers()["content-type"], "application/json");
        let exception = response.headers().get("x-amzn-errortype").map(|v| v.to_str().unwrap().to_owned());
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Answer { status, exception, body: serde_json::from_slice(&bytes).unwrap() }
    }

    pub(crate) async fn call(&self, method: &str, target: &str, body: &Value) -> Answer {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        self.send(Request::builder().method(method).uri(target).body(body).unwrap()).await
    }

    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.call("GET", target, &Value::Null).await
    }

    /// Creates a runtime and returns its id once it is no longer CREATING.
    pub(crate) async fn create(&self, name: &str) -> String {
        let mut body = request();
        body["agentRuntimeName"] = json!(name);
        let created = self.call("PUT", "/runtimes/", &body).await.is(202);
        let id = created["agentRuntimeId"].as_str().unwrap().to_owned();
        self.settled(&id).await;
        id
    }

    /// Returns the runtime as Get shows it once nothing of it is in progress.
    pub(crate) async fn settled(&self, id: &str) -> Answer {
        self.wait_for(|| async {
            let answer = self.get(&format!("/runtimes/{id}/")).await;
            let in_progress = answer.body["status"].as_str().is_some_and(|status| status.ends_with("ING"));
            (!in_progress).then_some(answer)
        })
        .await
    }

    /// Asks until there is an answer.
    pub(crate) async fn wait_for<T, F: Future<Output = Option<T>>>(&self, ask: impl Fn() -> F) -> T {
        let asked = async {
            loop {
                if let Some(answer) = ask().await {
                    return answer;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asked).await.expect("it happens within 20 s")
    }

    /// Reads an answer of what the operator API asks for.
    pub(crate) async fn answer(response: Response<Full<Bytes>>) -> (u16, Value) {
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap())
    }

    pub(crate) fn calls(&self) -> Vec<String> {
        self.maker.calls.lock().clone()
    }
}

/// A request that Create and Update accept.
pub(crate) fn request() -> Value {
    json!({
        "agentRuntimeName": "hello",
        "agentRuntimeArtifact": {"codeConfiguration": {
            "code": {"s3": {"bucket": "innkeep", "prefix": "abc"}},
            "runtime": "PYTHON_3_12",
            "entryPoint": ["main.py"],
        }},
        "roleArn": "arn:aws:iam::000000000000:role/agent",
    })
}

/// The request with the member at the dotted path set; null removes it.
pub(crate) fn request_with(path: &str, value: Value) -> Value {
    let mut body = request();
    let pointer = format!("/{}", path.replace('.', "/"));
    let (parent, member) = pointer.rsplit_once('/').unwrap();
    let mut object = &mut body;
    for step in parent.split('/').skip(1) {
        object = &mut object[step];
    }
    if value.is_null() {
        object.as_object_mut().unwrap().remove(member);
    } else {
        object[member] = value;
    }
    body
}
