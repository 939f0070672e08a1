//! Code zips from an object store, here one that does what the test says; a real one is in `e2e/`.

use std::fs;
use std::future::Future;

use innkeep_artifacts::{Artifacts, Bundle, Error, Options, S3Error, S3Options, Secret};
use innkeep_types::Artifact;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::fixture::{Store, run, zip};
use crate::garbage::{USED_SINCE, age};

/// A store of one object at a time, whatever key is asked for.
struct ObjectStore {
    listener: TcpListener,
    content: Vec<u8>,
    /// Whole answers that were given.
    n_served: usize,
}

impl ObjectStore {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, content: Vec::new(), n_served: 0 }
    }

    fn options(&self) -> Options {
        let s3 = S3Options {
            endpoint: format!("http://{}", self.listener.local_addr().unwrap()),
            region: "us-east-1".to_owned(),
            access_key_id: "AKIAEXAMPLE".to_owned(),
            secret_access_key: Secret("hunter2".to_owned()),
            path_style: true,
        };
        Options { s3: Some(s3), ..Options::default() }
    }

    /// Serves until `asking` is done.
    async fn during<T>(&mut self, asking: impl Future<Output = T>) -> T {
        tokio::select! {
            answer = asking => answer,
            () = self.serve() => unreachable!(),
        }
    }

    async fn serve(&mut self) {
        let etag = format!("\"{}\"", self.content.len());
        loop {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            let is_known = String::from_utf8(head).unwrap().contains(&format!("if-none-match: {etag}\r\n"));
            let answer = if is_known {
                b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec()
            } else {
                self.n_served += 1;
                let head = format!("HTTP/1.1 200 OK\r\netag: {etag}\r\ncontent-length: {}\r\n\r\n", self.content.len());
                [head.as_bytes(), &self.content].concat()
            };
            stream.write_all(&answer).await.unwrap();
        }
    }
}

fn artifact() -> Artifact {
    Artifact::Code {
        bucket: "code".to_owned(),
        prefix: "agent.zip".to_owned(),
        version_id: None,
        runtime: "PROVIDED".to_owned(),
        entry_point: vec!["agent".to_owned()],
    }
}

fn agent(says: &str) -> Vec<u8> {
    zip(&[("agent*", format!("#!/bin/sh\necho {says}").as_bytes())])
}

async fn prepare(store: &Store, objects: &mut ObjectStore) -> Result<Bundle, Error> {
    objects.during(store.artifacts.prepare(&artifact())).await
}

#[tokio::test]
async fn a_version_stays_what_its_object_was() {
    let mut objects = ObjectStore::new().await;
    let store = Store::with(objects.options());
    objects.content = agent("first");
    let first = prepare(&store, &mut objects).await.unwrap();
    objects.content = agent("the second");
    let second = prepare(&store, &mut objects).await.unwrap();
    assert_eq!((run(&first), run(&second)), ("first\n".to_owned(), "the second\n".to_owned()));

    // Another directory, as after a restore; and the store is gone.
    fs::rename(first.code().unwrap().with_file_name("bundle.json"), store.dir.path().join("gone")).unwrap();
    let gone = objects.options();
    drop(objects);
    let reopened = Artifacts::open(store.dir.path(), gone).unwrap();
    assert!(reopened.bundle(&first.digest).is_err());
    assert_eq!(reopened.restore(&artifact(), &first.digest).await.unwrap(), first);
    assert_eq!(run(&reopened.bundle(&first.digest).unwrap()), "first\n");
}

#[tokio::test]
async fn an_object_that_did_not_change_is_fetched_once() {
    let mut objects = ObjectStore::new().await;
    let store = Store::with(objects.options());
    objects.content = agent("same");
    let first = prepare(&store, &mut objects).await.unwrap();
    let files = store.files();
    assert_eq!(prepare(&store, &mut objects).await.unwrap(), first);
    assert_eq!((objects.n_served, store.files()), (1, files));

    // Its zip is gone: it is fetched again, although the store is known to have the same.
    let zips = store.dir.path().join("artifacts/zips");
    fs::remove_file(fs::read_dir(&zips).unwrap().next().unwrap().unwrap().path()).unwrap();
    assert_eq!(prepare(&store, &mut objects).await.unwrap(), first);
    assert_eq!((objects.n_served, fs::read_dir(&zips).unwrap().count()), (2, 1));
}

#[tokio::test]
async fn what_a_version_was_made_of_is_kept_and_the_rest_goes() {
    let mut objects = ObjectStore::new().await;
    let store = Store::with(objects.options());
    objects.content = agent("old");
    let old = prepare(&store, &mut objects).await.unwrap();
    objects.content = agent("newest");
    let new = prepare(&store, &mut objects).await.unwrap();
    age(&store);
    let in_use = vec![(artifact(), Some(old.digest.clone()))];
    let removed = store.artifacts.retain(in_use.clone(), USED_SINCE).await.unwrap();
    assert_eq!(removed, 4, "zip, manifest, bundle and record of the new one");
    assert!(store.artifacts.bundle(&new.digest).is_err());

    // What is left suffices to make it again, without the store.
    let only = fs::read_dir(store.dir.path().join("artifacts/bundles")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(only.join("bundle.json")).unwrap();
    drop(objects);
    assert_eq!(store.artifacts.restore(&artifact(), &old.digest).await.unwrap(), old);
    age(&store);
    assert_eq!(store.artifacts.retain(Vec::new(), USED_SINCE).await.unwrap(), 4);
    assert_eq!(store.files(), Vec::<String>::new());
}

#[tokio::test]
async fn nothing_is_left_of_an_object_that_cannot_be_run() {
    let mut objects = ObjectStore::new().await;
    let store = Store::with(objects.options());
    for (content, says) in [
        (b"no zip".to_vec(), "not a zip archive"),
        (zip(&[("../agent*", b"#!/bin/sh")]), "leads out of the archive"),
        (zip(&[("other*", b"#!/bin/sh")]), "is not in the artifact"),
    ] {
        objects.content = content;
        let error = prepare(&store, &mut objects).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert_eq!(store.files(), Vec::<String>::new());
    }
    let mut options = objects.options();
    options.s3 = options.s3.map(|s3| S3Options { endpoint: "s3.example.com".to_owned(), ..s3 });
    let refused = Artifacts::open(store.dir.path(), options);
    assert!(matches!(refused, Err(Error::S3(S3Error::Endpoint { .. }))));
}
