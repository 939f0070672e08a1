//! The control plane: rest-json operations on runtimes, their versions and endpoints, one file per operation.
//!
//! A request arrives authenticated and with its whole body. [`route()`] finds the operation, [`Control::handle`] performs it:
//! parse, validate everything at once, one durable write, answer. What takes long (booting a version, ending a runtime's
//! sessions) is `work`: it goes on after the answer and is taken up again by [`Control::resume`] after a crash. Nothing here
//! starts a sandbox or knows what one is: that is the [`Maker`]'s.

mod answer;
mod create_agent_runtime;
mod delete_agent_runtime;
mod error;
mod get_agent_runtime;
mod get_agent_runtime_endpoint;
mod list_agent_runtime_endpoints;
mod list_agent_runtime_versions;
mod list_agent_runtimes;
mod local_maker;
mod maker;
#[expect(dead_code, reason = "the operations come to use them one by one")]
mod model;
mod page;
mod queue;
mod request;
mod route;
mod shape;
mod update_agent_runtime;
mod validate;
mod wire;
mod work;

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body_util::Full;
use innkeep_sandbox::tasks::Tasks;
use innkeep_store::Store;
use innkeep_types::{AccountId, Clock, Region, RuntimeArn, RuntimeId};

pub use local_maker::LocalMaker;
pub use maker::{MakeFailed, Maker};
pub use route::{Route, route};

use error::Error;
use queue::Queue;

/// What the control plane is made of.
#[derive(Debug)]
pub struct ControlConfig {
    /// Where runtimes are kept.
    pub store: Store,
    /// What makes versions ready and ends them.
    pub maker: Arc<dyn Maker>,
    /// The region in ARNs.
    pub region: Region,
    /// The account in ARNs.
    pub account: AccountId,
    /// Where timestamps come from.
    pub clock: Arc<dyn Clock>,
    /// Owner of the work that outlives a request.
    pub tasks: Tasks,
    /// Versions that are made at one time; more wait. 0: none is made, until a start with another number.
    pub max_concurrent_checks: usize,
    /// Signs page tokens. A token is good as long as the key is: keep it across restarts, share it among replicas.
    pub page_key: [u8; 32],
}

/// Who is calling, as authenticated before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The access key's id.
    pub key_id: String,
    /// Whether the key has operator rights.
    pub operator: bool,
}

/// Handle to the control plane; clones share it.
#[derive(Debug, Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    maker: Arc<dyn Maker>,
    region: Region,
    account: AccountId,
    clock: Arc<dyn Clock>,
    tasks: Tasks,
    queue: Arc<Queue>,
    pages: page::Tokens,
}

impl Control {
    /// Returns the control plane. Call [`Control::resume`] once before requests arrive.
    pub fn new(config: ControlConfig) -> Self {
        let ControlConfig { store, maker, region, account, clock, tasks, max_concurrent_checks, page_key } = config;
        let (queue, pages) = (Arc::new(Queue::new(max_concurrent_checks)), page::Tokens::new(&page_key));
        Self { inner: Arc::new(Inner { store, maker, region, account, clock, tasks, queue, pages }) }
    }

    /// Performs the operation and returns its answer, an error's too. `body` is the whole request body.
    /// # Cancel safety
    /// Safe: a change once begun is brought to its end when the caller goes away.
    pub async fn handle(
        &self,
        route: &Route,
        parts: &Parts,
        body: Bytes,
        principal: &Principal,
    ) -> Response<Full<Bytes>> {
        let done = match route {
            Route::CreateAgentRuntime => {
                self.create_agent_runtime(parts, &body, principal).await.and_then(answer::accepted)
            }
            Route::GetAgentRuntime { runtime } => self.get_agent_runtime(runtime, parts).await.and_then(answer::ok),
            Route::UpdateAgentRuntime { runtime } => {
                self.update_agent_runtime(runtime, parts, &body, principal).await.and_then(answer::accepted)
            }
            Route::DeleteAgentRuntime { runtime } => {
                self.delete_agent_runtime(runtime, parts, principal).await.and_then(answer::accepted)
            }
            Route::ListAgentRuntimes => self.list_agent_runtimes(parts).await.and_then(answer::ok),
            Route::ListAgentRuntimeVersions { runtime } => {
                self.list_agent_runtime_versions(runtime, parts).await.and_then(answer::ok)
            }
            Route::GetAgentRuntimeEndpoint { runtime, endpoint } => {
                self.get_agent_runtime_endpoint(runtime, endpoint).await.and_then(answer::ok)
            }
            Route::ListAgentRuntimeEndpoints { runtime } => {
                self.list_agent_runtime_endpoints(runtime, parts).await.and_then(answer::ok)
            }
            Route::NotYet => Err(Error::NotYet { method: parts.method.clone(), path: parts.uri.path().to_owned() }),
        };
        done.unwrap_or_else(|error| error.into_response())
    }

    fn arn(&self, runtime: &RuntimeId) -> RuntimeArn {
        RuntimeArn::new(self.inner.region.clone(), self.inner.account.clone(), runtime.clone())
    }
}
