//! The control plane: rest-json operations on runtimes, their versions and endpoints, one file per operation.
//!
//! A request arrives authenticated and with its whole body. [`route()`] finds the operation, [`Control::handle`] performs it:
//! parse, validate everything at once, one durable write, answer. What takes long (booting a version, ending sessions) is `work`
//! and `moves`: it goes on after the answer and is taken up again by [`Control::resume`] after a crash. Nothing here
//! starts a sandbox or knows what one is: that is the [`Maker`]'s.

mod answer;
mod authorize;
mod client_token;
mod create_agent_runtime;
mod create_agent_runtime_endpoint;
mod create_capacity_provider;
mod delete_agent_runtime;
mod delete_agent_runtime_endpoint;
mod delete_capacity_provider;
mod delete_resource_policy;
mod diff_versions;
mod dispatch;
mod error;
mod get_agent_runtime;
mod get_agent_runtime_endpoint;
mod get_capacity_provider;
mod get_resource_policy;
mod list_agent_runtime_endpoints;
mod list_agent_runtime_versions;
mod list_agent_runtime_versions_by_capacity_provider;
mod list_agent_runtimes;
mod list_capacity_providers;
mod list_tags_for_resource;
mod local_maker;
mod maker;
mod model;
mod moves;
mod page;
mod policy;
mod put_resource_policy;
mod put_settings;
mod queue;
mod request;
mod resource;
mod rollback;
mod route;
mod shape;
mod tag_resource;
mod untag_resource;
mod update_agent_runtime;
mod update_agent_runtime_endpoint;
mod update_capacity_provider;
mod validate;
mod wire;
mod work;

use std::sync::Arc;

use innkeep_sandbox::tasks::Tasks;
use innkeep_store::Store;
use innkeep_types::{AccountId, Clock, Region, RuntimeArn, RuntimeId};

pub use local_maker::LocalMaker;
pub use maker::{MakeFailed, Maker};
pub use route::{Route, route};

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
    /// Keys the digests by which repeated requests are known. As [`Self::page_key`], and another.
    pub client_token_key: [u8; 32],
}

/// Who is calling, as authenticated before.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The access key's id.
    pub key_id: String,
    /// Whose the key is, and what that one may do.
    pub who: Arc<innkeep_auth::Principal>,
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
    client_tokens: client_token::Digests,
}

impl Control {
    /// Returns the control plane. Call [`Control::resume`] once before requests arrive.
    pub fn new(config: ControlConfig) -> Self {
        let (queue, pages) = (Queue::new(config.max_concurrent_checks), page::Tokens::new(&config.page_key));
        let inner = Inner {
            store: config.store,
            maker: config.maker,
            region: config.region,
            account: config.account,
            clock: config.clock,
            tasks: config.tasks,
            queue: Arc::new(queue),
            pages,
            client_tokens: client_token::Digests::new(&config.client_token_key),
        };
        Self { inner: Arc::new(inner) }
    }

    fn arn(&self, runtime: &RuntimeId) -> RuntimeArn {
        RuntimeArn::new(self.inner.region.clone(), self.inner.account.clone(), runtime.clone())
    }
}
