//! Images from registries, good ones and others.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use innkeep_artifacts::{Bundle, Content, Error, ImageProblem, Options, Progress, RegistryOptions, Secret};
use innkeep_types::limits::MAX_IMAGE_BYTES;
use innkeep_types::{Artifact, ErrorKind};
use serde_json::json;

use crate::fixture::Store;
use crate::registry::{Asked, Contents, Registry, cut, respond};
use crate::tars::{Layer, architecture, blobs, config, gzip, index, sha256};

fn container(uri: &str) -> Artifact {
    Artifact::Container { uri: uri.to_owned() }
}

async fn prepare(store: &Store, uri: &str) -> Result<Bundle, Error> {
    store.artifacts.prepare(&container(uri)).await
}

/// The words with which a pull is refused; of the image nothing stays but layers.
async fn refused(store: &Store, uri: &str) -> String {
    let error = prepare(store, uri).await.unwrap_err();
    let Error::Image(error) = error else { panic!("{error}") };
    assert_eq!(error.problem.kind(), ErrorKind::Validation);
    assert!(error.to_string().starts_with(&format!("image {uri} ")), "{error}");
    // Not by looking at all files: a layer may still be unpacked, and thrown away.
    assert_eq!(fs::read_dir(store.dir.path().join("artifacts/images")).unwrap().count(), 0);
    chain(&error.problem)
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {}", chain(cause)))
}

/// An image of two layers, the second of them large; its blobs, the manifest last.
fn image() -> Vec<Vec<u8>> {
    let small = Layer::new().file("a", "1").tar();
    let large = Layer::new().file("b", &"0123456789abcdef".repeat(20_000)).tar();
    let config = config(&json!({"Cmd": ["/x"]}), &[small.clone(), large.clone()]);
    blobs(config, &[("+gzip", gzip(&small)), ("", large)])
}

fn digest_line(blob: &[u8]) -> String {
    format!("blobs/sha256:{}", sha256(blob))
}

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

