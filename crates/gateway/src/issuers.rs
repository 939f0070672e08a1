//! The issuers of tokens: who they are, by their discovery documents, and with which keys they sign. Asked when a token is to be
//! verified and what is known is not enough, never more often than need be, and by one request at a time ([`state`] has the rules,
//! [`fetch`] the asking). Knows nothing of runtimes and their rules: an issuer is a discovery URL.
//!
//! An issuer that cannot be asked lets nobody in: keys that are known are good for a time, then there are none.

mod error;
mod fetch;
mod state;

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use innkeep_auth::jwt::{Certificate, KeySet, Rules, Token};
use innkeep_fetch::{IpRange, Roots};
use innkeep_sandbox::tasks::{Kind, Tasks};
use innkeep_types::limits;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) use error::Error;

use crate::error::BoxError;
use fetch::Asking;
use state::{Decision, State};

/// Reads the CA certificate, PEM, of one runtime's issuer.
pub type CertificateReader =
    Arc<dyn Fn(Certificate) -> Pin<Box<dyn Future<Output = Result<Vec<u8>, BoxError>> + Send>> + Send + Sync>;

/// Which issuers are asked, and whose certificates are believed.
#[derive(Clone)]
pub struct IssuersConfig {
    /// Addresses that are not public and are asked nevertheless; default none.
    pub private: Vec<IpRange>,
    /// Whether those of them that are not loopback may be asked without TLS; loopback ones always may. Default no.
    pub plain_http: bool,
    /// CA certificates besides those of this system.
    pub roots: Roots,
    /// Reads those that runtimes name; they count for their own issuer alone.
    pub certificates: CertificateReader,
}

impl Default for IssuersConfig {
    fn default() -> Self {
        let nowhere = |_| -> Pin<Box<dyn Future<Output = _> + Send>> {
            Box::pin(async { Err(BoxError::from("this server has no place for certificates")) })
        };
        Self { private: Vec::new(), plain_http: false, roots: Roots::default(), certificates: Arc::new(nowhere) }
    }
}

impl fmt::Debug for IssuersConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { private, plain_http, .. } = self;
        f.debug_struct("IssuersConfig")
            .field("private", private)
            .field("plain_http", plain_http)
            .finish_non_exhaustive()
    }
}

/// An issuer within this process: it is not asked, so no setting need let it be reached.
#[derive(Debug)]
pub struct OwnIssuer {
    /// How runtimes name it, to the letter.
    pub discovery_url: String,
    /// What `iss` of its tokens is.
    pub issuer: String,
    /// What they are signed with.
    pub keys: KeySet,
}

/// What an issuer says of itself.
#[derive(Debug, PartialEq)]
pub(crate) struct Published {
    /// What `iss` of its tokens is.
    pub(crate) issuer: String,
    /// What they are signed with.
    pub(crate) keys: KeySet,
}

/// Handle to all that is known of issuers; clones share it.
#[derive(Clone)]
pub struct Issuers {
    asking: Arc<Asking>,
    tasks: Tasks,
    known: Arc<Mutex<HashMap<String, Arc<Issuer>>>>,
    /// By its discovery URL.
    own: Option<(String, Arc<Published>)>,
}

/// One issuer.
struct Issuer {
    discovery_url: String,
    certificate: Option<Certificate>,
    state: Mutex<State>,
}

impl Issuers {
    /// Returns the issuers, of whom nothing is known yet. `tasks` run what is asked.
    pub fn new(config: IssuersConfig, tasks: Tasks) -> Self {
        Self { asking: Arc::new(Asking::new(config)), tasks, known: Arc::default(), own: None }
    }

    /// Adds the issuer of this process.
    #[must_use]
    pub fn with_own(self, OwnIssuer { discovery_url, issuer, keys }: OwnIssuer) -> Self {
        Self { own: Some((discovery_url, Arc::new(Published { issuer, keys }))), ..self }
    }

    /// Returns what the issuer of a runtime with these rules publishes, with the key that `token` is signed with if it has such a one.
    ///
    /// # Errors
    /// When nothing is known that is still good, and nothing can be had at present.
    ///
    /// # Cancel safety
    /// Safe: what is being asked is asked on, for others.
    pub(crate) async fn published(&self, rules: &Rules, token: &Token) -> Result<Arc<Published>, Arc<Error>> {
        if let Some((_, own)) = self.own.as_ref().filter(|(url, _)| url == rules.discovery_url()) {
            return Ok(own.clone());
        }
        let issuer = self.issuer(rules.discovery_url(), rules.certificate());
        // A token of another issuer is refused whatever the keys are.
        let is_enough =
            |found: &Published| token.issuer() != Some(&found.issuer) || found.keys.has(token.kid(), token.algorithm());
        // The first may wait for an answer that was asked for before the token's key was published, the second asks itself.
        for _ in 0..2 {
            match self.next(&issuer, is_enough) {
                Step::Done(result) => return result,
                // Its other end goes when the answer is there, or will never be.
                Step::Wait(mut answer) => while answer.changed().await.is_ok() {},
            }
        }
        issuer.state.lock().what_is_left(Instant::now())
    }

