//! How images come from registries: once, shared, resumed where they broke off, and whole or not at all.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use innkeep_artifacts::{Content, Error, ImageProblem, Progress};
use serde_json::json;

use crate::fixture::Store;
use crate::pulls::{chain, container, digest_line, image, prepare, refused};
use crate::registry::{Asked, Contents, Registry, cut, respond};
use crate::tars::{Layer, architecture, blobs, config, index, sha256};

#[tokio::test]
async fn an_image_is_pulled_once_and_then_needs_no_registry() {
    let image = image();
    let contents = Contents::of(&image);
    let registry = Registry::start(move |asked| contents.answer(asked));
    let store = Store::new();
    let uri = registry.reference("team/agent:1");
    let (first, second) = tokio::join!(prepare(&store, &uri), prepare(&store, &uri));
    let bundle = first.unwrap();
    assert_eq!(second.unwrap(), bundle);
    for blob in &image[..3] {
        assert_eq!(registry.count(&digest_line(blob)), 1, "two pulls share one");
    }
    let manifest = sha256(image.last().unwrap());
    assert_eq!(bundle.digest.as_str(), manifest);
    let kept = store.files().into_iter().filter(|file| file.starts_with("blobs/")).count();
    assert_eq!(kept, 0, "compressed layers are not kept");
    let pulled = store.artifacts.list(Vec::new()).await.unwrap();
    assert_eq!(pulled[0].reference.as_deref(), Some(uri.as_str()));

    let by_digest = registry.reference(&format!("team/agent@sha256:{manifest}"));
    drop(registry);
    assert_eq!(prepare(&store, &by_digest).await.unwrap(), bundle);
    // A tag has to be asked for, unless it is known what it was.
    assert_eq!(store.artifacts.restore(&container(&uri), &bundle.digest).await.unwrap(), bundle);
    let text = refused_by_network(&store, &uri).await;
    assert!(text.contains("could not be asked for its version: 127.0.0.1"), "{text}");
}

async fn refused_by_network(store: &Store, uri: &str) -> String {
    let Err(Error::Image(error)) = prepare(store, uri).await else { panic!("it should fail") };
    assert!(matches!(error.problem, ImageProblem::Unreachable { .. }), "{error}");
    chain(&error)
}

#[tokio::test]
async fn layers_are_shared_between_images() {
    let image = image();
    let small = Layer::new().file("a", "1").tar();
    let other = blobs(config(&json!({"Cmd": ["/y"]}), std::slice::from_ref(&small)), &[("", small)]);
    let contents = Contents::of(&[image.clone(), other.clone()].concat()).tag("first", image.last().unwrap());
    let registry = Registry::start(move |asked| contents.answer(asked));
    let store = Store::new();
    prepare(&store, &registry.reference("a:first")).await.unwrap();
    prepare(&store, &registry.reference("b:1")).await.unwrap();
    assert_eq!(registry.count(&digest_line(&other[1])), 0, "the same layer, compressed otherwise");
}

#[tokio::test]
async fn an_index_gives_the_image_for_this_host() {
    let image = image();
    let manifest = image.last().unwrap();
    let mut list = index(manifest, Some(("linux", architecture())));
    let other = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": format!("sha256:{}", "0".repeat(64)),
        "size": 1, "platform": {"os": "linux", "architecture": "s390x"},
    });
    list["manifests"].as_array_mut().unwrap().insert(0, other.clone());
    let unknown = json!({"os": "unknown", "architecture": "unknown"});
    let attestation =
        json!({"mediaType": "x", "digest": format!("sha256:{}", "1".repeat(64)), "size": 1, "platform": unknown});
    let elsewhere = json!({"schemaVersion": 2, "manifests": [other, attestation]}).to_string();
    let list = list.to_string().into_bytes();
    let contents = Contents::of(&image).tag("all", &list).tag("elsewhere", elsewhere.as_bytes());
    let registry = Registry::start(move |asked| contents.answer(asked));
    let store = Store::new();
    let text = refused(&store, &registry.reference("x:elsewhere")).await;
    assert_eq!(text, format!("does not run on linux/{}: it is for linux/s390x", architecture()));

    let bundle = prepare(&store, &registry.reference("x:all")).await.unwrap();
    assert_eq!(bundle.digest.as_str(), sha256(manifest));
    let by_index = registry.reference(&format!("x@sha256:{}", sha256(&list)));
    drop(registry);
    assert_eq!(prepare(&store, &by_index).await.unwrap(), bundle);
}

