//! `innkeep keys create`, `rotate` and `temporary`: what prints a secret, this once.

use std::time::Duration;

use clap::Args;
use innkeep_protocol::operator::keys::{CreateKey, MakeTemporaryKey, RotateKey};
use innkeep_sdk::{Client, Credentials};
use serde::Serialize;

use super::policy::{self, Policy};
use super::{profile, resolve, unfit};
use crate::args::{self, Lifetime};
use crate::context::Context;
use crate::failure::Failure;

/// `innkeep keys create`
#[derive(Debug, Args)]
pub(super) struct Create {
    /// Whose it is: letters, digits and characters of _+=,.@-
    #[arg(long)]
    name: String,
    /// What it may do: a ready-made policy, a file, or a JSON document; may be repeated [default with --operator: admin]
    #[arg(long, value_name = "NAME|FILE|JSON", value_parser = policy::parse, required_unless_present = "operator")]
    policy: Vec<Policy>,
    /// Let it operate the server: sessions, logs, and keys, also such that may do everything
    #[arg(long)]
    operator: bool,
    /// What it is for
    #[arg(long)]
    description: Option<String>,
    /// For how long it is good: 12h, 30d [default: for ever]
    #[arg(long, value_name = "DURATION", value_parser = args::lifetime)]
    expires: Option<Lifetime>,
    #[command(flatten)]
    to: To,
}

/// `innkeep keys rotate`
#[derive(Debug, Args)]
pub(super) struct Rotate {
    /// Access key id, or the name of a principal that has one key
    key: String,
    /// For how long the old key stays good [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = args::long_duration)]
    grace: Option<Duration>,
    #[command(flatten)]
    to: To,
}

/// `innkeep keys temporary`
#[derive(Debug, Args)]
pub(super) struct Temporary {
    /// Whose rights it has: an access key id, or a principal [default: the key that this command signs with]
    key: Option<String>,
    /// For how long it is good, at most 12h
    #[arg(long, value_name = "DURATION", value_parser = args::duration, default_value = "1h")]
    duration: Duration,
    /// What it may do at most: a ready-made policy, a file, or a JSON document; with one it has no operator rights
    #[arg(long, value_name = "NAME|FILE|JSON", value_parser = policy::parse)]
    policy: Option<Policy>,
    /// What to call it, for the log
    #[arg(long, value_name = "NAME")]
    session_name: Option<String>,
    #[command(flatten)]
    to: To,
}

#[derive(Debug, Args)]
struct To {
    /// Do not print the secret: write the key into the data directory's `credentials`, where --profile NAME finds it
    #[arg(long, value_name = "NAME", value_parser = profile::parse)]
    write_profile: Option<String>,
}

impl Create {
    pub(super) async fn run(self, client: &Client, context: &Context) -> Result<(), Failure> {
        let Self { name, policy, operator, description, expires, to } = self;
        let mut policies = policy::texts(policy);
        if policies.is_empty() && operator {
            // Who operates the server could make such a key anyway.
            policies.push("admin".to_owned());
        }
        let expires_in_secs = expires.and_then(Lifetime::as_secs);
        let new = CreateKey { name, policies, operator, description, expires_in_secs };
        let made = client.create_key(&new).await?;
        let credentials = lasting(&made.key.access_key_id, &made.secret_access_key);
        let note = format!("access key {} of {} is made", made.key.access_key_id, made.key.name);
        to.tell(context, client, &made.key.name, &credentials, &made, &note)
    }
}

impl Rotate {
    pub(super) async fn run(self, client: &Client, context: &Context) -> Result<(), Failure> {
        let old = resolve(client, &self.key).await?;
        let how = RotateKey { grace_secs: self.grace.map(|grace| grace.as_secs()) };
        let made = client.rotate_key(&old.access_key_id, &how).await.map_err(unfit)?;
        let end = client.get_key(&old.access_key_id).await.ok().and_then(|old| old.expires_at);
        let note = format!(
            "access key {} takes the place of {}, which is good until {}",
            made.key.access_key_id,
            old.access_key_id,
            end.as_deref().unwrap_or("its grace is over"),
        );
        let credentials = lasting(&made.key.access_key_id, &made.secret_access_key);
        self.to.tell(context, client, &made.key.name, &credentials, &made, &note)
    }
}

impl Temporary {
    pub(super) async fn run(self, client: &Client, context: &Context) -> Result<(), Failure> {
        // A temporary key makes none: the one that it was made by does.
        let lasting_one = client.credentials().filter(|key| key.session_token.is_none());
        let given = self.key.or_else(|| lasting_one.map(|key| key.access_key_id.clone())).ok_or_else(|| {
            Failure::usage("say whose rights it is to have: an access key id or a name").with_fix("innkeep keys ls")
        })?;
        let is_id = client.keys().await?.keys.iter().any(|key| key.access_key_id == given);
        let (access_key_id, name) = if is_id { (Some(given), None) } else { (None, Some(given)) };
        let ask = MakeTemporaryKey {
            access_key_id,
            name,
            session_name: self.session_name,
            duration_secs: Some(self.duration.as_secs()),
            session_policy: self.policy.map(policy::text),
        };
        let made = client.make_temporary_key(&ask).await.map_err(unfit)?;
        let credentials = Credentials {
            session_token: Some(made.session_token.clone()),
            ..lasting(&made.access_key_id, &made.secret_access_key)
        };
        let note = format!("temporary key {} of {} is good until {}", made.access_key_id, made.name, made.expires_at);
        self.to.tell(context, client, &made.name, &credentials, &made, &note)
    }
}

impl To {
    /// Prints a key, or writes it where it was asked for.
    fn tell(
        self,
        context: &Context,
        client: &Client,
        name: &str,
        key: &Credentials,
        answer: &impl Serialize,
        note: &str,
    ) -> Result<(), Failure> {
        let (out, region) = (context.out, client.endpoint().region.as_str());
        if let Some(name) = &self.write_profile {
            profile::write(&context.data_dir, name, &profile::section(name, key, region))?;
        }
        out.note(note);
        match self.write_profile {
            Some(name) if !out.json => {
                out.note(format!("use it with --profile {name}"));
                Ok(())
            }
            _ if out.json => out.json(answer),
            _ => {
                out.note("the secret is not shown again");
                out.bytes(profile::section(name, key, region).as_bytes())
            }
        }
    }
}

fn lasting(id: &str, secret: &str) -> Credentials {
    Credentials { access_key_id: id.to_owned(), secret: secret.to_owned(), session_token: None }
}
