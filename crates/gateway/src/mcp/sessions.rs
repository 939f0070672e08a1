//! Which id of ours stands for which id of an MCP server. Nothing of it outlives the sandbox, as nothing of the server's sessions does;
//! it is not kept over restarts of Innkeep. Bounded by the sandboxes that there are.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Weak};

use http::HeaderValue;
use innkeep_sandbox::upstream::Upstream;
use innkeep_types::{SessionKey, limits};
use parking_lot::Mutex;
use uuid::Uuid;

use crate::call::header_value;

/// How many sessions are known before those that have ended are looked for. Source: our choice.
const SWEEP_AT: usize = 256;

/// The ids of all MCP sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<All<Upstream>>);

/// What is known of an id that a client names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Known {
    /// It stands for this one.
    Here(HeaderValue),
    /// It stood for one of a sandbox that has ended.
    Gone,
    /// Nothing.
    Not,
}

impl Sessions {
    /// Returns what the id means to the server in the session's sandbox, which `upstream` leads to.
    pub(crate) fn get(&self, key: &SessionKey, upstream: &Arc<Upstream>, named: &HeaderValue) -> Known {
        self.0.lock().get(key, upstream, named)
    }

    /// Remembers the server's `own` id, and returns the one that stands for it: the one that the client named, else `ours`, unless that
    /// stands for another one already.
    pub(crate) fn remember(
        &self,
        key: SessionKey,
        upstream: &Arc<Upstream>,
        named: Option<&HeaderValue>,
        ours: HeaderValue,
        own: &HeaderValue,
    ) -> HeaderValue {
        if own.len() > limits::MAX_MCP_SESSION_ID_BYTES {
            return ours;
        }
        self.0.lock().remember(key, upstream, named, ours, own)
    }
}

/// Of sandboxes that `T` leads to.
#[derive(Debug)]
struct All<T> {
    by_session: HashMap<SessionKey, OfSandbox<T>>,
    sweep_at: usize,
}

#[derive(Debug)]
struct OfSandbox<T> {
    sandbox: Weak<T>,
    /// Oldest first.
    pairs: VecDeque<Pair>,
}

#[derive(Debug)]
struct Pair {
    shown: HeaderValue,
    own: HeaderValue,
}

impl<T> Default for All<T> {
    fn default() -> Self {
        Self { by_session: HashMap::new(), sweep_at: SWEEP_AT }
    }
}

impl<T> All<T> {
    fn get(&self, key: &SessionKey, sandbox: &Arc<T>, named: &HeaderValue) -> Known {
        let Some(of) = self.by_session.get(key) else { return Known::Not };
        match of.pairs.iter().find(|pair| pair.shown == *named) {
            Some(pair) if of.is_of(sandbox) => Known::Here(pair.own.clone()),
            Some(_) => Known::Gone,
            None => Known::Not,
        }
    }

    fn remember(
        &mut self,
        key: SessionKey,
        sandbox: &Arc<T>,
        named: Option<&HeaderValue>,
        ours: HeaderValue,
        own: &HeaderValue,
    ) -> HeaderValue {
        self.sweep();
        let fresh = || OfSandbox { sandbox: Arc::downgrade(sandbox), pairs: VecDeque::new() };
        let of = self.by_session.entry(key).or_insert_with(fresh);
        if !of.is_of(sandbox) {
            *of = fresh();
        }
        if let Some(pair) =
            of.pairs.iter().find(|pair| pair.own == *own && named.is_none_or(|named| pair.shown == *named))
        {
            return pair.shown.clone();
        }
        let is_taken = of.pairs.iter().any(|pair| pair.shown == ours);
        let shown = if named.is_none() && is_taken { header_value(&Uuid::new_v4().to_string()) } else { ours };
        // The server may change its mind of a session that the client names.
        of.pairs.retain(|pair| pair.shown != shown);
        if of.pairs.len() >= limits::MAX_MCP_SESSIONS {
            of.pairs.pop_front();
        }
        of.pairs.push_back(Pair { shown: shown.clone(), own: own.clone() });
        shown
    }

