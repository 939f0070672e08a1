//! What can be forked: a script that a Python interpreter runs.

use std::path::Path;

use innkeep_artifacts::{Bundle, Content};
use innkeep_types::Egress;

/// How an agent's interpreter is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::container) struct Interpreter {
    /// Arguments that are the interpreter's own, before the script.
    pub(super) n_options: usize,
}

/// Options that change nothing that a fork could not have. Those with a value of their own are two arguments.
const OPTIONS: [&str; 9] = ["-u", "-B", "-E", "-I", "-O", "-OO", "-S", "-s", "-b"];
const OPTIONS_WITH_VALUE: [&str; 2] = ["-W", "-X"];

/// Returns how the interpreter of `bundle` is started, or why it cannot be forked, for people. `has_users`: sandboxes have users of their own.
pub(in crate::container) fn fit(bundle: &Bundle, egress: Egress, has_users: bool) -> Result<Interpreter, &'static str> {
    if let Content::Image { .. } = bundle.content {
        return Err("it is an image, and only code can be forked");
    }
    if !has_users && egress == Egress::Public {
        // The network of a sandbox belongs to its user namespace then, which a zygote may enter: it could undo what is refused there.
        return Err("as an ordinary user only agents without the public network can be forked");
    }
    let [program, arguments @ ..] = bundle.argv.as_slice() else { return Err("it has no command") };
    let name = Path::new(program).file_name().unwrap_or_default();
    if !name.to_string_lossy().starts_with("python") {
        return Err("its program is not a Python interpreter");
    }
    let n_options = options(arguments).ok_or("its interpreter is started with options that a fork cannot have")?;
    match arguments.get(n_options..).unwrap_or_default() {
        [] => Err("it has no script"),
        // opentelemetry-instrument and the like.
        [_, next, ..] if next == program => Err("its script starts an interpreter of its own"),
        _ => Ok(Interpreter { n_options }),
    }
}

fn options(arguments: &[String]) -> Option<usize> {
    let mut n = 0;
    while let Some(argument) = arguments.get(n).filter(|argument| argument.starts_with('-')) {
        n += match argument.as_str() {
            option if OPTIONS.contains(&option) => 1,
            option if OPTIONS_WITH_VALUE.contains(&option) => 2,
            _ => return None,
        };
    }
    Some(n)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use innkeep_types::{ArtifactDigest, Settings};

    use super::*;

    fn bundle(argv: &str) -> Bundle {
        Bundle {
            digest: ArtifactDigest::parse("0".repeat(64)).unwrap(),
            content: Content::Code { code: "/code".into(), layers: Vec::new() },
            argv: argv.split_ascii_whitespace().map(str::to_owned).collect(),
            environment: BTreeMap::new(),
            settings: Settings::default(),
        }
    }

    #[test]
    fn a_script_of_python_is_forked_and_nothing_else() {
        for (argv, n_options) in [
            ("/usr/bin/python3 /var/task/main.py", Some(0)),
            ("/usr/bin/python3.12 -u -X dev -S main.py --flag", Some(4)),
            ("/usr/bin/python3", None),
            ("/usr/bin/python3 -u", None),
            ("/usr/bin/python3 -m agent", None),
            ("/usr/bin/python3 -c pass", None),
            ("/usr/bin/python3 /l/bin/opentelemetry-instrument /usr/bin/python3 main.py", None),
            ("/usr/bin/node main.js", None),
            ("", None),
        ] {
            let found = fit(&bundle(argv), Egress::Public, true).ok();
            assert_eq!(found.map(|interpreter| interpreter.n_options), n_options, "{argv}");
        }
    }

    #[test]
    fn an_ordinary_user_forks_only_what_has_no_network() {
        let bundle = bundle("/usr/bin/python3 main.py");
        assert!(fit(&bundle, Egress::None, false).is_ok() && fit(&bundle, Egress::Public, false).is_err());
    }
}