/// Pulls an image whose large layer is answered by `answer`, which is told how often it was asked before.
async fn pull_with(answer: impl Fn(&Contents, &Asked, usize) -> Vec<u8> + Send + Sync + 'static) -> (Registry, Store) {
    let image = image();
    let (contents, large, asked_before) = (Contents::of(&image), digest_line(&image[2]), AtomicUsize::new(0));
    let registry = Registry::start(move |asked| {
        if asked.line.contains(&large) {
            answer(&contents, asked, asked_before.fetch_add(1, Ordering::SeqCst))
        } else {
            contents.answer(asked)
        }
    });
    (registry, Store::new())
}

#[tokio::test]
async fn a_connection_that_breaks_is_resumed_where_it_broke() {
    let (registry, store) = pull_with(|contents, asked, before| {
        let answer = contents.answer(asked);
        if before < 2 { cut(answer, 100_000) } else { answer }
    })
    .await;
    prepare(&store, &registry.reference("x:1")).await.unwrap();
    let ranges: Vec<String> = registry.asked().iter().map(|asked| asked.header("range").to_owned()).collect();
    let ranges: Vec<&str> = ranges.iter().map(String::as_str).filter(|range| !range.is_empty()).collect();
    assert_eq!(ranges, ["bytes=100000-", "bytes=200000-"]);
}

