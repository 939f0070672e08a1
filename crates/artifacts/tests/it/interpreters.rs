//! Which program runs a `runtime`: what the operator names, else what is found, else words that help.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use innkeep_artifacts::{Error, Kind, Options};

use crate::fixture::{Store, artifact, zip};

/// Returns a store in which `word` is run by `program`.
fn store(word: &str, program: &Path) -> Store {
    Store::with(Options { interpreters: [(word.to_owned(), program.to_owned())].into(), ..Options::default() })
}

/// Returns a program that answers any question with `answer`.
fn program(dir: &Path, answer: &str) -> PathBuf {
    let path = dir.join("interpreter");
    fs::write(&path, format!("#!/bin/sh\necho {answer}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Returns what `main.py` is started with as `runtime`.
async fn prepare(store: &Store, runtime: &str) -> Result<Vec<String>, String> {
    let mut uploaded = store.add(&zip(&[("main.py", b"")]), Kind::Zip).await.unwrap();
    runtime.clone_into(&mut uploaded.runtime);
    let bundle = store.artifacts.prepare(&artifact(&uploaded)).await;
    bundle.map(|bundle| bundle.argv).map_err(|error| match error {
        Error::NoInterpreter(said) => said,
        other => panic!("{other}"),
    })
}

#[tokio::test]
async fn what_the_operator_names_is_taken_under_that_name() {
    let dir = tempfile::tempdir().unwrap();
    for (word, answer) in [("PYTHON_3_13", "3.13.5"), ("NODE_22", "v22.1.0"), ("NODE_22", "v20.0.0")] {
        let program = program(dir.path(), answer);
        let argv = prepare(&store(word, &program), word).await.unwrap();
        assert_eq!(Path::new(&argv[0]), program);
    }
}

#[tokio::test]
async fn a_program_that_is_not_what_its_word_says_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (word, answer, says) in [
        ("PYTHON_3_13", "3.12.1", "is Python 3.12.1"),
        ("PYTHON_3_13", "hello", "does not answer as Python 3 does"),
        ("NODE_22", "v18.19.0", "answers \"v18.19.0\" and not version 20 or newer"),
    ] {
        let program = program(dir.path(), answer);
        let said = prepare(&store(word, &program), word).await.unwrap_err();
        assert!(said.starts_with(&format!("{word} is {} by [interpreters]", program.display())), "{said}");
        assert!(said.contains(says), "{said}");
    }
    let said = prepare(&store("PYTHON_3_13", &dir.path().join("nothing")), "PYTHON_3_13").await.unwrap_err();
    assert!(said.contains("is no executable file") && said.contains("correct it"), "{said}");
}

#[expect(clippy::print_stderr, reason = "says why it proves nothing")]
#[tokio::test]
async fn where_one_is_missing_all_that_are_present_are_named() {
    let dir = tempfile::tempdir().unwrap();
    // Whatever the host has: of these, one is named and one at least is not there.
    let named = program(dir.path(), "3.10.9");
    let store = store("PYTHON_3_10", &named);
    let mut missing = Vec::new();
    for word in ["PYTHON_3_11", "PYTHON_3_12", "PYTHON_3_13", "PYTHON_3_14"] {
        missing.extend(prepare(&store, word).await.err().map(|said| (word, said)));
    }
    let Some((word, said)) = missing.first() else {
        eprintln!("this host has every Python: nothing is missing");
        return;
    };
    let minor = word.trim_start_matches("PYTHON_3_");
    assert!(
        said.starts_with(&format!("there is no Python 3.{minor} on this host; deploy as what is here, ")),
        "{said}"
    );
    assert!(said.contains(&format!("PYTHON_3_10 ({})", named.display())), "{said}");
    assert!(said.contains(&format!("{word} = \"/path/to/python3.{minor}\" (INNKEEP_INTERPRETERS")), "{said}");
    let node = prepare(&store, "NODE_22").await;
    assert_eq!(said.contains("NODE_22 ("), node.is_ok(), "{said}");
}
