//! `innkeep keys`: who may ask this server for what.

mod make;
mod policy;
mod profile;

use clap::{Args, Subcommand};
use innkeep_protocol::operator::keys::{ChangeKey, KeyState, KeyStatus, KeyView};
use innkeep_sdk::Client;
use innkeep_types::ErrorKind;
use serde_json::json;

use self::make::{Create, Rotate, Temporary};
use self::policy::Policy;
use crate::args::{self, Lifetime};
use crate::context::Context;
use crate::document;
use crate::failure::{Code, Failure};
use crate::output::{Output, Style};

/// List, make, rotate and remove access keys
///
/// A key belongs to a principal and may do what its policies allow: ready-made ones (admin, deployer, invoker, read-only), or
/// documents in IAM's language. Changes are in effect at once.
#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List keys, oldest first; never their secrets
    Ls,
    /// Make a key and print it, this once, as ~/.aws/credentials wants it
    Create(Create),
    /// Change what a key may do, or for how long it is good
    Change(Change),
    /// Make a key in place of another, which stays good for a day
    Rotate(Rotate),
    /// Refuse keys, and the temporary ones that they made, until they are enabled again
    Disable(Which),
    /// Accept keys again
    Enable(Which),
    /// Remove keys; they and the temporary ones that they made are refused at once
    Rm(Remove),
    /// Make a temporary key with a key's rights, or fewer, and print it
    Temporary(Temporary),
}

#[derive(Debug, Args)]
struct Which {
    /// Access key ids, or names of principals that have one key
    #[arg(value_name = "KEY", required = true)]
    keys: Vec<String>,
}

#[derive(Debug, Args)]
struct Remove {
    #[command(flatten)]
    which: Which,
    /// Do not ask; where standard input or standard error is no terminal, nobody is asked
    #[arg(long, short)]
    yes: bool,
}

#[derive(Debug, Args)]
struct Change {
    /// Access key id, or the name of a principal that has one key
    key: String,
    /// What it may do, in place of what it could: a ready-made policy, a file, or a JSON document; may be repeated
    #[arg(long, value_name = "NAME|FILE|JSON", value_parser = policy::parse)]
    policy: Vec<Policy>,
    /// For how long it is good from now on: 12h, 30d, or `never` for no end
    #[arg(long, value_name = "DURATION", value_parser = args::lifetime)]
    expires: Option<Lifetime>,
}

impl Keys {
    pub(crate) async fn run(self, context: &Context) -> Result<(), Failure> {
        let (client, out) = (context.client()?, context.out);
        match self.action {
            Action::Ls => list(&client, out).await,
            Action::Create(which) => which.run(&client, context).await,
            Action::Change(which) => change(&client, out, which).await,
            Action::Rotate(which) => which.run(&client, context).await,
            Action::Disable(which) => set_status(&client, out, which, KeyStatus::Inactive).await,
            Action::Enable(which) => set_status(&client, out, which, KeyStatus::Active).await,
            Action::Rm(which) => remove(&client, out, which).await,
            Action::Temporary(which) => which.run(&client, context).await,
        }
    }
}

async fn list(client: &Client, out: Output) -> Result<(), Failure> {
    let list = client.keys().await?;
    if out.json {
        return out.json(&list);
    }
    let rows: Vec<_> = list
        .keys
        .iter()
        .map(|key| {
            let or_never = |at: &Option<String>| at.clone().unwrap_or_else(|| "never".to_owned());
            [
                key.access_key_id.clone(),
                key.name.clone(),
                policies(key),
                key.created_at.clone(),
                or_never(&key.last_used_at),
                or_never(&key.expires_at),
                state(key),
                document::line(key.description.as_deref().unwrap_or("-")),
            ]
        })
        .collect();
    out.table(["KEY", "NAME", "POLICIES", "CREATED", "LAST USED", "EXPIRES", "STATE", "DESCRIPTION"], &rows)
}

