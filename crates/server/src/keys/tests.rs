//! What may sign when, and what may be done about it.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use innkeep_auth::policy::{Caller, Context, Decision, Guarded, Request, decide};
use innkeep_auth::sigv4::Error as Refusal;
use tempfile::TempDir;

use super::*;

const START: i64 = 1_795_168_800_000;
const DAY: u64 = 24 * 60 * 60;
const ALLOW_NOTHING: &str =
    r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Deny", "Action": "*", "Resource": "*"}]}"#;

/// A clock that tests move.
#[derive(Debug)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::Relaxed))
    }
}

struct World {
    keys: Keys,
    store: Store,
    hands: Arc<Hands>,
    dir: TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let store = Store::open(dir.path()).await.unwrap();
        let hands = Arc::new(Hands(START.into()));
        let keys = load(&store, &hands, &dir).await;
        Self { keys, store, hands, dir }
    }

    /// What the next server has.
    async fn again(&self) -> Keys {
        load(&self.store, &self.hands, &self.dir).await
    }

    fn later(&self, secs: u64) {
        self.hands.0.fetch_add(i64::try_from(secs * 1000).unwrap(), Ordering::Relaxed);
    }

    fn signer(&self, id: &str, token: Option<&str>) -> Result<Arc<Signer>, Refusal> {
        self.keys.signer(id, token, self.hands.now())
    }

    fn state(&self, id: &str) -> Result<(), Refusal> {
        self.signer(id, None).map(drop)
    }

    async fn create(&self, name: &str, operator: bool, policies: &[&str]) -> AccessKey {
        // Two keys of one moment are in the order of their ids, which are random.
        self.later(1);
        let policies = policies.iter().map(|policy| (*policy).to_owned()).collect();
        let new = NewKey { name: name.to_owned(), policies, operator, description: None, expires_in_secs: None };
        self.keys.create(new).await.unwrap()
    }

    fn credentials(&self) -> String {
        fs::read_to_string(self.dir.path().join("credentials")).unwrap()
    }
}

async fn load(store: &Store, hands: &Arc<Hands>, dir: &TempDir) -> Keys {
    let parts = Parts {
        store: store.clone(),
        account: AccountId::parse("000000000000").unwrap(),
        credentials: CredentialsFile { directory: dir.path().to_owned(), region: "us-west-2".to_owned() },
        clock: hands.clone(),
        tasks: Tasks::default(),
    };
    Keys::load(parts).await.unwrap()
}

fn active(active: bool) -> Change {
    Change { active: Some(active), ..Change::default() }
}

fn expires(secs: u64) -> Change {
    Change { expires_in_secs: Some(Some(secs)), ..Change::default() }
}

/// Asks the signer's policies for one thing.
fn may_invoke(signer: &Signer) -> bool {
    let (tags, context) = (BTreeMap::new(), Context::default());
    let arn = "arn:aws:bedrock-agentcore:us-west-2:000000000000:runtime/hello-Ab3dE6gH9j";
    let request =
        Request { caller: Caller::Signed(&signer.principal), action: "InvokeAgentRuntime", context: &context };
    decide(&[Guarded { arn, policy: None, tags: &tags }], &request) == Decision::Allow
}

#[tokio::test]
async fn the_first_start_makes_a_key_that_may_do_everything_and_the_next_one_finds_it() {
    let world = World::new().await;
    let root = world.keys.own();
    assert_eq!(
        (root.name.as_str(), root.operator, root.policies.as_slice()),
        ("root", true, &["admin".to_owned()][..])
    );
    assert!(world.credentials().contains(&root.secret));
    assert_eq!(world.again().await.list(), std::slice::from_ref(&root));
    let signer = world.signer(&root.id, None).unwrap();
    assert_eq!(signer.principal.arn, "arn:aws:iam::000000000000:user/root");
    assert!(signer.principal.operator && signer.principal.session_policy.is_none() && signer.session.is_none());
}

