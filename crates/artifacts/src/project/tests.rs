//! Which folders are recognised, which are refused and with what words. Looks at files only.

use std::os::unix::fs::PermissionsExt;

use super::requirements::Requirements;
use super::*;

type Files<'a> = &'a [(&'a str, &'a str)];

/// A folder with these files; a name that ends in `*` is executable.
fn folder(files: Files<'_>) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = dir.path().join(name.trim_end_matches('*'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        let mode = if name.ends_with('*') { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
    dir
}

#[test]
fn folders_are_recognised() {
    use Language::{Executable, Node, Python};
    type Expect = (Language, &'static [&'static str]);
    let table: &[(Files<'_>, Expect)] = &[
        (&[("app.py", ""), ("agent.py", ""), ("main.py", ""), ("package.json", "{}")], (Python, &["main.py"])),
        (&[("app.py", ""), ("agent.py", "")], (Python, &["agent.py"])),
        (&[("app.py", "")], (Python, &["app.py"])),
        (
            &[("main.py", ""), ("src/x.py", ""), ("innkeep.toml", "[agent]\nentrypoint='src/x.py'")],
            (Python, &["src/x.py"]),
        ),
        (&[("s*", ""), ("innkeep.toml", "[agent]\nentrypoint=['./s', '--fast']")], (Executable, &["./s", "--fast"])),
        (
            &[("main.py", ""), ("innkeep.toml", "[agent]\nentrypoint=['opentelemetry-instrument', 'main.py']")],
            (Python, &["opentelemetry-instrument", "main.py"]),
        ),
        (&[("package.json", r#"{"main":"lib/x"}"#), ("lib/x.js", "")], (Node, &["lib/x.js"])),
        (&[("package.json", r#"{"main":"a.js","scripts":{"start":"node b.mjs"}}"#), ("b.mjs", "")], (Node, &["b.mjs"])),
        (&[("package.json", r#"{"scripts":{"start":"next start"}}"#), ("index.js", "")], (Node, &["index.js"])),
        (&[("agent*", "")], (Executable, &["agent"])),
        (&[("bootstrap*", ""), ("Cargo.toml", "")], (Executable, &["bootstrap"])),
    ];
    for (files, (language, entry_point)) in table {
        let found = detect(folder(files).path()).unwrap();
        let entry_point = entry_point.iter().map(|item| (*item).to_owned()).collect();
        assert_eq!(found, Project { language: *language, entry_point }, "{files:?}");
    }
}

#[test]
fn what_cannot_be_run_is_refused_with_the_way_out() {
    let table: &[(Files<'_>, &str)] = &[
        (&[], "nothing to run"),
        (&[("agent", "not executable")], "nothing to run"),
        (&[("Cargo.toml", "")], "name the executable in innkeep.toml"),
        (&[("Dockerfile", "")], "images need the container driver"),
        (
            &[("package.json", r#"{"dependencies":{"x":"1"}}"#), ("index.js", "")],
            "deploy a zip that holds node_modules",
        ),
        (&[("package.json", "{}")], r#"names "index.js""#),
        (&[("package.json", "[")], "package.json: "),
        (&[("innkeep.toml", "[agent]\nentrypoint='x.py'")], "is not a file of the project"),
        (&[("innkeep.toml", "[agent]\nentrypoint='/bin/sh'")], "is not a file of the project"),
        (&[("innkeep.toml", "[agent]\nentrypoint='./target/release/s'")], "puts it into bin"),
        (&[("innkeep.toml", "[agent]\nentrypoint='../x.py'")], "is not a file of the project"),
        (&[("s", ""), ("innkeep.toml", "[agent]\nentrypoint='./s'")], "chmod +x"),
        (&[("main.py", ""), ("innkeep.toml", "[agent]\nentry='x'")], "unknown key `entry`"),
    ];
    for (files, says) in table {
        let error = detect(folder(files).path()).unwrap_err().to_string();
        assert!(error.contains(says), "{files:?}: {error}");
    }
}

#[test]
fn requirements_are_found() {
    let pyproject = "[project]\ndependencies = ['a>=1', 'b']";
    let table: &[(Files<'_>, Option<&str>)] = &[
        (&[], None),
        (&[("requirements.txt", "# nothing\n\n")], None),
        (&[("requirements.txt", "# x\na==1  # why\n  \nb"), ("pyproject.toml", pyproject)], Some("a==1  # why\nb\n")),
        (&[("pyproject.toml", pyproject)], Some("a>=1\nb\n")),
        (&[("pyproject.toml", "[tool.ruff]\nline-length = 1")], None),
    ];
    for (files, text) in table {
        let found = Requirements::read(folder(files).path()).unwrap();
        assert_eq!(found.as_ref().map(|found| found.text.as_str()), *text, "{files:?}");
    }
    for bad in ["[project]\ndynamic = ['dependencies']", "[tool.uv.sources]\na = { path = '../a' }", "["] {
        assert!(Requirements::read(folder(&[("pyproject.toml", bad)]).path()).is_err(), "{bad}");
    }
}

#[test]
fn requirements_on_files_of_the_project_are_told_apart() {
    for (text, expect) in [
        ("a==1\nb[x]>=2; python_version < '3.12'\nc  # https://why\n", true),
        ("-r more.txt\n", false),
        ("-e .\n", false),
        (".\n", false),
        ("a\n--find-links wheels\n", false),
        ("./a\n", false),
        ("a.whl\n", false),
        ("a @ file:///x/a\n", false),
    ] {
        let requirements = Requirements { file: "requirements.txt", text: text.to_owned() };
        assert_eq!(requirements.is_self_contained(), expect, "{text}");
    }
}
