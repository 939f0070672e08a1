//! An issuer of tokens on loopback, which behaves or does not: discovery document, key set, tokens. Signs with ES256.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

/// How an issuer answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should; its keys live for so many seconds, if it says.
    Answers {
        /// `max-age` of its key set.
        max_age: Option<u32>,
    },
    /// With this status.
    Fails(StatusCode),
    /// Never.
    Silent,
    /// Whatever it is asked for, it sends on to this URL.
    SendsOn(String),
    /// Its key set lies there.
    KeysAt(String),
    /// With this in place of its discovery document.
    Discovery(String),
    /// With this in place of its key set.
    Keys(String),
    /// With a key set of a mebibyte.
    LargeKeys,
}

/// An issuer; it is gone when this is dropped.
#[derive(Debug)]
pub struct TestIssuer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    _listening: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct State {
    keys: Vec<Key>,
    n_made: u32,
    behaviour: Behaviour,
    asked: Vec<String>,
}

#[derive(Debug)]
struct Key {
    id: String,
    pair: EcdsaKeyPair,
}

impl Key {
    fn new(id: String) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("random numbers");
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
        Self { id, pair: pair.expect("it was just made") }
    }

    /// Returns the public half.
    fn jwk(&self) -> Value {
        let (x, y) = self.pair.public_key().as_ref().split_at(33);
        let x = x.get(1..).expect("a point begins with its form");
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": self.id, "x": encode(x), "y": encode(y)})
    }
}

impl TestIssuer {
    /// Returns an issuer with one key. Called within a tokio runtime.
    ///
    /// # Panics
    /// When loopback cannot be listened on.
    pub async fn start() -> Self {
        Self::start_at("127.0.0.1").await
    }

    /// The same on another address of loopback.
    ///
    /// # Panics
    /// When it cannot be listened on.
    pub async fn start_at(ip: &str) -> Self {
        let listener = TcpListener::bind((ip, 0)).await.expect("loopback can be listened on");
        let address = listener.local_addr().expect("it is bound");
        let behaviour = Behaviour::Answers { max_age: None };
        let state = State { keys: vec![Key::new("key-0".to_owned())], n_made: 1, behaviour, asked: Vec::new() };
        let state = Arc::new(Mutex::new(state));
        let listening = TaskTracker::new().spawn(listen(listener, address, state.clone()));
        Self { address, state, _listening: AbortOnDropHandle::new(listening) }
    }

    /// Returns its name, which `iss` is.
    pub fn issuer(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the URL of its discovery document.
    pub fn discovery_url(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.issuer())
    }

    /// Changes how it answers from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        self.state.lock().behaviour = behaviour;
    }

    /// Replaces its key by another one.
    pub fn rotate(&self) {
        let mut state = self.state.lock();
        let key = Key::new(format!("key-{}", state.n_made));
        state.n_made += 1;
        state.keys = vec![key];
    }

    /// Returns the paths that were asked for, in their order.
    pub fn asked(&self) -> Vec<String> {
        self.state.lock().asked.clone()
    }

    /// Returns how often its key set was asked for.
    pub fn n_keys_asked(&self) -> usize {
        self.asked().iter().filter(|path| *path == "/keys").count()
    }

    /// Returns a token of it, with these claims over `iss`, `sub`, and an `exp` that is far away. Null takes a claim away.
    ///
    /// # Panics
    /// When `claims` is no object.
    pub fn token(&self, claims: &Value) -> String {
        let state = self.state.lock();
        let key = state.keys.last().expect("there is always one");
        self.sign(key, &key.id, claims)
    }

    /// Returns a token that names a key which is none of its own.
    pub fn foreign_token(&self, kid: &str, claims: &Value) -> String {
        self.sign(&Key::new(kid.to_owned()), kid, claims)
    }

    fn sign(&self, key: &Key, kid: &str, claims: &Value) -> String {
        let mut all = json!({"iss": self.issuer(), "sub": "alice", "exp": 4_102_444_800_u64});
        for (name, value) in claims.as_object().expect("claims are an object") {
            all[name] = value.clone();
        }
        if let Some(all) = all.as_object_mut() {
            all.retain(|_, value| !value.is_null());
        }
        let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid});
        let signed = format!("{}.{}", encode(header.to_string().as_bytes()), encode(all.to_string().as_bytes()));
        let signature = key.pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("random numbers");
        format!("{signed}.{}", encode(signature.as_ref()))
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

async fn listen(listener: TcpListener, address: SocketAddr, state: Arc<Mutex<State>>) {
    let connections = TaskTracker::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, address, state.clone()));
    }
}

async fn serve(stream: TcpStream, address: SocketAddr, state: Arc<Mutex<State>>) {
    let service = service_fn(|request: Request<Incoming>| answer(request, address, state.clone()));
    // Whoever asked may go before he is answered.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    request: Request<Incoming>,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let (behaviour, keys) = {
        let mut state = state.lock();
        state.asked.push(path.clone());
        (state.behaviour.clone(), state.keys.iter().map(Key::jwk).collect::<Vec<_>>())
    };
    let is_keys = path == "/keys";
    let mut keys_at = format!("http://{address}/keys");
    let mut body = None;
    let mut response = Response::new(());
    match behaviour {
        Behaviour::Answers { max_age: Some(secs) } if is_keys => {
            let value = HeaderValue::try_from(format!("max-age={secs}")).expect("visible");
            response.headers_mut().insert(CACHE_CONTROL, value);
        }
        Behaviour::Answers { .. } => {}
        Behaviour::Fails(status) => *response.status_mut() = status,
        Behaviour::Silent => std::future::pending().await,
        Behaviour::SendsOn(url) => {
            *response.status_mut() = StatusCode::FOUND;
            response.headers_mut().insert(LOCATION, HeaderValue::try_from(url).expect("visible"));
        }
        Behaviour::KeysAt(url) => keys_at = url,
        Behaviour::Discovery(text) => body = (!is_keys).then_some(text),
        Behaviour::Keys(text) => body = is_keys.then_some(text),
        Behaviour::LargeKeys => body = is_keys.then(|| " ".repeat(1 << 20)),
    }
    let body = body.unwrap_or_else(|| match is_keys {
        true => json!({"keys": keys}).to_string(),
        false => json!({"issuer": format!("http://{address}"), "jwks_uri": keys_at}).to_string(),
    });
    Ok(response.map(|()| Full::new(Bytes::from(body))))
}