#[tokio::test]
async fn a_key_is_good_from_its_making_until_its_end_unless_it_is_inactive() {
    let world = World::new().await;
    let key = world.create("alice", false, &["invoker"]).await;
    assert_eq!(world.state(&key.id), Ok(()));
    assert_eq!(world.signer(&key.id, Some("a token")).map(drop), Err(Refusal::UnknownKey), "it has no token");
    assert_eq!(world.state("AKIANOBODY"), Err(Refusal::UnknownKey));

    world.keys.change(&key.id, active(false)).await.unwrap();
    assert_eq!(world.state(&key.id), Err(Refusal::UnknownKey));
    world.keys.change(&key.id, active(true)).await.unwrap();
    world.keys.change(&key.id, expires(60)).await.unwrap();
    world.later(59);
    assert_eq!(world.state(&key.id), Ok(()));
    world.later(1);
    assert_eq!(world.state(&key.id), Err(Refusal::KeyExpired));
    world.keys.change(&key.id, Change { expires_in_secs: Some(None), ..Change::default() }).await.unwrap();
    assert_eq!(world.state(&key.id), Ok(()));

    world.keys.remove(&key.id).await.unwrap();
    assert_eq!(world.state(&key.id), Err(Refusal::UnknownKey));
    assert!(matches!(world.keys.remove(&key.id).await, Err(Error::NotFound(_))));
    assert_eq!(world.again().await.list().len(), 1);
}

#[tokio::test]
async fn a_change_of_policies_is_in_effect_for_the_next_request() {
    let world = World::new().await;
    let key = world.create("alice", true, &["invoker"]).await;
    let before = world.signer(&key.id, None).unwrap();
    let change = Change { policies: Some(vec![ALLOW_NOTHING.to_owned()]), ..Change::default() };
    world.keys.change(&key.id, change).await.unwrap();
    let after = world.signer(&key.id, None).unwrap();
    assert_eq!((may_invoke(&before), may_invoke(&after)), (true, false));
    assert_eq!(world.again().await.get(&key.id).unwrap().policies, [ALLOW_NOTHING]);
}

#[tokio::test]
async fn a_stored_policy_that_cannot_be_read_denies_everything() {
    let world = World::new().await;
    let policies = vec!["admin".to_owned(), "a name of a later version".to_owned()];
    let key = AccessKey { policies, ..AccessKey::new("AKIALATER", "s", "alice", UnixMillis(START)) };
    world.store.put_access_keys(vec![key]).await.unwrap();
    let signer = world.again().await.signer("AKIALATER", None, UnixMillis(START)).unwrap();
    assert!(!may_invoke(&signer));
}

#[tokio::test]
async fn a_temporary_key_is_good_with_its_token_as_long_as_its_maker_is() {
    let world = World::new().await;
    let maker = world.create("alice", true, &["invoker"]).await;
    let ask = || Ask { name: Some("alice".to_owned()), duration_secs: Some(3600), ..Ask::default() };
    let made = world.keys.make_temporary(ask()).unwrap();
    let state = || world.signer(&made.id, Some(&made.token)).map(drop);
    assert!(made.id.starts_with("ASIA") && made.id.len() == 20 && made.key.made_by == maker.id);
    for _ in 0..2 {
        let signer = world.signer(&made.id, Some(&made.token)).unwrap();
        assert_eq!((signer.secret.as_str(), signer.session.as_deref()), (made.key.secret.as_str(), Some("temporary")));
        assert!(may_invoke(&signer) && signer.principal.operator);
    }
    let other = world.keys.make_temporary(ask()).unwrap();
    for (id, token) in [
        (made.id.as_str(), None),
        (&made.id, Some("")),
        (&made.id, Some(other.token.as_str())),
        (&other.id, Some(&made.token)),
        (&maker.id, Some(&made.token)),
    ] {
        assert_eq!(world.signer(id, token).map(drop), Err(Refusal::UnknownKey), "{id}");
    }
    // After a restart, too.
    assert!(world.again().await.signer(&made.id, Some(&made.token), world.hands.now()).is_ok());

    for (policy, may) in [("read-only", false), ("admin", true)] {
        let change = Change { policies: Some(vec![policy.to_owned()]), ..Change::default() };
        world.keys.change(&maker.id, change).await.unwrap();
        assert_eq!(
            may_invoke(&world.signer(&made.id, Some(&made.token)).unwrap()),
            may,
            "it follows its maker: {policy}"
        );
    }
    world.keys.change(&maker.id, active(false)).await.unwrap();
    assert_eq!(state(), Err(Refusal::UnknownKey));
    world.keys.change(&maker.id, active(true)).await.unwrap();
    assert_eq!(state(), Ok(()));
    world.later(3600);
    assert_eq!(state(), Err(Refusal::KeyExpired));

    let last = world.keys.make_temporary(ask()).unwrap();
    world.keys.remove(&maker.id).await.unwrap();
    assert_eq!(world.signer(&last.id, Some(&last.token)).map(drop), Err(Refusal::UnknownKey));
    assert!(matches!(world.keys.make_temporary(ask()), Err(Error::NoGoodKey(_))));
}