async fn change(client: &Client, out: Output, which: Change) -> Result<(), Failure> {
    let Change { key, policy, expires } = which;
    if policy.is_empty() && expires.is_none() {
        return Err(Failure::usage("there is nothing to change: give --policy or --expires"));
    }
    let key = resolve(client, &key).await?;
    let change = ChangeKey {
        status: None,
        policies: (!policy.is_empty()).then(|| policy::texts(policy)),
        expires_in_secs: expires.map(Lifetime::as_secs),
    };
    let changed = client.change_key(&key.access_key_id, &change).await.map_err(unfit)?;
    if out.json {
        return out.json(&changed);
    }
    out.note(format!("{} of {} may now: {}", changed.access_key_id, changed.name, policies(&changed)));
    Ok(())
}

async fn set_status(client: &Client, out: Output, which: Which, status: KeyStatus) -> Result<(), Failure> {
    let mut changed = Vec::new();
    for key in which.keys {
        let key = resolve(client, &key).await?;
        let change = ChangeKey { status: Some(status), ..ChangeKey::default() };
        let key = client.change_key(&key.access_key_id, &change).await.map_err(unfit)?;
        out.note(format!("{} of {} is {}", key.access_key_id, key.name, key.state.as_str()));
        changed.push(key);
    }
    if out.json { out.json(&json!({"keys": changed})) } else { Ok(()) }
}

async fn remove(client: &Client, out: Output, which: Remove) -> Result<(), Failure> {
    let mut removed = Vec::new();
    for key in which.which.keys {
        let key = resolve(client, &key).await?;
        if !which.yes {
            out.confirm(&format!("Remove access key {} of {}?", key.access_key_id, key.name))?;
        }
        client.remove_key(&key.access_key_id).await.map_err(unfit)?;
        out.note(out.err(Style::Dim, &format!("removed {} of {}", key.access_key_id, key.name)));
        removed.push(key.access_key_id);
    }
    if out.json { out.json(&json!({"removed": removed})) } else { Ok(()) }
}

/// Returns the key that `given` names: by its id, or as the only one of a principal.
async fn resolve(client: &Client, given: &str) -> Result<KeyView, Failure> {
    let keys = client.keys().await?.keys;
    let named: Vec<_> = keys.iter().filter(|key| key.name == given).collect();
    match (keys.iter().find(|key| key.access_key_id == given), named.as_slice()) {
        (Some(key), _) => Ok(key.clone()),
        (None, [key]) => Ok(KeyView::clone(key)),
        (None, []) => {
            let message = format!("there is no access key {given}, nor a principal of that name");
            Err(Failure::new(Code::NotFound, message).with_fix("innkeep keys ls"))
        }
        (None, several) => {
            let ids: Vec<_> = several.iter().map(|key| key.access_key_id.as_str()).collect();
            let message = format!("{given} has {} access keys: name one of {}", ids.len(), ids.join(", "));
            Err(Failure::usage(message).with_fix("innkeep keys ls"))
        }
    }
}

/// Says where to look, if the key is not there, or cannot be changed like that.
fn unfit(error: innkeep_sdk::Error) -> Failure {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::Conflict => Failure::from(error).with_fix("innkeep keys ls"),
        _ => error.into(),
    }
}

/// Shows what a key may do: `deployer`, `invoker + 1 document, operator`.
fn policies(key: &KeyView) -> String {
    let (documents, mut names): (Vec<_>, Vec<_>) =
        key.policies.iter().map(String::as_str).partition(|p| policy::is_json(p));
    let n_documents = match documents.len() {
        0 => None,
        1 => Some("1 document".to_owned()),
        n => Some(format!("{n} documents")),
    };
    names.extend(n_documents.as_deref());
    let names = if names.is_empty() { "nothing".to_owned() } else { names.join(" + ") };
    if key.operator { format!("{names}, operator") } else { names }
}

fn state(key: &KeyView) -> String {
    match (&key.replaced_by, key.state) {
        (Some(by), KeyState::Active) => format!("replaced by {by}"),
        (_, state) => state.as_str().to_owned(),
    }
}
