//! `innkeep token`: a token of the dev issuer, signed here with its key. Asks no server.

use std::time::Duration;

use clap::Args;
use innkeep_auth::DevIssuer;
use innkeep_server::DEV_ISSUER;
use innkeep_types::{Clock, SystemClock, UnixMillis};
use serde_json::{Map, Value, json};

use crate::args;
use crate::context::{self, Context};
use crate::failure::{Code, Failure};

/// Make a token of the dev issuer, to try agents that take tokens
///
/// For development: it is signed with the key in the data directory, for whoever can read that. The issuer is on with
/// `innkeep dev --auth jwt` and `innkeep serve --dev-issuer`.
#[derive(Debug, Args)]
pub(crate) struct Token {
    /// Whose it is
    #[arg(long, value_name = "SUBJECT", default_value = "dev")]
    sub: String,
    /// Whom it is for; may be given more than once
    #[arg(long, value_name = "AUDIENCE")]
    aud: Vec<String>,
    /// The program that it was given to
    #[arg(long, value_name = "CLIENT")]
    client_id: Option<String>,
    /// What it allows: names with spaces in between
    #[arg(long, value_name = "SCOPES")]
    scope: Option<String>,
    /// A further claim, or another value of one (K=V): V is JSON, else a text; `null` leaves the claim out
    #[arg(long = "claim", value_name = "K=V", value_parser = claim)]
    claims: Vec<(String, Value)>,
    /// How long it is good, such as 30s, 10m or 2h
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = args::long_duration)]
    expires: Duration,
}

impl Token {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let issuer = load(context)?;
        if let Some(server) = context.server_file()?.filter(|server| server.dev_issuer.is_none()) {
            context.out.note(format!(
                "the server at {} has its dev issuer off, and takes no such token; start it with `innkeep dev --auth jwt DIR` or \
                 `innkeep serve --dev-issuer`",
                server.url
            ));
        }
        let claims = self.into_claims(SystemClock.now())?;
        let token = sign(&issuer, &claims)?;
        if context.out.json {
            return context.out.json(&json!({"token": token, "issuer": issuer.issuer(), "claims": claims}));
        }
        context.out.data(token)
    }

    fn into_claims(self, now: UnixMillis) -> Result<Map<String, Value>, Failure> {
        let mut claims = claims(&self.sub, self.aud, now, self.expires);
        let more = [("client_id", self.client_id), ("scope", self.scope)];
        claims.extend(more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
        let mut given = Map::new();
        for (name, value) in self.claims {
            if given.insert(name.clone(), value).is_some() {
                return Err(Failure::usage(format!("--claim {name} is given twice"))
                    .with_fix(format!("a list is JSON: --claim '{name}=[1, 2]'")));
            }
        }
        claims.extend(given);
        Ok(claims)
    }
}

/// Returns what a token claims: whose it is, whom it is for, from when on and how long it is good.
pub(crate) fn claims(sub: &str, aud: Vec<String>, now: UnixMillis, lifetime: Duration) -> Map<String, Value> {
    let (iat, exp) = (now.as_secs(), now.plus(lifetime).as_secs());
    let mut claims = Map::from_iter([
        ("sub".to_owned(), sub.into()),
        ("iat".to_owned(), iat.into()),
        ("exp".to_owned(), exp.into()),
    ]);
    let aud = match <[String; 1]>::try_from(aud) {
        Ok([one]) => one.into(),
        Err(all) => Value::from(all),
    };
    if aud != json!([]) {
        claims.insert("aud".to_owned(), aud);
    }
    claims
}

/// Signs a token; claims that are null are left out.
pub(crate) fn sign(issuer: &DevIssuer, claims: &Map<String, Value>) -> Result<String, Failure> {
    issuer.sign(claims).map_err(|error| Failure::new(Code::Failed, format!("no token was made: {error}")))
}

/// Returns the dev issuer of the data directory.
pub(crate) fn load(context: &Context) -> Result<DevIssuer, Failure> {
    let path = context.data_dir.join(DEV_ISSUER);
    let text = context::read_if_present(&path)?.ok_or_else(|| {
        let message = format!("there has been no dev issuer on the data directory {}", context.data_dir.display());
        Failure::new(Code::NotFound, message).with_fix(
            "innkeep dev --auth jwt DIR, or innkeep serve --dev-issuer; or name the right data directory with --data-dir",
        )
    })?;
    DevIssuer::parse(&text).map_err(|error| {
        Failure::new(Code::Failed, format!("cannot use {}: {error}", path.display()))
            .with_fix("remove it, and the next start of a server with a dev issuer makes a new one")
    })
}

/// Reads `NAME=VALUE`.
fn claim(given: &str) -> Result<(String, Value), String> {
    let (name, value) = given.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| value.into())))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::args::{Cli, Command};

    const NOW: UnixMillis = UnixMillis(1_800_000_000_500);

    fn claimed(words: &str) -> Result<Value, Failure> {
        let cli =
            Cli::try_parse_from(["innkeep", "token"].into_iter().chain(words.split(' ').filter(|w| !w.is_empty())));
        let Command::Token(token) = cli.unwrap().command else { panic!("not a token") };
        token.into_claims(NOW).map(Value::Object)
    }

    #[test]
    fn a_token_claims_what_the_command_line_says() {
        let plain = json!({"sub": "dev", "iat": 1_800_000_000, "exp": 1_800_003_600});
        assert_eq!(claimed("").unwrap(), plain);
        let full = claimed(
            "--sub alice --aud x --client-id c --scope a --claim n=1 --claim l=[\"a\"] --claim t=a=b --expires 30s",
        );
        let expect = json!({
            "sub": "alice", "aud": "x", "client_id": "c", "scope": "a", "n": 1, "l": ["a"], "t": "a=b", "iat": 1_800_000_000,
            "exp": 1_800_000_030,
        });
        assert_eq!(full.unwrap(), expect);
        assert_eq!(claimed("--aud x --aud y").unwrap()["aud"], json!(["x", "y"]));
        assert_eq!(
            claimed("--claim exp=1 --expires 1d").unwrap()["exp"],
            json!(1),
            "what is said of a claim itself counts"
        );
        assert_eq!(claimed("--claim a=1 --claim a=2").unwrap_err().code, Code::Usage);
        assert!(["", "a", "=a"].iter().all(|bad| claim(bad).is_err()));
    }
}