#[tokio::test]
async fn a_temporary_key_ends_with_its_maker_and_a_session_policy_takes_operator_rights() {
    let world = World::new().await;
    let maker = world.create("alice", true, &["admin"]).await;
    world.keys.change(&maker.id, expires(60)).await.unwrap();
    let ask = |policy: &str| Ask {
        key_id: Some(maker.id.clone()),
        session: Some("build-7".to_owned()),
        policy: Some(policy.to_owned()),
        ..Ask::default()
    };
    for (policy, may) in [("invoker", true), ("read-only", false), (ALLOW_NOTHING, false)] {
        let made = world.keys.make_temporary(ask(policy)).unwrap();
        assert_eq!(may_invoke(&world.signer(&made.id, Some(&made.token)).unwrap()), may, "{policy}");
        assert_eq!(made.key.expires_at, world.hands.now().plus(Duration::from_secs(60)));
        let principal = world.signer(&made.id, Some(&made.token)).unwrap().principal.clone();
        assert!(!principal.operator && principal.session_policy.is_some(), "{policy}");
        assert_eq!(principal.arn, "arn:aws:iam::000000000000:user/alice");
    }
    world.later(60);
    assert!(matches!(world.keys.make_temporary(ask("invoker")), Err(Error::NotGood(_))));
}

#[tokio::test]
async fn a_rotated_key_works_beside_its_successor_until_the_grace_is_over() {
    let world = World::new().await;
    let old = world.keys.own();
    let new = world.keys.rotate(&old.id, None).await.unwrap();
    assert!(new.id != old.id && new.secret != old.secret);
    assert_eq!((new.name, new.operator, new.policies, new.expires_at), (old.name, true, old.policies, None));
    assert!(world.credentials().contains(&new.id), "clients of the data directory sign with the new one");
    assert_eq!(world.keys.own().id, new.id);
    assert_eq!(world.keys.get(&old.id).unwrap().replaced_by, Some(new.id.clone()));
    assert!(matches!(world.keys.rotate(&old.id, None).await, Err(Error::Replaced { .. })));
    world.later(DAY - 1);
    assert_eq!((world.state(&old.id), world.state(&new.id)), (Ok(()), Ok(())));
    world.later(1);
    assert_eq!((world.state(&old.id), world.state(&new.id)), (Err(Refusal::KeyExpired), Ok(())));
    assert_eq!(world.again().await.own().id, new.id);

    let at_once = world.keys.rotate(&new.id, Some(0)).await.unwrap();
    assert_eq!((world.state(&new.id), world.state(&at_once.id)), (Err(Refusal::KeyExpired), Ok(())));
    let brief = world.create("alice", false, &[]).await;
    world.keys.change(&brief.id, expires(60)).await.unwrap();
    let next = world.keys.rotate(&brief.id, Some(DAY)).await.unwrap();
    let end = Some(world.hands.now().plus(Duration::from_secs(60)));
    assert_eq!(
        (next.expires_at, world.keys.get(&brief.id).unwrap().expires_at),
        (end, end),
        "no longer than it was to be"
    );
    world.keys.change(&next.id, active(false)).await.unwrap();
    assert!(matches!(world.keys.rotate(&next.id, None).await, Err(Error::NotGood(_))));
}

#[tokio::test]
async fn there_is_always_a_key_that_may_do_everything() {
    let world = World::new().await;
    let root = world.keys.own();
    // None of these may do everything for ever.
    world.create("deployer", true, &["deployer"]).await;
    world.create("no-operator", false, &["admin"]).await;
    world.create("denied", true, &["admin", ALLOW_NOTHING]).await;
    let brief = world.create("brief", true, &["admin"]).await;
    world.keys.change(&brief.id, expires(DAY)).await.unwrap();

    assert!(matches!(world.keys.remove(&root.id).await, Err(Error::LastAdmin(_))));
    let policies = Change { policies: Some(vec!["invoker".to_owned()]), ..Change::default() };
    for change in [active(false), expires(DAY), policies] {
        assert!(matches!(world.keys.change(&root.id, change).await, Err(Error::LastAdmin(_))));
    }
    assert_eq!(world.keys.get(&root.id).unwrap(), root);

    let second = world.create("second", true, &["admin"]).await;
    assert_eq!(world.keys.own(), root, "the older one stays the server's own");
    world.keys.remove(&root.id).await.unwrap();
    assert_eq!(world.state(&root.id), Err(Refusal::UnknownKey));
    assert_eq!(world.keys.own(), second);
    assert!(world.credentials().contains(&second.id) && !world.credentials().contains(&root.id));
    assert!(matches!(world.keys.remove(&second.id).await, Err(Error::LastAdmin(_))));
    assert_eq!(world.again().await.own(), second, "no other is made");
}

