use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use innkeep_store::{AccessKey, Error, Store, secret_key};
use innkeep_types::ErrorKind;

use crate::fixture::{Fixture, at, config, new, v};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

async fn filled() -> Fixture {
    let f = Fixture::new().await;
    f.creating("hello").await;
    let key = AccessKey::new("AKIA", SECRET, "root", at(0));
    f.store.put_access_keys(vec![key]).await.unwrap();
    f
}

/// Returns the names of the files of the data directory in which the text occurs.
fn files_with(f: &Fixture, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(f.dir.path()).unwrap() {
        let entry = entry.unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(entry.file_name().into_string().unwrap());
        }
    }
    found
}

#[tokio::test]
async fn secrets_are_nowhere_in_the_clear() {
    let f = filled().await;
    let never = [SECRET, "hunter2-hunter2", "API_KEY"];
    assert_eq!(files_with(&f, "says hello"), ["innkeep.db-wal"], "the search finds what is there");
    assert!(never.iter().all(|text| files_with(&f, text).is_empty()), "in the log");
    f.store.close().await.unwrap();
    assert_eq!(files_with(&f, "says hello"), ["innkeep.db"]);
    assert!(never.iter().all(|text| files_with(&f, text).is_empty()), "in the database");
    assert!(!format!("{:?}", f.store).contains("hunter2"));
}

#[tokio::test]
async fn files_are_for_their_owner_only() {
    let f = filled().await;
    for entry in fs::read_dir(f.dir.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn another_key_is_refused() {
    let f = filled().await;
    f.store.close().await.unwrap();
    let path = f.dir.path().join("secret.key");
    let ours = fs::read(&path).unwrap();
    fs::write(&path, "ab".repeat(32)).unwrap();
    let error = Store::open(f.dir.path()).await.unwrap_err();
    assert!(matches!(error, Error::Key(secret_key::Error::Wrong(_))), "{error}");
    assert!(error.to_string().contains("secret.key is not the one"), "{error}");
    assert_eq!(error.kind(), ErrorKind::Internal);
    fs::write(&path, ours).unwrap();
    Store::open(f.dir.path()).await.unwrap();
}

#[tokio::test]
async fn a_lost_key_is_not_replaced_by_a_fresh_one() {
    let f = filled().await;
    f.store.close().await.unwrap();
    let path = f.dir.path().join("secret.key");
    fs::remove_file(&path).unwrap();
    let error = Store::open(f.dir.path()).await.unwrap_err();
    assert!(matches!(error, Error::Key(secret_key::Error::Missing(_))), "{error}");
    assert!(!path.exists());
}

#[tokio::test]
async fn an_exposed_key_is_refused() {
    let f = filled().await;
    f.store.close().await.unwrap();
    let path = f.dir.path().join("secret.key");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let message = Store::open(f.dir.path()).await.unwrap_err().to_string();
    assert!(message.contains("0644") && message.contains(&format!("chmod 600 {}", path.display())), "{message}");
}

#[tokio::test]
async fn sealed_values_open_only_in_their_own_row() {
    let f = filled().await;
    let victim = f.creating("victim").await;
    let mut other = new("attacker");
    other.config.environment = [("API_KEY".to_owned(), "mine".to_owned())].into();
    let other = f.store.create_runtime(other).await.unwrap().version.runtime;
    f.sql(&format!(
        "UPDATE version SET environment = (SELECT environment FROM version WHERE runtime = '{victim}')
         WHERE runtime = '{other}'"
    ));
    let error = f.store.get_version(&other, Some(v(1))).await.unwrap_err();
    assert!(matches!(error, Error::Sealed { .. }), "{error}");
    let intact = f.store.get_version(&victim, Some(v(1))).await.unwrap().unwrap();
    assert_eq!(intact.config, config());
}
