//! An agent on axum: answers with what was asked so far, at once or word by word, and deploys as one executable.
//!
//! Each session is a process of its own, so its memory is simply a vector.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream;
use serde::Deserialize;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

type Conversation = Arc<Mutex<Vec<String>>>;

#[derive(Deserialize)]
struct Asked {
    prompt: String,
    #[serde(default)]
    stream: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let ping = Json(json!({"status": "Healthy", "time_of_last_update": started}));
    let app = Router::new()
        .route("/ping", get(async move || ping))
        .route("/invocations", post(invoke))
        .with_state(Conversation::default());
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8080)).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    axum::serve(listener, app).with_graceful_shutdown(async move { _ = terminate.recv().await }).await
}

async fn invoke(State(conversation): State<Conversation>, Json(asked): Json<Asked>) -> Response {
    let (result, turn) = {
        let mut conversation = conversation.lock().unwrap_or_else(PoisonError::into_inner);
        let result = answer(&asked.prompt, &conversation);
        conversation.push(asked.prompt);
        (result, conversation.len())
    };
    if asked.stream { words(result) } else { Json(json!({"result": result, "turn": turn})).into_response() }
}

fn answer(prompt: &str, before: &[String]) -> String {
    if before.is_empty() {
        return format!("You said {prompt:?}.");
    }
    let before: Vec<String> = before.iter().map(|prompt| format!("{prompt:?}")).collect();
    format!("You said {prompt:?}; before that, {}.", before.join(", "))
}

/// One server-sent event per word, as a model would send its tokens.
fn words(text: String) -> Response {
    let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
    let events = stream::unfold(words.into_iter(), async |mut words| {
        let event = format!("data: {}\n\n", json!({"word": words.next()?}));
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, Infallible>(Bytes::from(event)), words))
    });
    ([(CONTENT_TYPE, "text/event-stream")], Body::from_stream(events)).into_response()
}
