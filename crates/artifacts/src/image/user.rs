//! `User` of an image, `NAME|UID[:GROUP|GID]`, looked up in its own `/etc/passwd` and `/etc/group` as Docker does.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::image::{Problem, merged};

/// The greatest id that a program may run as: sandboxes keep 65535 for themselves.
pub(crate) const MAX_ID: u32 = 65_534;

/// How much of `/etc/passwd` and `/etc/group` is read, bytes.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// The further groups that a user may be in. Source: our choice; Linux takes 65536.
const MAX_GROUPS: usize = 64;

/// Who runs the program, inside.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
    pub(crate) home: String,
}

/// Returns whom `user` names in the image of `layers`, the topmost first.
pub(crate) fn resolve(user: &str, layers: &[PathBuf]) -> Result<User, Problem> {
    let read = |path: &str| {
        read(layers, Path::new(path)).map_err(|source| match source.kind() {
            // By the image's own permissions, which bind a server of an ordinary user.
            io::ErrorKind::PermissionDenied => Problem::Closed { path: path.to_owned() },
            _ => Problem::Io(source),
        })
    };
    look_up(user, &read("etc/passwd")?, &read("etc/group")?)
}

fn look_up(user: &str, passwd: &str, group: &str) -> Result<User, Problem> {
    let unknown = |what: &str, file| Problem::Unknown { user: user.to_owned(), what: what.to_owned(), file };
    let (who, of) = user.split_once(':').unwrap_or((user, ""));
    let who = if who.is_empty() { "0" } else { who };

    // NAME:PASSWORD:UID:GID:COMMENT:HOME:SHELL
    let found = passwd.lines().map(fields).find(|line| line.first() == Some(&who) || line.get(2) == Some(&who));
    let (name, uid, own_gid) = match &found {
        Some(line) => (line.first().copied(), number(line.get(2)), number(line.get(3))),
        None => (None, number(Some(&who)), Some(0)),
    };
    let home = found.as_ref().and_then(|line| line.get(5)).filter(|home| home.starts_with('/') && !home.contains('\0'));
    let home = home.map_or_else(crate::no_home, |home| (*home).to_owned());
    let uid = uid.ok_or_else(|| unknown(who, "/etc/passwd"))?;
    if !of.is_empty() {
        // NAME:PASSWORD:GID:MEMBERS
        let found = group.lines().map(fields).find(|line| line.first() == Some(&of) || line.get(2) == Some(&of));
        let gid = found.map_or_else(|| number(Some(&of)), |line| number(line.get(2)));
        return Ok(User { uid, gid: gid.ok_or_else(|| unknown(of, "/etc/group"))?, groups: Vec::new(), home });
    }
    let gid = own_gid.ok_or_else(|| unknown(who, "/etc/passwd"))?;
    let is_member =
        |line: &Vec<&str>| name.is_some_and(|name| line.get(3).is_some_and(|all| all.split(',').any(|m| m == name)));
    let groups = group.lines().map(fields).filter(is_member).filter_map(|line| number(line.get(2)));
    Ok(User { uid, gid, groups: groups.filter(|group| *group != gid).take(MAX_GROUPS).collect(), home })
}

fn fields(line: &str) -> Vec<&str> {
    line.trim().split(':').collect()
}

fn number(text: Option<&&str>) -> Option<u32> {
    text?.parse().ok().filter(|id| *id <= MAX_ID)
}

/// Returns the file at `path` of the image; nothing if it has none.
fn read(layers: &[PathBuf], path: &Path) -> io::Result<String> {
    let Some(place) = merged::find(layers, path)? else { return Ok(String::new()) };
    let mut bytes = Vec::new();
    File::open(place)?.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/:\n#x\nodd:x:a:b\nbig:x:70000:0\n\n";
    const GROUP: &str = "root:x:0:\napp:x:1001:app\nvideo:x:44:other,app\nwheel:x:10:root,app\n";

    #[test]
    fn users_are_looked_up_as_docker_does() {
        let user = |uid, gid, groups: &[u32]| {
            let home = if uid == 0 { "/root" } else { "/" };
            Some(User { uid, gid, groups: groups.to_vec(), home: home.to_owned() })
        };
        for (text, expect) in [
            ("", user(0, 0, &[10])),
            ("app", user(1000, 1001, &[44, 10])),
            ("1000", user(1000, 1001, &[44, 10])),
            ("app:video", user(1000, 44, &[])),
            ("app:7", user(1000, 7, &[])),
            ("5:6", user(5, 6, &[])),
            ("5", user(5, 0, &[])),
            (":video", user(0, 44, &[])),
            ("nobody", None),
            ("app:nogroup", None),
            ("odd", None),
            ("big", None),
            ("65534", user(65_534, 0, &[])),
            ("65535", None),
            ("5:65535", None),
            ("65536", None),
            ("-1", None),
        ] {
            assert_eq!(look_up(text, PASSWD, GROUP).ok(), expect, "{text:?}");
        }
        assert_eq!(look_up("", "", "").unwrap().home, "/");
        let error = look_up("nobody:x", PASSWD, GROUP).unwrap_err().to_string();
        assert!(error.contains("\"nobody:x\"") && error.contains("/etc/passwd"), "{error}");
    }

    #[test]
    fn a_home_is_what_the_user_s_line_says_if_that_is_a_path() {
        let users =
            "app:x:7:7:,:/srv/app:/bin/sh\nrel:x:8:8::rel:\nnul:x:9:9::/a\0:\nshort:x:10:10\nlast:x:11:11:x:/last";
        for (user, home) in [
            ("app", "/srv/app"),
            ("7", "/srv/app"),
            ("7:0", "/srv/app"),
            ("8", "/"),
            ("9", "/"),
            ("10", "/"),
            ("11", "/last"),
            ("12", "/"),
        ] {
            assert_eq!(look_up(user, users, "").unwrap().home, home, "{user}");
        }
    }
}
