//! From the name in `/agents/{name}/…` to the runtime that it stands for. The request goes on as one for that runtime's ARN; what its
//! caller is told is put in his own words again, because an id is nothing that a name lets guess.

use std::collections::{HashMap, HashSet};

use innkeep_store::Store;
use innkeep_types::{RuntimeArn, RuntimeId, RuntimeName};
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;

use crate::error::Error;
use crate::target::Home;

/// Names remembered at one time; those of nobody apart. Source: our choice, as for what targets are resolved to.
const REMEMBERED: usize = 4096;

/// The longest name that is looked at, bytes; of a folder's the first 48 characters count. Source: our choice.
const MAX_SPELLED: usize = 256;

/// What stands for the random part of an id that no runtime has.
const NOBODYS: &str = "0000000000";

/// Finds runtimes by name.
#[derive(Debug)]
pub(crate) struct Names {
    store: Store,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Of the store, when they were looked up.
    generation: u64,
    there: HashMap<RuntimeName, RuntimeId>,
    missing: HashSet<RuntimeName>,
}

/// What a name stands for.
#[derive(Debug)]
pub(crate) struct Alias {
    /// As the caller spelled it, decoded.
    spelled: String,
    name: RuntimeName,
    /// Of the runtime; of none, if there is none of the name, so that who may not know is not told.
    pub(crate) arn: RuntimeArn,
    pub(crate) is_there: bool,
}

impl Names {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, known: Mutex::default() }
    }

    /// Returns what the name stands for, which is still percent-encoded, and may be spelled as the folder that the runtime came from.
    pub(crate) async fn find(&self, raw_name: &str, home: &Home) -> Result<Alias, Error> {
        let invalid = || Error::field("name", "must be an agent's name, or that of the folder it came from".to_owned());
        let spelled = percent_decode_str(raw_name).decode_utf8().map_err(|_| invalid())?.into_owned();
        let name = RuntimeName::from_folder(&spelled).filter(|_| spelled.len() <= MAX_SPELLED).ok_or_else(invalid)?;
        let found = self.look_up(&name).await?;
        let is_there = found.is_some();
        // None has it: an id begins with its runtime's name.
        let nobodys = || RuntimeId::parse(format!("{name}-{NOBODYS}")).map_err(|_| invalid());
        let id = found.map_or_else(nobodys, Ok)?;
        Ok(Alias { spelled, name, arn: RuntimeArn::new(home.region.clone(), home.account.clone(), id), is_there })
    }

    /// Forgets that there is nobody of the name. The store's generation tells of what is served, and not of what is made and fails: whoever
    /// has proven who he is, and may be about to make it, is not held off by what was so before. Others may be.
    pub(crate) fn look_again(&self, alias: &Alias) {
        self.known.lock().missing.remove(&alias.name);
    }

    async fn look_up(&self, name: &RuntimeName) -> Result<Option<RuntimeId>, Error> {
        // Read before the store is: an answer that a commit overtakes is remembered as of the time before it.
        let generation = self.store.generation();
        if let Some(known) = generation.and_then(|generation| self.known.lock().get(generation, name)) {
            return Ok(known);
        }
        let found = self.store.find_runtime(name).await.map_err(|error| Error::Resolve(error.into()))?;
        let found = found.map(|runtime| runtime.id);
        if let Some(generation) = generation {
            self.known.lock().remember(generation, name, found.clone());
        }
        Ok(found)
    }
}

impl Known {
    fn get(&self, generation: u64, name: &RuntimeName) -> Option<Option<RuntimeId>> {
        if self.generation != generation {
            return None;
        }
        let missing = || self.missing.contains(name).then_some(None);
        self.there.get(name).cloned().map(Some).or_else(missing)
    }

    fn remember(&mut self, generation: u64, name: &RuntimeName, found: Option<RuntimeId>) {
        if generation < self.generation {
            return;
        }
        if generation > self.generation {
            *self = Self { generation, ..Self::default() };
        }
        match found {
            Some(id) => {
                if self.there.len() >= REMEMBERED {
                    self.there.clear();
                }
                self.there.insert(name.clone(), id);
            }
            // Apart, because anybody can make some up.
            None => {
                if self.missing.len() >= REMEMBERED {
                    self.missing.clear();
                }
                self.missing.insert(name.clone());
            }
        }
    }
}

impl Alias {
    /// Returns the error as one about what the caller asked for, by the name he gave it.
    pub(crate) fn reword(&self, error: Error) -> Error {
        match error {
            Error::NoAgent { qualifier, unmade, .. } => {
                Error::NoAgent { qualifier, agent: self.spelled.clone(), unmade }
            }
            Error::Denied(mut denial) => {
                denial.resource = format!("agents/{}", self.spelled);
                Error::Denied(denial)
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(n: usize) -> RuntimeName {
        RuntimeName::parse(format!("agent{n}")).unwrap()
    }

    #[test]
    fn names_are_remembered_until_the_store_changes_and_never_too_many() {
        let id = RuntimeId::parse("agent1-0123456789").unwrap();
        let mut known = Known::default();
        known.remember(3, &name(1), Some(id.clone()));
        known.remember(3, &name(2), None);
        assert_eq!((known.get(3, &name(1)), known.get(3, &name(2))), (Some(Some(id.clone())), Some(None)));
        assert_eq!((known.get(3, &name(3)), known.get(4, &name(1))), (None, None));
        for n in 2..=REMEMBERED + 2 {
            known.remember(3, &name(n), None);
        }
        assert!(known.missing.len() <= REMEMBERED);
        assert_eq!(known.get(3, &name(1)), Some(Some(id)), "what is not there pushes nothing out");
        known.remember(4, &name(2), None);
        known.remember(3, &name(1), None);
        assert_eq!(known.get(4, &name(1)), None, "an overtaken answer is not remembered");
    }
}
