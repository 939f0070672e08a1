//! Images from registries: with which credentials they are asked, where they send us, and what is no image.

use std::fs;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use innkeep_artifacts::{Bundle, Error, Options, RegistryOptions, Secret};
use innkeep_types::limits::MAX_IMAGE_BYTES;
use innkeep_types::{Artifact, ErrorKind};
use serde_json::json;

use crate::fixture::Store;
use crate::registry::{Contents, Registry, respond};
use crate::tars::{Layer, blobs, config, gzip, sha256};

pub(crate) fn container(uri: &str) -> Artifact {
    Artifact::Container { uri: uri.to_owned() }
}

pub(crate) async fn prepare(store: &Store, uri: &str) -> Result<Bundle, Error> {
    store.artifacts.prepare(&container(uri)).await
}

/// The words with which a pull is refused; of the image nothing stays but layers.
pub(crate) async fn refused(store: &Store, uri: &str) -> String {
    let error = prepare(store, uri).await.unwrap_err();
    let Error::Image(error) = error else { panic!("{error}") };
    assert_eq!(error.problem.kind(), ErrorKind::Validation);
    assert!(error.to_string().starts_with(&format!("image {uri} ")), "{error}");
    // Not by looking at all files: a layer may still be unpacked, and thrown away.
    assert_eq!(fs::read_dir(store.dir.path().join("artifacts/images")).unwrap().count(), 0);
    chain(&error.problem)
}

pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {}", chain(cause)))
}

/// An image of two layers, the second of them large; its blobs, the manifest last.
pub(crate) fn image() -> Vec<Vec<u8>> {
    let small = Layer::new().file("a", "1").tar();
    let large = Layer::new().file("b", &"0123456789abcdef".repeat(20_000)).tar();
    let config = config(&json!({"Cmd": ["/x"]}), &[small.clone(), large.clone()]);
    blobs(config, &[("+gzip", gzip(&small)), ("", large)])
}

pub(crate) fn digest_line(blob: &[u8]) -> String {
    format!("blobs/sha256:{}", sha256(blob))
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

/// Returns a store that knows a login to `registry`.
fn with_login(registry: &Registry) -> Store {
    let credentials = Some(("me".to_owned(), Secret("secret".to_owned())));
    let options = RegistryOptions { credentials, allow_plain_http: false };
    let registries = [(registry.address.to_string(), options)].into();
    Store::with(Options { registries, ..Options::default() })
}

/// Returns a registry that sends everything on to `to`.
fn sends_on(to: String) -> Registry {
    Registry::start(move |_| respond("307 Temporary Redirect", &[("Location", &to)], b""))
}

#[tokio::test]
async fn whom_a_registry_sends_us_to_gets_no_password_by_asking_for_one() {
    let thief = Registry::start(|_| respond("200 OK", &[], br#"{"token":"t"}"#));
    let realm = format!(r#"Bearer realm="http://{}/token",service="x""#, thief.address);
    for challenge in [realm, "Basic".to_owned()] {
        let storage = Registry::start(move |_| respond("401 Unauthorized", &[("WWW-Authenticate", &challenge)], b""));
        let registry = sends_on(format!("http://{}/x", storage.address));
        let text = refused(&with_login(&registry), &registry.reference("x:1")).await;
        assert!(text.ends_with(&format!("on to {}, which refuses it", storage.address)), "{text}");
        assert_eq!(storage.asked().iter().map(|asked| asked.header("authorization")).collect::<String>(), "");
    }
    assert_eq!(thief.asked().len(), 0);
}

#[tokio::test]
async fn what_other_hosts_say_is_not_shown() {
    let inner = || Registry::start(|_| respond("418 I'm a teapot", &[], br#"{"errors":[{"message":"inner"}]}"#));
    let storage = inner();
    let registry = sends_on(format!("http://{}/x", storage.address));
    let text = refused(&Store::new(), &registry.reference("x:1")).await;
    assert!(text.ends_with("answered 418"), "{text}");

    let service = inner();
    let realm = format!(r#"Bearer realm="http://{}/token""#, service.address);
    let registry = Registry::start(move |_| respond("401 Unauthorized", &[("WWW-Authenticate", &realm)], b""));
    let text = refused(&Store::new(), &registry.reference("x:1")).await;
    assert!(text.ends_with("answered 418"), "{text}");
}

#[tokio::test]
async fn a_registry_without_tls_lets_nobody_else_be_without() {
    let inner = Registry::start(|_| respond("200 OK", &[], br#"{"token":"t"}"#));
    let challenge = format!(r#"Bearer realm="http://{}/token""#, inner.address);
    let asks = Registry::start(move |_| respond("401 Unauthorized", &[("WWW-Authenticate", &challenge)], b""));
    for registry in [sends_on(format!("http://{}/x", inner.address)), asks] {
        // Not loopback by its spelling.
        let host = format!("0x7f000001:{}", registry.address.port());
        let allowed = RegistryOptions { credentials: None, allow_plain_http: true };
        let options = Options { registries: [(host.clone(), allowed)].into(), ..Options::default() };
        let text = refused(&Store::with(options), &format!("{host}/x:1")).await;
        assert!(text.ends_with(&format!("on to {}, which is not TLS", inner.address)), "{text}");
    }
    assert_eq!(inner.asked().len(), 0);
}

#[tokio::test]
async fn link_local_addresses_are_not_asked() {
    for host in ["169.254.169.254", "[::ffff:169.254.169.254]", "[fe80::1]"] {
        let registry = sends_on(format!("https://{host}/latest"));
        let challenge = format!(r#"Bearer realm="https://{host}/token""#);
        let asks = Registry::start(move |_| respond("401 Unauthorized", &[("WWW-Authenticate", &challenge)], b""));
        for uri in [registry.reference("x:1"), asks.reference("x:1")] {
            let text = refused(&Store::new(), &uri).await;
            assert!(text.contains("is a link-local address"), "{text}");
        }
    }
    assert!(refused(&Store::new(), "169.254.169.254/x:1").await.contains("is a link-local address"));
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