    /// Forgets sandboxes that have ended, when there are twice as many as were left the last time.
    fn sweep(&mut self) {
        if self.by_session.len() >= self.sweep_at {
            self.by_session.retain(|_, of| of.sandbox.strong_count() > 0);
            self.sweep_at = SWEEP_AT.max(2 * self.by_session.len());
        }
    }
}

impl<T> OfSandbox<T> {
    fn is_of(&self, sandbox: &Arc<T>) -> bool {
        std::ptr::eq(self.sandbox.as_ptr(), Arc::as_ptr(sandbox))
    }
}

#[cfg(test)]
mod tests {
    use innkeep_types::{EndpointName, RuntimeId, SessionId};

    use super::*;

    fn key(n: usize) -> SessionKey {
        SessionKey {
            runtime: RuntimeId::parse("hello-Ab3dE6gH9j").unwrap(),
            endpoint: EndpointName::default_endpoint(),
            session: SessionId::parse(format!("{n:036}")).unwrap(),
        }
    }

    fn id(text: &str) -> HeaderValue {
        HeaderValue::try_from(text).unwrap()
    }

    #[test]
    fn an_id_stands_for_the_servers_own_in_its_sandbox_alone() {
        let (mut all, sandbox, next) = (All::default(), Arc::new(1), Arc::new(1));
        assert_eq!(all.get(&key(1), &sandbox, &id("a")), Known::Not);
        assert_eq!(all.remember(key(1), &sandbox, None, id("a"), &id("own")), "a");
        assert_eq!(all.get(&key(1), &sandbox, &id("a")), Known::Here(id("own")));
        assert_eq!(all.get(&key(2), &sandbox, &id("a")), Known::Not);
        assert_eq!(all.get(&key(1), &sandbox, &id("b")), Known::Not);
        assert_eq!(all.get(&key(1), &next, &id("a")), Known::Gone);
        assert_eq!(all.remember(key(1), &next, None, id("a"), &id("other")), "a", "it begins anew");
        assert_eq!(all.get(&key(1), &next, &id("a")), Known::Here(id("other")));
    }

    #[test]
    fn two_that_begin_in_one_session_are_told_apart() {
        let (mut all, sandbox) = (All::default(), Arc::new(1));
        all.remember(key(1), &sandbox, None, id("a"), &id("first"));
        let second = all.remember(key(1), &sandbox, None, id("a"), &id("second"));
        assert_ne!(second, "a");
        assert_eq!(all.get(&key(1), &sandbox, &id("a")), Known::Here(id("first")));
        assert_eq!(all.get(&key(1), &sandbox, &second), Known::Here(id("second")));
        assert_eq!(
            all.remember(key(1), &sandbox, Some(&second), second.clone(), &id("second")),
            second,
            "every answer says it"
        );
        assert_eq!(all.remember(key(1), &sandbox, Some(&id("a")), id("a"), &id("third")), "a");
        assert_eq!(all.get(&key(1), &sandbox, &id("a")), Known::Here(id("third")));
    }

    #[test]
    fn a_sandbox_and_all_of_them_are_bounded() {
        let (mut all, sandbox) = (All::default(), Arc::new(1));
        for n in 0..2 * limits::MAX_MCP_SESSIONS {
            all.remember(key(0), &sandbox, None, id("a"), &id(&n.to_string()));
        }
        assert_eq!(all.by_session[&key(0)].pairs.len(), limits::MAX_MCP_SESSIONS);
        for n in 1..=10 * SWEEP_AT {
            all.remember(key(n), &Arc::new(n), None, id("a"), &id("own"));
        }
        assert!(all.by_session.len() <= 2 * SWEEP_AT, "{}", all.by_session.len());
        assert!(all.by_session.contains_key(&key(0)), "what runs is kept");
    }
}