    /// Returns the issuer, known or not.
    fn issuer(&self, discovery_url: &str, certificate: Option<&Certificate>) -> Arc<Issuer> {
        // One whose certificate another CA vouches for is another one: what one runtime believes, no other does.
        let name = certificate.map_or_else(|| discovery_url.to_owned(), |at| format!("{discovery_url} by {at:?}"));
        let mut known = self.known.lock();
        if let Some(issuer) = known.get(&name) {
            return issuer.clone();
        }
        if known.len() >= limits::MAX_ISSUERS {
            let unused = known.iter().min_by_key(|(_, issuer)| issuer.state.lock().used_at());
            if let Some(url) = unused.map(|(url, _)| url.clone()) {
                known.remove(&url);
            }
        }
        let state = Mutex::new(State::new(Instant::now()));
        let (discovery_url, certificate) = (discovery_url.to_owned(), certificate.cloned());
        let issuer = Arc::new(Issuer { discovery_url, certificate, state });
        known.insert(name, issuer.clone());
        issuer
    }

    fn next(&self, issuer: &Arc<Issuer>, is_enough: impl Fn(&Published) -> bool) -> Step {
        let mut state = issuer.state.lock();
        match state.decide(Instant::now(), is_enough) {
            Decision::Use(found) => Step::Done(Ok(found)),
            Decision::Refuse(error) => Step::Done(Err(error)),
            Decision::UseAndAsk(found) => {
                self.ask(issuer, &mut state);
                Step::Done(Ok(found))
            }
            Decision::Ask => Step::Wait(self.ask(issuer, &mut state)),
        }
    }

    /// Asks the issuer, unless it is being asked; returns what ends with that.
    fn ask(&self, issuer: &Arc<Issuer>, state: &mut State) -> watch::Receiver<()> {
        if let Some(answer) = state.being_asked() {
            return answer;
        }
        let (done, answer) = watch::channel(());
        state.set_asked(answer.clone());
        let (asking, issuer, stopping) = (self.asking.clone(), issuer.clone(), self.tasks.stopping().clone());
        self.tasks.spawn(Kind::Issuer, async move {
            let url = &issuer.discovery_url;
            let result = tokio::select! {
                result = asking.ask(url, issuer.certificate.as_ref()) => result,
                () = stopping.cancelled() => Err(Error::Stopping),
            };
            if let Err(error) = &result {
                let chain = crate::error::Chain(error);
                tracing::warn!(issuer.url = %url, "the keys of the issuer at {url} could not be had: {chain}");
            }
            issuer.state.lock().note(Instant::now(), result);
            drop(done);
        });
        answer
    }
}

/// What a request for keys has come to.
enum Step {
    Done(Result<Arc<Published>, Arc<Error>>),
    Wait(watch::Receiver<()>),
}

impl fmt::Debug for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuers").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use innkeep_auth::DevIssuer;
    use serde_json::{Map, json};

    use super::*;

    #[tokio::test]
    async fn the_issuer_of_this_process_is_not_asked_and_another_one_on_loopback_is_not_reached() {
        let dev = DevIssuer::generate("http://127.0.0.1:1").unwrap();
        let keys = || KeySet::parse(dev.key_set().to_string().as_bytes()).unwrap();
        let own = OwnIssuer { discovery_url: dev.discovery_url(), issuer: dev.issuer().to_owned(), keys: keys() };
        let issuers = Issuers::new(IssuersConfig::default(), Tasks::default()).with_own(own);
        let token = Token::parse(&dev.sign(&Map::new()).unwrap()).unwrap();
        let rules =
            |url: &str| Rules::from_configuration(&json!({"discoveryUrl": url, "allowedAudience": ["a"]})).unwrap();
        let published = issuers.published(&rules(&dev.discovery_url()), &token).await.unwrap();
        assert_eq!((published.issuer.as_str(), &published.keys), (dev.issuer(), &keys()));
        let beside = dev.discovery_url().replace("127.0.0.1:1/", "127.0.0.1:2/");
        let error = issuers.published(&rules(&beside), &token).await.unwrap_err();
        assert!(matches!(*error, Error::Fetch { source: innkeep_fetch::Error::Private { .. }, .. }), "{error:?}");
    }

    #[tokio::test]
    async fn issuers_that_are_remembered_are_bounded() {
        let issuers = Issuers::new(IssuersConfig::default(), Tasks::default());
        let first = issuers.issuer("https://first", None);
        for n in 0..2 * limits::MAX_ISSUERS {
            issuers.issuer(&format!("https://{n}"), None);
        }
        assert_eq!(issuers.known.lock().len(), limits::MAX_ISSUERS);
        assert!(!Arc::ptr_eq(&first, &issuers.issuer("https://first", None)));
    }
}
