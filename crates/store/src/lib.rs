//! Durable state behind one handle.
//!
//! SQLite in WAL mode: one writer thread with a bounded queue that commits in groups, and readers of their own. An
//! acknowledged write survives `kill -9` (`synchronous=FULL`). Secrets and environments are sealed with the key file's
//! key.

mod access_keys;
mod audit;
mod backup;
mod capacity_providers;
mod columns;
mod db;
mod deletion;
mod endpoints;
mod error;
mod invocations;
mod making;
mod migrate;
mod moves;
mod policies;
mod pool_members;
mod quotas;
mod readers;
mod records;
mod runtimes;
mod sandboxes;
mod seal;
pub mod secret_key;
mod sessions;
mod tags;
mod tokens;
mod versions;
mod writer;

use std::path::Path;
use std::sync::Arc;

use innkeep_types::{
    AuditEvent, EndpointName, RuntimeId, RuntimeName, RuntimeVersion, SandboxId, SessionKey, Settings, UnixMillis,
    VersionConfig,
};
use tokio::sync::watch;
use tokio::task::spawn_blocking;

use db::Db;
use readers::Readers;
use seal::Sealer;
use tokens::Operation;
use writer::Writer;

pub use audit::AuditFilter;
pub use capacity_providers::{CapacityProviderRecord, NewCapacityProvider};
pub use error::Error;
pub use policies::Attached;
pub use quotas::Quotas;
pub use records::endpoint::{Begins, EndpointAccepted, EndpointChange, EndpointRecord, Moved, NewEndpoint, Share};
pub use records::{
    Accepted, AccessKey, ClientToken, Deployed, InvocationRecord, ListedVersion, NewRuntime, Outcome, PoolMemberRecord,
    RuntimeRecord, SandboxFilter, SandboxRecord, SessionRecord, VersionRecord,
};
pub use seal::Error as SealError;
pub use tags::Tagged;

/// Handle to the store; clones share it. The writer ends with the last one, after what is queued.
///
/// # Cancel safety
/// A write whose future is dropped is done whole or not at all; which of them, a read tells. Reads may be dropped.
#[derive(Debug, Clone)]
pub struct Store {
    writer: Arc<Writer>,
    readers: Arc<Readers>,
    sealer: Arc<Sealer>,
}

impl Store {
    /// Opens, or creates, `innkeep.db` in `data_dir`, which exists and is no other process's, with the sealing key from
    /// its `secret.key` (0600, created with the database).
    ///
    /// # Errors
    /// A database of a newer program, a key that is lost, exposed or another's, and a file system that refuses.
    pub async fn open(data_dir: &Path) -> Result<Self, Error> {
        Self::open_with(data_dir, Quotas::default()).await
    }

    /// Opens it as [`Store::open`] does, with other quotas. What is there beyond them stays.
    ///
    /// # Errors
    /// Those of [`Store::open`].
    pub async fn open_with(data_dir: &Path, quotas: Quotas) -> Result<Self, Error> {
        let data_dir = data_dir.to_owned();
        let opened = spawn_blocking(move || {
            let db = Db::open_writer(&data_dir, quotas)?;
            let sealer = Arc::clone(&db.sealer);
            let readers = Arc::new(Readers::of(&db));
            let writer = Arc::new(Writer::spawn(db, Arc::clone(&readers))?);
            Ok(Self { writer, readers, sealer })
        });
        opened.await.map_err(|_| Error::Closed)?
    }

    /// Copies the database in `data_dir` to the new file `to` as it is at one moment; a server may be writing to it. With the
    /// `secret.key` beside it the copy can be opened as any database.
    ///
    /// # Errors
    /// A file system that refuses, and a database that cannot be read.
    pub async fn copy(data_dir: &Path, to: &Path) -> Result<(), Error> {
        let (data_dir, to) = (data_dir.to_owned(), to.to_owned());
        spawn_blocking(move || backup::copy(&data_dir, &to)).await.map_err(|_| Error::Closed)?
    }