#[tokio::test]
async fn who_waits_sees_how_far_a_pull_is() {
    let image = image();
    let (contents, large) = (Contents::of(&image), digest_line(&image[2]));
    let (go, may_go) = std::sync::mpsc::channel::<()>();
    let may_go = parking_lot::Mutex::new(may_go);
    let asked_before = AtomicUsize::new(0);
    let registry = Registry::start(move |asked| {
        let answer = contents.answer(asked);
        match asked.line.contains(&large).then(|| asked_before.fetch_add(1, Ordering::SeqCst)) {
            Some(0) => cut(answer, 100_000),
            Some(1) => {
                may_go.lock().recv().unwrap();
                answer
            }
            _ => answer,
        }
    });
    let store = Store::new();
    let artifact = container(&registry.reference("x:1"));
    assert_eq!(store.artifacts.progress(&artifact), None);
    let watch = async {
        loop {
            match store.artifacts.progress(&artifact) {
                Some(progress) if progress.layers_done == 1 && progress.bytes_done > 100_000 => return progress,
                _ => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        }
    };
    let watch = async {
        let seen = tokio::time::timeout(std::time::Duration::from_secs(30), watch).await;
        go.send(()).unwrap();
        seen.unwrap()
    };
    let (made, seen) = tokio::join!(store.artifacts.prepare(&artifact), watch);
    made.unwrap();
    let sizes = [image[1].len() as u64, image[2].len() as u64];
    let expect = Progress { layers: 2, layers_done: 1, bytes: sizes[0] + sizes[1], bytes_done: sizes[0] + 100_000 };
    assert_eq!(seen, expect);
    assert_eq!(store.artifacts.progress(&artifact), None);
}

#[tokio::test]
async fn a_registry_without_ranges_is_asked_from_the_beginning() {
    let (registry, store) = pull_with(|contents, asked, before| {
        let mut asked = asked.clone();
        asked.headers.remove("range");
        let answer = contents.answer(&asked);
        if before == 0 { cut(answer, 100_000) } else { answer }
    })
    .await;
    let bundle = prepare(&store, &registry.reference("x:1")).await.unwrap();
    let Content::Image { image } = bundle.content else { panic!("it is code") };
    assert_eq!(fs::metadata(image.layers[0].join("b")).unwrap().len(), 320_000);
}

#[tokio::test]
async fn what_a_dead_server_left_is_gone_on_with_and_what_does_not_fit_is_thrown_away() {
    let image = image();
    let place = format!("artifacts/blobs/{}.partial", sha256(&image[2]));
    for (left, ranges) in [(image[2][..5000].to_vec(), vec!["bytes=5000-"]), (vec![0; 5000], vec!["bytes=5000-", ""])] {
        let (registry, store) = pull_with(|contents, asked, _| contents.answer(asked)).await;
        fs::write(store.dir.path().join(&place), left).unwrap();
        prepare(&store, &registry.reference("x:1")).await.unwrap();
        let large = digest_line(&image[2]);
        let asked = registry.asked().into_iter().filter(|asked| asked.line.contains(&large));
        assert_eq!(asked.map(|asked| asked.header("range").to_owned()).collect::<Vec<_>>(), ranges);
    }
}

#[tokio::test]
async fn a_layer_that_never_comes_whole_is_given_up() {
    let (registry, store) = pull_with(|contents, asked, before| {
        let answer = contents.answer(asked);
        cut(answer, if before == 0 { 1000 } else { 0 })
    })
    .await;
    let text = refused(&store, &registry.reference("x:1")).await;
    assert!(text.contains("could not be asked for layer sha256:") && text.contains("broke off"), "{text}");
}

#[tokio::test]
async fn content_that_is_not_what_its_digest_says_is_refused() {
    let (registry, store) = pull_with(|contents, asked, _| {
        let mut answer = contents.answer(asked);
        *answer.last_mut().unwrap() ^= 1;
        answer
    })
    .await;
    let text = refused(&store, &registry.reference("x:1")).await;
    assert!(text.starts_with("is damaged: layer sha256:") && text.contains(" and has sha256:"), "{text}");
    let place = format!("artifacts/blobs/{}.partial", sha256(&image()[2]));
    assert!(!store.dir.path().join(place).exists());

    let (registry, store) = pull_with(|_, _, _| respond("200 OK", &[], &[0; 400_000])).await;
    let text = refused(&store, &registry.reference("x:1")).await;
    assert!(text.contains("should have 321") && text.contains("bytes and has"), "{text}");

    let image = image();
    let contents = Contents::of(&image);
    let (manifest, settings) = (sha256(image.last().unwrap()), digest_line(&image[0]));
    let registry = Registry::start(move |asked| {
        let mut answer = contents.answer(asked);
        if asked.line.contains(&settings) || asked.line.contains("manifests/sha256") {
            answer.pop();
            answer.push(b' ');
        }
        answer
    });
    let text = refused(&store, &registry.reference("x:1")).await;
    assert!(text.starts_with("is damaged: its configuration should have digest"), "{text}");
    let text = refused(&store, &registry.reference(&format!("x@sha256:{manifest}"))).await;
    assert!(text.starts_with("is damaged: its manifest should have digest"), "{text}");
}

#[tokio::test]
async fn what_passes_is_waited_for_and_what_does_not_is_told() {
    let contents = Contents::of(&image());
    let fails = Arc::new(AtomicUsize::new(0));
    let before = fails.clone();
    let registry = Registry::start(move |asked| match before.fetch_add(1, Ordering::SeqCst) {
        0 => respond("503 Service Unavailable", &[], b""),
        1 => respond("429 Too Many Requests", &[("Retry-After", "1")], b""),
        2 => Vec::new(),
        _ => contents.answer(asked),
    });
    let store = Store::new();
    prepare(&store, &registry.reference("x:1")).await.unwrap();

    for (status, says) in [
        ("429 Too Many Requests", "says that too much was asked of it"),
        ("500 Internal Server Error", "answered 500 (no luck)"),
        ("418 I'm a teapot", "answered 418 (no luck)"),
        ("404 Not Found", "does not have manifest 1 of team/x; check name and tag"),
        ("403 Forbidden", "refuses it to the anonymous: no credentials for it are known here; if it is there, log in"),
    ] {
        let registry = Registry::start(move |_| {
            respond(status, &[("Retry-After", "0")], br#"{"errors":[{"message":"no luck"}]}"#)
        });
        let text = refused(&Store::new(), &registry.reference("team/x:1")).await;
        assert!(text.contains(&registry.address.to_string()) && text.contains(says), "{text}");
    }
}
