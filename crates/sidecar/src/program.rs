//! The agent's program: where it may be, and the call that becomes it.

use std::collections::BTreeMap;
use std::ffi::{CString, NulError};
use std::io;

use crate::sys;

/// A program with all that it is given.
#[derive(Debug)]
pub(crate) struct Program {
    /// Where it is looked for, in this order.
    places: Vec<CString>,
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Program {
    /// Names the program of `argv`: a path, or a bare name for the directories of `PATH`.
    pub(crate) fn new(argv: &[String], environment: &BTreeMap<String, String>) -> Result<Self, NulError> {
        let name = argv.first().map_or("", String::as_str);
        let path = environment.get("PATH").map_or("", String::as_str);
        let places: Vec<String> = if name.contains('/') {
            vec![name.to_owned()]
        } else {
            path.split(':').filter(|place| place.starts_with('/')).map(|place| format!("{place}/{name}")).collect()
        };
        let variables = environment.iter().map(|(name, value)| format!("{name}={value}"));
        Ok(Self { places: words(places)?, arguments: words(argv.iter().cloned())?, environment: words(variables)? })
    }

    /// Becomes the program; returns only if none of its places has one that can be run, and why.
    pub(crate) fn run(&self) -> io::Error {
        let mut refused = io::Error::from_raw_os_error(libc::ENOENT);
        for place in &self.places {
            let error = sys::execute(place, &self.arguments, &self.environment);
            match error.raw_os_error() {
                Some(libc::ENOENT | libc::ENOTDIR) => {}
                // One further on may do, as with a shell.
                Some(libc::EACCES) => refused = error,
                _ => return error,
            }
        }
        refused
    }
}

fn words(of: impl IntoIterator<Item = String>) -> Result<Vec<CString>, NulError> {
    of.into_iter().map(CString::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(name: &str, path: &str) -> Vec<String> {
        let environment = BTreeMap::from([("PATH".to_owned(), path.to_owned())]);
        let program = Program::new(&[name.to_owned()], &environment).unwrap();
        program.places.into_iter().map(|place| place.into_string().unwrap()).collect()
    }

    #[test]
    fn only_a_bare_name_is_looked_for_and_never_in_the_working_directory() {
        assert_eq!(places("/bin/agent", "/usr/bin"), ["/bin/agent"]);
        assert_eq!(places("./agent", "/usr/bin"), ["./agent"]);
        assert_eq!(places("agent", "/usr/bin:/bin"), ["/usr/bin/agent", "/bin/agent"]);
        assert_eq!(places("agent", "::bin:/opt"), ["/opt/agent"]);
        assert_eq!(places("agent", ""), <[&str; 0]>::default());
    }
}