    /// Rises whenever a commit may change what [`Store::resolve`] or [`Store::get_attached`] answers; caches compare it. None while such a commit
    /// is under way: what is read then is not to be kept, and what is kept may be old. No IO. A cache reads it *before* it resolves and
    /// keeps the two together: read afterwards, it could make an old answer look new.
    pub fn generation(&self) -> Option<u64> {
        self.writer.generation()
    }

    /// Returns a level that follows [`Store::generation`] when commits have ended: who waits for a change of what is served needs not look again and again.
    pub fn generations(&self) -> watch::Receiver<u64> {
        self.writer.generations()
    }

    /// Creates a runtime with version 1 in CREATING and endpoint DEFAULT in CREATING.
    ///
    /// # Errors
    /// `NameTaken`, `Quota`, `TokenMismatch`.
    pub async fn create_runtime(&self, new: NewRuntime) -> Result<Accepted, Error> {
        self.writer.write(move |db| making::create(db, new)).await
    }

    /// Adds the next version in UPDATING; `settings: None` copies the newest version's forward, as does a configuration
    /// without a platform version.
    ///
    /// # Errors
    /// `NoRuntime`, `InProgress` while the newest version is made or anything of it is deleted, `Quota`,
    /// `TokenMismatch`.
    pub async fn add_version(
        &self,
        runtime: &RuntimeId,
        config: VersionConfig,
        settings: Option<Settings>,
        token: Option<ClientToken>,
        at: UnixMillis,
    ) -> Result<Accepted, Error> {
        let runtime = runtime.clone();
        self.writer.write(move |db| making::add(db, &runtime, config, settings, token.as_ref(), at)).await
    }

    /// Returns the version that the first request with this token added to the runtime, as it was answered; none if there was none.
    ///
    /// # Errors
    /// `TokenMismatch`.
    pub async fn updated_before(
        &self,
        runtime: &RuntimeId,
        token: ClientToken,
        at: UnixMillis,
    ) -> Result<Option<VersionRecord>, Error> {
        let runtime = runtime.clone();
        self.writer.write(move |db| tokens::find(db, Operation::UpdateRuntime(&runtime), Some(&token), at)).await
    }

    /// Adds the next version in UPDATING, which differs from the newest in its settings alone.
    ///
    /// # Errors
    /// Those of [`Store::add_version`].
    pub async fn change_settings(
        &self,
        runtime: &RuntimeId,
        settings: Settings,
        at: UnixMillis,
    ) -> Result<Accepted, Error> {
        let runtime = runtime.clone();
        self.writer.write(move |db| making::change_settings(db, &runtime, settings, at)).await
    }

    /// Adds the next version in UPDATING: a copy of one that is READY, with the bundle that it runs.
    ///
    /// # Errors
    /// `NoRuntime`, `NoVersion`, `NotServable`, `InProgress` as [`Store::add_version`], `Quota`.
    pub async fn copy_version(
        &self,
        runtime: &RuntimeId,
        of: RuntimeVersion,
        at: UnixMillis,
    ) -> Result<Accepted, Error> {
        let runtime = runtime.clone();
        self.writer.write(move |db| making::copy(db, &runtime, of, at)).await
    }

    /// Returns the newest READY version before the one that the endpoint serves; the newest of all while nothing does.
    ///
    /// # Errors
    /// `NoRuntime`, `NoEndpoint`, `NothingBefore`.
    pub async fn version_before(&self, runtime: &RuntimeId, endpoint: &EndpointName) -> Result<RuntimeVersion, Error> {
        let (runtime, endpoint) = (runtime.clone(), endpoint.clone());
        self.readers.read(move |db| making::before(db, &runtime, &endpoint)).await
    }

    /// Records how the making of a version ended; READY moves DEFAULT to it.
    ///
    /// # Errors
    /// `NoVersion`, `NotInProgress`.
    pub async fn finish_version(
        &self,
        runtime: &RuntimeId,
        version: RuntimeVersion,
        outcome: Outcome,
        at: UnixMillis,
    ) -> Result<(), Error> {
        let runtime = runtime.clone();
        self.writer.write(move |db| making::finish(db, &runtime, version, &outcome, at)).await
    }

