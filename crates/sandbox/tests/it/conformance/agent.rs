//! Agents written in a few lines of Python.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use innkeep_sandbox::driver::Sandbox;
use serde_json::Value;

use super::world::World;

/// `serve(answer, ping)`: an HTTP server on 0.0.0.0:8080. `ping` is a status, or a function that returns status and body. `path` is
/// that of the last request but pings.
pub(crate) const PING: &str = r"
import http.server, os
def serve(answer, ping=200):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            global path
            status, body = 200, answer
            if self.path == '/ping':
                status, body = ping() if callable(ping) else (ping, '{}')
            else:
                path = self.path
            self.reply(status, body() if callable(body) else body)
        def do_POST(self):
            self.reply(200, run(self.rfile.read(int(self.headers['Content-Length'])).decode()))
        def reply(self, status, body):
            body = body.encode()
            self.send_response(status)
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        def log_message(self, *_): pass
    global server
    server = http.server.HTTPServer(('0.0.0.0', 8080), Handler)
    server.serve_forever()
";

/// Runs what it is sent: an expression, or statements that set `result`. What fails answers with the error's class and number.
const OBEDIENT: &str = r"
import ctypes, errno, json, resource, signal, socket, subprocess, sys, time
def attempt(action, *arguments):
    try:
        return action(*arguments)
    except OSError as error:
        return errno.errorcode[error.errno]
def run(source):
    try:
        try:
            value = eval(compile(source, 'sent', 'eval'), globals())
        except SyntaxError:
            exec(compile(source, 'sent', 'exec'), globals())
            value = result
    except OSError as error:
        value = errno.errorcode.get(error.errno, repr(error))
    return json.dumps(value)
serve(lambda: 'x')
";

/// Starts an agent that does what [`run`] tells it.
pub(crate) async fn obedient(world: &World) -> Arc<dyn Sandbox> {
    world.launch_ready(world.spec(&obedient_script())).await
}

pub(crate) fn obedient_script() -> String {
    [PING, OBEDIENT].concat()
}

/// Has an obedient agent run a piece of Python, and returns what it comes to.
pub(crate) async fn run(sandbox: &Arc<dyn Sandbox>, python: &str) -> Value {
    let request = http::Request::post("/").body(Full::from(python.to_owned())).unwrap();
    serde_json::from_str(&ask(sandbox, None, request).await).unwrap()
}

/// As [`run`], of something that comes to a list of words.
pub(crate) async fn run_words(sandbox: &Arc<dyn Sandbox>, python: &str) -> Vec<String> {
    serde_json::from_value(run(sandbox, python).await).unwrap()
}

/// Asks the agent over a fresh connection and returns the body.
pub(crate) async fn get(sandbox: &Arc<dyn Sandbox>, path: &str) -> String {
    get_from(sandbox, None, path).await
}

/// As [`get`], from another of the agent's ports.
pub(crate) async fn get_from(sandbox: &Arc<dyn Sandbox>, port: Option<u16>, path: &str) -> String {
    ask(sandbox, port, http::Request::get(path).body(Full::default()).unwrap()).await
}

async fn ask(sandbox: &Arc<dyn Sandbox>, port: Option<u16>, mut request: http::Request<Full<Bytes>>) -> String {
    let stream = sandbox.dial(port).await.unwrap();
    let (mut requests, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
    request.headers_mut().insert("host", http::HeaderValue::from_static("localhost"));
    let exchange = async move {
        let answer = requests.send_request(request).await.expect("an answer");
        answer.into_body().collect().await.unwrap().to_bytes()
    };
    let (body, _) = tokio::join!(exchange, connection);
    String::from_utf8(body.to_vec()).unwrap()
}