/// Returns a registry that wants a token of `realm` for everything, and gives it to those who show `credentials`.
fn with_tokens(contents: Contents, credentials: &'static str) -> Registry {
    Registry::start(move |asked| {
        let host = asked.header("host").to_owned();
        if let Some(query) = asked.line.strip_prefix("GET /token?") {
            assert_eq!(query, "service=r.example&scope=repository%3Ateam%2Fx%3Apull");
            return match asked.header("authorization") == credentials {
                true => respond("200 OK", &[], br#"{"token":"t0ken"}"#),
                false => respond("401 Unauthorized", &[], b""),
            };
        }
        if asked.line == "POST /token" {
            let expect = "grant_type=refresh_token&client_id=innkeep&service=r.example&scope=repository%3Ateam%2Fx%3Apull&refresh_token=re%2Bfresh";
            let status = if asked.body == expect { "200 OK" } else { "400 Bad Request" };
            return respond(status, &[], br#"{"access_token":"t0ken"}"#);
        }
        match asked.header("authorization") {
            "Bearer t0ken" => contents.answer(asked),
            _ => {
                let challenge = format!(r#"Bearer realm="http://{host}/token",service="r.example""#);
                respond("401 Unauthorized", &[("WWW-Authenticate", &challenge)], b"")
            }
        }
    })
}

fn basic(pair: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(pair))
}

#[tokio::test]
async fn tokens_are_had_for_credentials_or_for_nothing() {
    let contents = Contents::of(&image());
    let registry = with_tokens(contents.clone(), "");
    prepare(&Store::new(), &registry.reference("team/x:1")).await.unwrap();
    assert_eq!(registry.count("/token"), 1, "one token serves all requests");

    let registry = with_tokens(contents, Box::leak(basic("me:secret").into_boxed_str()));
    let uri = registry.reference("team/x:1");
    let text = refused(&Store::new(), &uri).await;
    let host = registry.address.to_string();
    assert!(text.contains("to the anonymous") && text.contains(&format!("docker login {host}")), "{text}");
    let options = |password: &str| {
        let credentials = Some(("me".to_owned(), Secret(password.to_owned())));
        let registry = RegistryOptions { credentials, allow_plain_http: false };
        Options { registries: [(host.clone(), registry)].into(), ..Options::default() }
    };
    let text = refused(&Store::with(options("wrong")), &uri).await;
    assert!(text.contains("refuses it to the credentials from [registries]") && !text.contains("wrong"), "{text}");
    prepare(&Store::with(options("secret")), &uri).await.unwrap();
}

#[tokio::test]
async fn credentials_come_from_the_docker_configuration() {
    let contents = Contents::of(&image());
    let of_tokens = with_tokens(contents.clone(), "none");
    let of_passwords = Registry::start(move |asked| match asked.header("authorization") == basic("me:se:cret") {
        true => contents.answer(asked),
        false => respond("401 Unauthorized", &[("WWW-Authenticate", "Basic realm=\"x\"")], b""),
    });
    let dir = tempfile::tempdir().unwrap();
    let docker_config = dir.path().join("config.json");
    let store = || Store::with(Options { docker_config: Some(docker_config.clone()), ..Options::default() });
    let uri = of_passwords.reference("team/x:1");
    assert!(refused(&store(), &uri).await.contains("to the anonymous"), "a file that is not there says nothing");

    let auth = BASE64_STANDARD.encode("me:se:cret");
    let config = json!({"auths": {
        format!("https://{}/v2/", of_passwords.address): {"auth": auth},
        of_tokens.address.to_string(): {"auth": auth, "identitytoken": "re+fresh"},
    }});
    fs::write(&docker_config, config.to_string()).unwrap();
    prepare(&store(), &uri).await.unwrap();
    prepare(&store(), &of_tokens.reference("team/x:1")).await.unwrap();
    assert_eq!(of_tokens.count("POST /token"), 1);

    fs::write(&docker_config, "{\"auths\": {\"x\": \"secret\"").unwrap();
    let text = refused(&store(), &uri).await;
    assert!(text.contains("config.json: it is no Docker configuration") && !text.contains("secret"), "{text}");
    fs::write(&docker_config, r#"{"credsStore": "innkeep-no-such-helper"}"#).unwrap();
    assert!(refused(&store(), &uri).await.contains("docker-credential-innkeep-no-such-helper could not be run"));
    fs::write(&docker_config, r#"{"credsStore": "../../bin/sh"}"#).unwrap();
    assert!(refused(&store(), &uri).await.contains("is no name of a credential helper"));
}

#[tokio::test]
async fn layers_may_be_elsewhere_and_credentials_stay() {
    let image = image();
    let contents = Contents::of(&image);
    let elsewhere = contents.clone();
    let storage = Registry::start(move |asked| {
        assert_eq!(asked.header("authorization"), "");
        elsewhere.answer(asked)
    });
    let (to, large) = (storage.address, digest_line(&image[2]));
    let registry = Registry::start(move |asked| {
        if asked.header("authorization") != basic("me:secret") {
            return respond("401 Unauthorized", &[("WWW-Authenticate", "Basic")], b"");
        }
        if asked.line.contains(&large) {
            let digest = large.rsplit('/').next().unwrap();
            return respond("307 Temporary Redirect", &[("Location", &format!("http://{to}/bucket/{digest}"))], b"");
        }
        contents.answer(asked)
    });
    let credentials = Some(("me".to_owned(), Secret("secret".to_owned())));
    let options = RegistryOptions { credentials, allow_plain_http: false };
    let registries = [(registry.address.to_string(), options)].into();
    prepare(&Store::with(Options { registries, ..Options::default() }), &registry.reference("x:1")).await.unwrap();
    assert_eq!(storage.asked().len(), 1);

    for (location, says) in [
        ("http://storage.example/x?signature=secret", "on to storage.example, which is not TLS"),
        ("ftp://storage.example/x", "on to storage.example, which is not TLS"),
        ("/again", "which sends it on again and again"),
        ("relative", "which is not TLS"),
    ] {
        let registry = Registry::start(move |_| respond("302 Found", &[("Location", location)], b""));
        let text = refused(&Store::new(), &registry.reference("x:1")).await;
        assert!(text.contains(says) && !text.contains("signature"), "{location}: {text}");
    }
}

#[tokio::test]
async fn plain_http_beyond_loopback_is_asked_for_by_name() {
    let contents = Contents::of(&image());
    let registry = Registry::start(move |asked| contents.answer(asked));
    // Loopback by an old spelling, which nobody takes for it before the name is looked up.
    let host = format!("0x7f000001:{}", registry.address.port());
    let uri = format!("{host}/x:1");
    let text = refused(&Store::new(), &uri).await;
    assert!(text.contains(&format!("{host} speaks http without TLS")), "{text}");
    let allowed = RegistryOptions { credentials: None, allow_plain_http: true };
    let options = Options { registries: [(host, allowed)].into(), ..Options::default() };
    prepare(&Store::with(options), &uri).await.unwrap();
}

#[tokio::test]
async fn manifests_that_are_no_image_are_refused() {
    let image = image();
    let manifest: serde_json::Value = serde_json::from_slice(image.last().unwrap()).unwrap();
    let with = |change: fn(&mut serde_json::Value)| {
        let mut changed = manifest.clone();
        change(&mut changed);
        changed.to_string().into_bytes()
    };
    for (json, says) in [
        (b"{}".to_vec(), "is no image that runs"),
        (b"no JSON".to_vec(), "has a manifest that cannot be read"),
        (br#"{"schemaVersion":1,"fsLayers":[]}"#.to_vec(), "is in the old format"),
        (with(|m| m["manifests"] = json!([])), "is no image that runs"),
        (with(|m| m["config"]["mediaType"] = json!("application/vnd.wasm.config.v1+json")), "is no image that runs"),
        (with(|m| m["config"]["digest"] = json!("md5:1")), "a digest is not sha256"),
        (
            with(|m| m["layers"][0]["mediaType"] = json!("application/x-thing")),
            "has a layer of the type \"application/x-thing\"",
        ),
        (with(|m| m["layers"][0]["urls"] = json!(["https://x"])), "has a layer that the registry does not hold"),
        (
            with(|m| m["layers"][0]["mediaType"] = json!("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")),
            "has a layer that the registry does not hold",
        ),
        (with(|m| m["layers"][0]["size"] = json!(MAX_IMAGE_BYTES + 1)), "at most 2000000000 are taken"),
        (with(|m| m["layers"] = json!(vec![m["layers"][0].clone(); 128])), "has 128 layers"),
        (with(|m| m["layers"] = json!([])), "has 0 layers, but its configuration lists 2"),
        (vec![b' '; (4 << 20) + 1], "sent more than 4194304 bytes"),
    ] {
        let contents = Contents::of(&image).tag("1", &json);
        let registry = Registry::start(move |asked| contents.answer(asked));
        let text = refused(&Store::new(), &registry.reference("x:1")).await;
        assert!(text.contains(says), "{says}: {text}");
    }
    let error = prepare(&Store::new(), "No Image").await.unwrap_err().to_string();
    assert!(error.starts_with("image No Image has a repository name that is none"), "{error}");
}