    /// Marks DELETING: the whole runtime, or one version. A token that was sent before is accepted and changes nothing.
    ///
    /// # Errors
    /// `NoRuntime`, `NoVersion`, `InProgress` while a version is made or the same thing is deleted; for the whole runtime also
    /// `EndpointInProgress`; for one version also `OnlyVersion`, `Served` and `Targeted`; `TokenMismatch`.
    pub async fn begin_delete(
        &self,
        runtime: &RuntimeId,
        version: Option<RuntimeVersion>,
        token: Option<ClientToken>,
        at: UnixMillis,
    ) -> Result<(), Error> {
        let runtime = runtime.clone();
        self.writer.write(move |db| deletion::begin(db, &runtime, version, token.as_ref(), at)).await
    }

    /// Removes what [`Store::begin_delete`] marked; nothing, if nothing is. Of a runtime that is marked as a whole, any
    /// version stands for all of it, so that what [`Store::unfinished`] returns can be passed here.
    pub async fn finish_delete(&self, runtime: &RuntimeId, version: Option<RuntimeVersion>) -> Result<(), Error> {
        let runtime = runtime.clone();
        self.writer.write(move |db| deletion::finish(db, &runtime, version)).await
    }

    /// Returns the runtime.
    pub async fn get_runtime(&self, runtime: &RuntimeId) -> Result<Option<RuntimeRecord>, Error> {
        let runtime = runtime.clone();
        self.readers.read(move |db| runtimes::get(db, &runtime)).await
    }

    /// Returns the runtime with this name.
    pub async fn find_runtime(&self, name: &RuntimeName) -> Result<Option<RuntimeRecord>, Error> {
        let name = name.clone();
        self.readers.read(move |db| runtimes::find(db, &name)).await
    }

    /// Returns the version, or the newest.
    pub async fn get_version(
        &self,
        runtime: &RuntimeId,
        version: Option<RuntimeVersion>,
    ) -> Result<Option<VersionRecord>, Error> {
        let runtime = runtime.clone();
        self.readers.read(move |db| versions::get(db, &runtime, version)).await
    }

    /// Returns up to `limit` runtimes' newest versions, by creation (then id), after the one created at that time
    /// with that id, which may be gone by now. Without their environments.
    pub async fn list_runtimes(
        &self,
        after: Option<(UnixMillis, RuntimeId)>,
        limit: u32,
    ) -> Result<Vec<VersionRecord>, Error> {
        self.readers.read(move |db| versions::newest(db, after.as_ref(), limit)).await
    }

    /// Returns the same, as lists show it.
    pub async fn page_runtimes(
        &self,
        after: Option<(UnixMillis, RuntimeId)>,
        limit: u32,
    ) -> Result<Vec<ListedVersion>, Error> {
        self.readers.read(move |db| versions::page_newest(db, after.as_ref(), limit)).await
    }

    /// Returns up to `limit` versions of a runtime, newest first, older than `before`, as lists show them.
    pub async fn page_versions(
        &self,
        runtime: &RuntimeId,
        before: Option<RuntimeVersion>,
        limit: u32,
    ) -> Result<Vec<ListedVersion>, Error> {
        let runtime = runtime.clone();
        self.readers.read(move |db| versions::page(db, &runtime, before, limit)).await
    }

    /// Returns the endpoints of a runtime, DEFAULT first.
    pub async fn list_endpoints(&self, runtime: &RuntimeId) -> Result<Vec<EndpointRecord>, Error> {
        let runtime = runtime.clone();
        self.readers.read(move |db| endpoints::all(db, &runtime)).await
    }

    /// Returns what the endpoint serves: one version, or those that share its new sessions, by number. Nothing, if runtime or
    /// endpoint is absent, not yet READY, or DELETING.
    pub async fn resolve(&self, runtime: &RuntimeId, endpoint: &EndpointName) -> Result<Vec<Share>, Error> {
        let runtime = runtime.clone();
        let endpoint = endpoint.clone();
        self.readers.read(move |db| versions::served(db, &runtime, &endpoint)).await
    }

    /// Returns versions left in CREATING, UPDATING or DELETING by a server that died.
    pub async fn unfinished(&self) -> Result<Vec<VersionRecord>, Error> {
        self.readers.read(versions::unfinished).await
    }