#[tokio::test]
async fn of_two_admins_that_are_removed_at_once_one_stays() {
    let world = World::new().await;
    let (first, second) = (world.keys.own(), world.create("second", true, &["admin"]).await);
    let (one, other) = tokio::join!(world.keys.remove(&first.id), world.keys.remove(&second.id));
    assert_ne!(one.is_ok(), other.is_ok());
    assert_eq!(world.keys.list().len(), 1);
}

#[tokio::test]
async fn uses_are_written_down_later_and_survive_a_restart() {
    let world = World::new().await;
    let key = world.create("alice", false, &[]).await;
    let made = world.keys.make_temporary(Ask { key_id: Some(key.id.clone()), ..Ask::default() }).unwrap();
    let used_at = UnixMillis(START + 5000);
    let written = async || {
        let stored = world.store.list_access_keys().await.unwrap();
        stored.into_iter().find(|stored| stored.id == key.id).unwrap().last_used_at
    };
    // As `innkeep_gateway::Authenticator` does: a temporary key is a use of the one that made it.
    world.signer(&made.id, Some(&made.token)).unwrap().used_at.fetch_max(used_at.0, Ordering::Relaxed);
    assert_eq!((world.keys.get(&key.id).unwrap().last_used_at, written().await), (Some(used_at), None));
    world.keys.write_uses_now().await;
    assert_eq!(written().await, Some(used_at));
    world.keys.change(&key.id, active(false)).await.unwrap();
    assert_eq!(world.again().await.get(&key.id).unwrap().last_used_at, Some(used_at));
}

#[tokio::test]
async fn what_may_not_be_asked_for_is_refused_and_changes_nothing() {
    let world = World::new().await;
    let new = || NewKey {
        name: "alice".to_owned(),
        policies: Vec::new(),
        operator: false,
        description: None,
        expires_in_secs: None,
    };
    let policy = |text: &str| NewKey { policies: vec![text.to_owned()], ..new() };
    let bad = [
        NewKey { name: String::new(), ..new() },
        NewKey { name: "a b".to_owned(), ..new() },
        NewKey { name: "user/alice".to_owned(), ..new() },
        NewKey { name: "\u{e4}".to_owned(), ..new() },
        NewKey { name: "a".repeat(65), ..new() },
        NewKey { policies: vec!["invoker".to_owned(); 11], ..new() },
        policy("nobody"),
        policy(""),
        policy("{"),
        policy("{}"),
        policy(r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Maybe", "Action": "*", "Resource": "*"}]}"#),
        NewKey { description: Some("x".repeat(257)), ..new() },
        NewKey { description: Some("a\nb".to_owned()), ..new() },
        NewKey { expires_in_secs: Some(0), ..new() },
        NewKey { expires_in_secs: Some(u64::MAX), ..new() },
    ];
    for new in bad {
        let shown = format!("{new:?}");
        let refused = world.keys.create(new).await;
        assert!(matches!(refused, Err(Error::Invalid(_))), "{shown}: {refused:?}");
    }
    let root = world.keys.own();
    let ask = || Ask { key_id: Some(root.id.clone()), ..Ask::default() };
    for ask in [
        Ask::default(),
        Ask { name: Some("root".to_owned()), ..ask() },
        Ask { duration_secs: Some(0), ..ask() },
        Ask { duration_secs: Some(12 * 3600 + 1), ..ask() },
        Ask { session: Some("a b".to_owned()), ..ask() },
        Ask { policy: Some("nobody".to_owned()), ..ask() },
        Ask { policy: Some(format!("{{{}", " ".repeat(2048))), ..ask() },
    ] {
        let shown = format!("{ask:?}");
        assert!(matches!(world.keys.make_temporary(ask), Err(Error::Invalid(_))), "{shown}");
    }
    assert!(matches!(world.keys.rotate(&root.id, Some(31 * DAY)).await, Err(Error::Invalid(_))));
    assert_eq!(world.keys.list(), [root]);
}
