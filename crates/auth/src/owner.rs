//! Whose a session is: a digest of the caller's name that nobody can make, or look up in a list of names, without the server's key.

use std::fmt;

use innkeep_types::SessionOwner;
use ring::hmac::{Context, HMAC_SHA256, Key};

use crate::Principal;
use crate::jwt::Identity;

/// Makes digests of callers. Equal keys make equal ones, in every server and after every start.
#[derive(Clone)]
pub struct Owners(Key);

impl Owners {
    /// Returns what makes digests with `key`, which is secret.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Key::new(HMAC_SHA256, key))
    }

    /// Returns the digest of a principal: of its ARN, so that all of its keys, temporary ones too, are one owner.
    pub fn of_principal(&self, principal: &Principal) -> SessionOwner {
        self.digest(&["principal", &principal.arn])
    }

    /// Returns the digest of whom a token speaks for: the issuer's discovery URL, `iss` and `sub`, or, of a program's that has none,
    /// `client_id`. None if it has neither: it says nothing by which its bearer could be told from others. The URL is there because
    /// `iss` is what an issuer calls itself, and a deployer may name an issuer that goes by another's name.
    pub fn of_identity(&self, identity: &Identity) -> Option<SessionOwner> {
        let (kind, name) = match (&identity.subject, &identity.client) {
            (Some(subject), _) => ("subject", subject),
            (None, Some(client)) => ("client", client),
            (None, None) => return None,
        };
        Some(self.digest(&[kind, &identity.discovery_url, &identity.issuer, name]))
    }

    /// Each part has its length before it: no two lists look alike.
    fn digest(&self, parts: &[&str]) -> SessionOwner {
        let mut context = Context::with_key(&self.0);
        for part in parts {
            context.update(&part.len().to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        SessionOwner::new(digest)
    }
}

/// Shows nothing secret.
impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owners").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use innkeep_types::AccountId;

    use super::*;

    fn identity(url: &str, issuer: &str, subject: Option<String>, client: Option<String>) -> Identity {
        Identity { discovery_url: url.to_owned(), issuer: issuer.to_owned(), subject, client }
    }

    fn owner(issuer: &str, subject: Option<&str>, client: Option<&str>) -> Option<SessionOwner> {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let identity = identity("https://idp", issuer, text(subject), text(client));
        Owners::new(&[7; 32]).of_identity(&identity)
    }

    #[test]
    fn a_token_is_its_subjects_or_its_clients() {
        let alice = owner("https://a", Some("alice"), Some("app")).unwrap();
        assert!(alice.is(&owner("https://a", Some("alice"), Some("other")).unwrap()), "whatever client she uses");
        for other in [
            owner("https://b", Some("alice"), Some("app")),
            owner("https://a", Some("bob"), Some("app")),
            owner("https://a", None, Some("alice")),
            owner("https://aa", Some("lice"), None),
        ] {
            assert!(!alice.is(&other.unwrap()));
        }
        assert!(owner("https://a", None, None).is_none());
    }

    #[test]
    fn an_issuer_that_calls_itself_as_another_has_no_users_of_its() {
        let owners = Owners::new(&[7; 32]);
        let alice = |url| owners.of_identity(&identity(url, "https://a", Some("alice".to_owned()), None)).unwrap();
        assert!(
            alice("https://a/.well-known/openid-configuration")
                .is(&alice("https://a/.well-known/openid-configuration"))
        );
        assert!(
            !alice("https://a/.well-known/openid-configuration")
                .is(&alice("https://b/.well-known/openid-configuration"))
        );
    }

    #[test]
    fn a_principal_is_its_arn_and_keys_differ() {
        let account = AccountId::parse("000000000000").unwrap();
        let user = |name| Principal::user(name, &account, Vec::new(), false);
        let (ours, theirs) = (Owners::new(&[7; 32]), Owners::new(&[8; 32]));
        assert!(ours.of_principal(&user("alice")).is(&ours.of_principal(&user("alice"))));
        assert!(!ours.of_principal(&user("alice")).is(&ours.of_principal(&user("bob"))));
        assert!(!ours.of_principal(&user("alice")).is(&theirs.of_principal(&user("alice"))));
    }
}