    /// Returns a key that depends on the secret key and on `purpose`, for what is sealed or signed outside of the store. Equal
    /// purposes get equal keys, for as long as the data directory has its `secret.key`.
    pub fn derive_key(&self, purpose: &str) -> [u8; 32] {
        self.sealer.derive(purpose)
    }

    /// Inserts or replaces the session's record. Its sandbox is no member of a pool from then on.
    pub async fn put_session(&self, record: SessionRecord) -> Result<(), Error> {
        self.writer.write(move |db| sessions::put(db, &record)).await
    }

    /// Returns the session's record.
    pub async fn get_session(&self, key: &SessionKey) -> Result<Option<SessionRecord>, Error> {
        let key = key.clone();
        self.readers.read(move |db| sessions::get(db, &key)).await
    }

    /// Returns sessions, newest start first: of one runtime or all; `live_only` leaves out stopped ones.
    pub async fn list_sessions(
        &self,
        runtime: Option<&RuntimeId>,
        live_only: bool,
        limit: u32,
    ) -> Result<Vec<SessionRecord>, Error> {
        let runtime = runtime.cloned();
        self.readers.read(move |db| sessions::list(db, runtime.as_ref(), live_only, limit)).await
    }

    /// Removes the records of sessions that ended before `time`, and returns how many; never one that has a sandbox.
    pub async fn forget_sessions(&self, time: UnixMillis) -> Result<usize, Error> {
        self.writer.write(move |db| sessions::forget(db, time)).await
    }

    /// Returns up to `limit` sandboxes that sessions had: those that live first, then by end, newest first.
    pub async fn list_sandboxes(&self, filter: SandboxFilter, limit: u32) -> Result<Vec<SandboxRecord>, Error> {
        self.readers.read(move |db| sandboxes::list(db, &filter, limit)).await
    }

    /// Removes the records of sandboxes that ended before `time`; sessions keep theirs of the last one.
    pub async fn forget_sandboxes(&self, time: UnixMillis) -> Result<(), Error> {
        self.writer.write(move |db| sandboxes::forget(db, time)).await
    }

    /// Records a sandbox that waits for a session.
    pub async fn put_pool_member(&self, record: PoolMemberRecord) -> Result<(), Error> {
        self.writer.write(move |db| pool_members::put(db, &record)).await
    }

    /// Removes the record of a sandbox that waits no more; nothing, if there is none.
    pub async fn remove_pool_member(&self, sandbox: &SandboxId) -> Result<(), Error> {
        let sandbox = sandbox.clone();
        self.writer.write(move |db| pool_members::remove(db, &sandbox)).await
    }

    /// Returns the sandboxes that wait for a session, oldest first.
    pub async fn list_pool_members(&self) -> Result<Vec<PoolMemberRecord>, Error> {
        self.readers.read(pool_members::list).await
    }

    /// Appends events to the audit log.
    pub async fn append_audit(&self, events: Vec<AuditEvent>) -> Result<(), Error> {
        self.writer.write(move |db| audit::append(db, &events)).await
    }

    /// Returns up to `limit` events of the audit log, with their numbers, in the order in which they were written, after the one with
    /// the number `after`, which may be gone by now; 0: from the first.
    pub async fn list_audit(
        &self,
        filter: AuditFilter,
        after: i64,
        limit: u32,
    ) -> Result<Vec<(i64, AuditEvent)>, Error> {
        self.readers.read(move |db| audit::list(db, &filter, after, limit)).await
    }

    /// Removes events before `time` from the audit log, and returns how many.
    pub async fn forget_audit(&self, time: UnixMillis) -> Result<usize, Error> {
        self.writer.write(move |db| audit::forget(db, time)).await
    }

    /// Returns what each version of every runtime is made of on disk.
    pub async fn deployed(&self) -> Result<Vec<Deployed>, Error> {
        self.readers.read(versions::deployed).await
    }

    /// Finishes what is queued, moves everything into the database file and closes it. All later calls are refused with
    /// `Closed`.
    pub async fn close(&self) -> Result<(), Error> {
        self.writer.close().await
    }
}
