//! A program: where it may be, and the call that becomes it.

use std::collections::BTreeMap;
use std::ffi::{CString, NulError};
use std::io;
use std::iter;

use crate::sys;

/// A program with all that it is given.
#[derive(Debug)]
pub(crate) struct Program {
    /// Where it is looked for, in this order, each with the name that it is called by there.
    places: Vec<(CString, CString)>,
    /// Without that name.
    arguments: Vec<CString>,
    environment: Vec<CString>,
}

impl Program {
    /// Names the program of `argv`: a path, or a bare name for the directories of `PATH`.
    pub(crate) fn new(argv: &[String], environment: &BTreeMap<String, String>) -> Result<Self, NulError> {
        let (name, arguments) = argv.split_first().map_or(("", argv), |(name, rest)| (name.as_str(), rest));
        Self::first_of(&[name], arguments, environment)
    }

    /// Names the first of some programs that can be run, each a path or a bare name.
    pub(crate) fn first_of(
        names: &[&str],
        arguments: &[String],
        environment: &BTreeMap<String, String>,
    ) -> Result<Self, NulError> {
        let path = environment.get("PATH").map_or("", String::as_str);
        let mut places = Vec::new();
        for &name in names {
            if name.contains('/') {
                places.push((CString::new(name)?, CString::new(name)?));
            } else {
                for place in path.split(':').filter(|place| place.starts_with('/')) {
                    places.push((CString::new(format!("{place}/{name}"))?, CString::new(name)?));
                }
            }
        }
        let variables = environment.iter().map(|(name, value)| format!("{name}={value}"));
        Ok(Self { places, arguments: words(arguments.iter().cloned())?, environment: words(variables)? })
    }

    /// Becomes the program; returns only if none of its places has one that can be run, and why.
    pub(crate) fn run(&self) -> io::Error {
        let mut refused = io::Error::from_raw_os_error(libc::ENOENT);
        for (place, name) in &self.places {
            let arguments: Vec<_> = iter::once(name).chain(&self.arguments).map(CString::as_c_str).collect();
            let error = sys::execute(place, &arguments, &self.environment);
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
        program.places.into_iter().map(|(place, _)| place.into_string().unwrap()).collect()
    }

    #[test]
    fn only_a_bare_name_is_looked_for_and_never_in_the_working_directory() {
        assert_eq!(places("/bin/agent", "/usr/bin"), ["/bin/agent"]);
        assert_eq!(places("./agent", "/usr/bin"), ["./agent"]);
        assert_eq!(places("agent", "/usr/bin:/bin"), ["/usr/bin/agent", "/bin/agent"]);
        assert_eq!(places("agent", "::bin:/opt"), ["/opt/agent"]);
        assert_eq!(places("agent", ""), <[&str; 0]>::default());
    }

    #[test]
    fn each_of_several_programs_is_called_by_its_own_name() {
        let environment = BTreeMap::from([("PATH".to_owned(), "/opt/bin".to_owned())]);
        let program = Program::first_of(&["/bin/bash", "sh"], &["-c".to_owned()], &environment).unwrap();
        let expected = [(c"/bin/bash", c"/bin/bash"), (c"/opt/bin/sh", c"sh")];
        assert_eq!(program.places, expected.map(|(place, name)| (place.to_owned(), name.to_owned())));
    }
}
