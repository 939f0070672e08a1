//! What the query of a request for a shell says. The shell's id is AWS's; size and command are ours.

use innkeep_protocol::shell::Size;
use innkeep_types::ShellId;
use percent_encoding::percent_decode_str;

use super::error::Error as Refusal;
use crate::error::Error;

/// A terminal's size until its client says another. Source: what terminals are that were never told.
const SIZE: Size = Size { width: 80, height: 24 };

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) shell: ShellId,
    /// Of a terminal that is opened.
    pub(crate) size: Size,
    /// What is run in a terminal that is opened, and its arguments; empty: a shell.
    pub(crate) command: Vec<String>,
}

impl Asked {
    /// Reads a query, still percent-encoded.
    pub(crate) fn parse(query: Option<&str>) -> Result<Self, Error> {
        let (mut shell, mut size, mut command) = (None, SIZE, Vec::new());
        for (name, value) in query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "shellId" => {
                    let id = ShellId::parse(decode(value, "shellId")?).map_err(Refusal::Id)?;
                    if shell.replace(id).is_some() {
                        return Err(Error::field("shellId", "Member must be given once".to_owned()));
                    }
                }
                "width" => size.width = number(value, "width")?,
                "height" => size.height = number(value, "height")?,
                "command" => command.push(decode(value, "command")?),
                _ => {}
            }
        }
        if command.first().is_some_and(String::is_empty) || command.iter().any(|part| part.contains('\0')) {
            return Err(Error::field("command", "must begin with a program's name, and hold no NUL".to_owned()));
        }
        Ok(Self { shell: shell.unwrap_or_else(ShellId::generate), size, command })
    }
}

fn decode(value: &str, member: &'static str) -> Result<String, Error> {
    // Clients' libraries write a space as a form does.
    let value = value.replace('+', " ");
    let decoded = percent_decode_str(&value).decode_utf8().map(|text| text.into_owned());
    decoded.map_err(|_| Error::field(member, "must be UTF-8".to_owned()))
}

fn number(value: &str, member: &'static str) -> Result<u16, Error> {
    let number = value.parse().ok().filter(|n| *n > 0);
    number.ok_or_else(|| Error::field(member, "must be a number from 1 to 65535".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Id, columns and rows, command.
    type Expect<'a> = (&'a str, (u16, u16), &'a [&'a str]);

    #[track_caller]
    fn check(query: &str, expect: Result<Expect<'_>, &str>) {
        match (Asked::parse(Some(query)), expect) {
            (Ok(Asked { shell, size, command }), Ok((id, (width, height), argv))) => {
                assert_eq!((shell.as_str(), size), (id, Size { width, height }), "{query}");
                assert_eq!(command, argv);
            }
            (Err(error), Err(expect)) => assert!(error.to_string().contains(expect), "{query}: {error}"),
            (found, _) => panic!("{query}: {found:?}"),
        }
    }

    #[test]
    fn the_query_names_the_shell() {
        check("qualifier=DEFAULT&shellId=debug-1_A", Ok(("debug-1_A", (80, 24), &[])));
        check("shellId=a&width=120&height=40", Ok(("a", (120, 40), &[])));
        check(
            "shellId=a&command=ls&command=-l&command=%2Ftmp%2Fa+b%2Bc",
            Ok(("a", (80, 24), &["ls", "-l", "/tmp/a b+c"])),
        );
        assert_ne!(Asked::parse(None).unwrap().shell, Asked::parse(Some("")).unwrap().shell);
    }

    #[test]
    fn what_it_cannot_say_is_refused() {
        check("shellId=", Err("shellId must match"));
        check("shellId=-a", Err("shellId must match"));
        check("shellId=a%0A", Err("shellId must match"));
        check("shellId=a%FF", Err("UTF-8"));
        check(&format!("shellId={}", "a".repeat(129)), Err("shellId must match"));
        check("shellId=a&shellId=a", Err("once"));
        check("width=0", Err("1 to 65535"));
        check("height=65536", Err("1 to 65535"));
        check("command=", Err("program"));
        check("command=ls&command=%00", Err("NUL"));
    }
}
