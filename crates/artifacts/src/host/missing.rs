//! What is said where an interpreter is missing: which ones are here, and how to get the one that was asked for.

use super::node::OLDEST;
use super::python::identify;
use super::{Host, MINORS};
use crate::Error;
use crate::home::Home;

impl Host {
    /// What to say where Python 3.`minor` is asked for, or any Python without `minor`, and not found.
    pub(super) async fn no_python(&self, home: &Home, minor: Option<u8>) -> Error {
        let which = minor.map_or_else(|| "3.10 to 3.14".to_owned(), |minor| format!("3.{minor}"));
        let minor = minor.unwrap_or(12);
        let present = present(&self.present(home).await);
        Error::NoInterpreter(format!(
            "there is no Python {which} on this host; {present}install it (`apt install python3.{minor}` or \
             `uv python install 3.{minor}`), or name it in [interpreters] of innkeep.toml: \
             PYTHON_3_{minor} = \"/path/to/python3.{minor}\" (INNKEEP_INTERPRETERS takes the table as JSON)"
        ))
    }

    /// What to say where Node.js is asked for and `found` is the case.
    pub(super) async fn no_node(&self, home: &Home, found: &str) -> Error {
        let present = present(&self.pythons(home).await);
        Error::NoInterpreter(format!(
            "{found}, and NODE_22 needs version {OLDEST} or newer; {present}install it (`apt install nodejs`, or \
             https://nodejs.org), or name it in [interpreters] of innkeep.toml: NODE_22 = \"/path/to/node\" \
             (INNKEEP_INTERPRETERS takes the table as JSON)"
        ))
    }

    /// Returns each word that a program stands for here, with the program.
    async fn present(&self, home: &Home) -> Vec<String> {
        let mut present = self.pythons(home).await;
        if let Ok(node) = self.node(home).await {
            present.push(format!("NODE_22 ({})", node.program.display()));
        }
        present
    }

    async fn pythons(&self, home: &Home) -> Vec<String> {
        let system = match self.find("python3") {
            Some(program) => identify(home, program).await.ok().flatten(),
            None => None,
        };
        let mut present = Vec::new();
        for minor in MINORS {
            let word = format!("PYTHON_3_{minor}");
            let named = self.named.get(&word).cloned();
            let mut program = named.or_else(|| self.find(&format!("python3.{minor}")));
            if program.is_none() {
                program = system.as_ref().filter(|python| python.minor == minor).map(|python| python.program.clone());
            }
            if program.is_none() {
                program = self.managed_by_uv(home, minor).await.ok().flatten();
            }
            present.extend(program.map(|program| format!("{word} ({})", program.display())));
        }
        present
    }
}

fn present(words: &[String]) -> String {
    match words {
        [] => String::new(),
        words => format!("deploy as what is here, {}, or ", words.join(", ")),
    }
}
