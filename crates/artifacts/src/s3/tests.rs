//! Against a server that says what the test tells it, byte by byte; a real store is in `e2e/`.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::Secret;

/// Answers one request per connection, with these in turn, then none; notes the heads of the requests.
async fn serve(listener: TcpListener, answers: Vec<Vec<u8>>, asked: &mut Vec<String>) {
    for answer in answers {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        asked.push(String::from_utf8(head).unwrap());
        // The client may have seen enough.
        let _ = stream.write_all(&answer).await;
    }
    std::future::pending().await
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len())
}

fn refusal(status: &str, code: &str) -> String {
    answer(status, "", &format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>"))
}

fn options(endpoint: &str) -> S3Options {
    S3Options {
        endpoint: endpoint.to_owned(),
        region: "us-east-1".to_owned(),
        access_key_id: "AKIAEXAMPLE".to_owned(),
        secret_access_key: Secret("hunter2".to_owned()),
        path_style: true,
    }
}

fn object(version: Option<&str>) -> Object {
    Object { bucket: "code".to_owned(), key: "my agent/v1.zip".to_owned(), version: version.map(str::to_owned) }
}

/// Fetches from a server that gives these answers; returns what came of it, what the file holds, and the requests.
async fn fetch(
    answers: Vec<String>,
    version: Option<&str>,
    known: Option<&str>,
) -> (Result<Fetched, Error>, String, Vec<String>) {
    let file = tempfile::NamedTempFile::new().unwrap();
    let answers = answers.into_iter().map(String::into_bytes).collect();
    let (fetched, asked) = fetch_into(file.path(), answers, version, known).await;
    (fetched, std::fs::read_to_string(file.path()).unwrap(), asked)
}

async fn fetch_into(
    file: &Path,
    answers: Vec<Vec<u8>>,
    version: Option<&str>,
    known: Option<&str>,
) -> (Result<Fetched, Error>, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let s3 = S3 { first_pause: Duration::from_millis(1), ..S3::new(options(&endpoint)).unwrap() };
    let mut asked = Vec::new();
    let object = object(version);
    let fetched = tokio::select! {
        fetched = s3.fetch(&object, known, file) => fetched,
        () = serve(listener, answers, &mut asked) => unreachable!(),
    };
    (fetched, asked)
}

#[tokio::test]
async fn an_object_is_asked_for_signed_and_written_down() {
    let headers = "etag: \"abc\"\r\nx-amz-version-id: v7\r\n";
    let (fetched, content, asked) = fetch(vec![answer("200 OK", headers, "zip")], Some("v 7"), None).await;
    let (etag, version) = (Some("\"abc\"".to_owned()), Some("v7".to_owned()));
    assert_eq!((fetched.unwrap(), content.as_str()), (Fetched::New { etag, version }, "zip"));
    let line = asked[0].lines().next().unwrap();
    assert!(line.starts_with("GET /code/my%20agent/v1.zip?"), "{line}");
    for part in ["versionId=v%207", "X-Amz-Credential=AKIAEXAMPLE%2F", "%2Fus-east-1%2Fs3%2F", "X-Amz-Signature="] {
        assert!(line.contains(part), "{line}");
    }
    assert!(!asked[0].contains("hunter2") && !asked[0].contains("if-none-match"));
}

#[tokio::test]
async fn what_is_here_already_is_not_fetched_again() {
    let (fetched, _, asked) = fetch(vec!["HTTP/1.1 304 Not Modified\r\n\r\n".to_owned()], None, Some("\"abc\"")).await;
    assert_eq!(fetched.unwrap(), Fetched::Unchanged);
    assert!(asked[0].contains("if-none-match: \"abc\"\r\n"), "{}", asked[0]);
}

#[tokio::test]
async fn what_may_pass_is_asked_for_again_and_not_for_ever() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nzi".to_owned();
    let passing = vec![refusal("503 Slow Down", "SlowDown"), String::new(), cut, answer("200 OK", "", "zip")];
    let (fetched, content, asked) = fetch(passing, None, None).await;
    assert!(matches!(fetched, Ok(Fetched::New { .. })), "{fetched:?}");
    assert_eq!((content.as_str(), asked.len()), ("zip", 4));

    let lasting = vec![refusal("500 Internal", "InternalError"); 9];
    let (fetched, _, asked) = fetch(lasting, None, None).await;
    let said = fetched.unwrap_err().to_string();
    assert!(said.contains("status 500 InternalError: the store is not able to answer now"), "{said}");
    assert_eq!(asked.len(), 4);
}

#[tokio::test]
async fn a_refusal_names_the_object_the_place_and_what_to_do() {
    let moved = |region: &str| format!("<Error><Code>PermanentRedirect</Code><Region>{region}</Region></Error>");
    for (version, answer, words) in [
        (None, refusal("404 Not Found", "NoSuchKey"), "status 404 NoSuchKey: there is no such object; upload it"),
        (None, refusal("404 Not Found", "NoSuchBucket"), "status 404 NoSuchBucket: there is no such bucket"),
        (None, answer("404 Not Found", "", "not xml"), "status 404: there is no such object"),
        (Some("v9"), refusal("404 Not Found", "NoSuchVersion"), "there is no such version of it"),
        (Some("v9"), refusal("400 Bad Request", "InvalidArgument"), "correct code.s3.versionId"),
        (Some("v9"), refusal("405 Not Allowed", "MethodNotAllowed"), "that version marks a deletion"),
        (None, refusal("403 Forbidden", "AccessDenied"), "allow it s3:GetObject, and s3:ListBucket"),
        (Some("v9"), refusal("403 Forbidden", "AccessDenied"), "allow it s3:GetObjectVersion"),
        (
            None,
            refusal("403 Forbidden", "SignatureDoesNotMatch"),
            "correct access_key_id and secret_access_key in [s3]",
        ),
        (None, refusal("403 Forbidden", "InvalidAccessKeyId"), "the store does not know these credentials"),
        (None, refusal("403 Forbidden", "RequestTimeTooSkewed"), "the clocks of the store and of this host differ"),
        (None, answer("301 Moved", "", &moved("eu-west-1")), "region eu-west-1, and [s3] says us-east-1"),
        (
            None,
            answer("400 Bad", "x-amz-bucket-region: eu-west-1\r\n", "<Code>AuthorizationHeaderMalformed</Code>"),
            "region eu-west-1",
        ),
        (None, answer("307 Moved", "location: http://there/\r\n", ""), "the store sends elsewhere, to http://there/"),
        (None, refusal("418 Teapot", "Odd\u{7}"), "status 418 Odd: no"),
    ] {
        let (fetched, _, asked) = fetch(vec![answer.clone()], version, None).await;
        let error = fetched.unwrap_err();
        let said = error.to_string();
        assert!(said.contains(words), "{answer}: {said}");
        assert!(said.starts_with("s3://code/my agent/v1.zip ") && said.contains(" at http://127.0.0.1:"), "{said}");
        assert_eq!((error.kind(), asked.len()), (innkeep_types::ErrorKind::Validation, 1));
    }
}

#[tokio::test]
async fn too_large_is_refused_before_it_is_read() {
    let told = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", MAX_ZIP_BYTES + 1);
    let (fetched, content, _) = fetch(vec![told], None, None).await;
    assert!(matches!(fetched, Err(Error::TooLarge { .. })) && content.is_empty(), "{fetched:?}");
}

#[tokio::test]
async fn too_large_is_given_up_where_the_length_is_not_told() {
    let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    answer.resize(answer.len() + usize::try_from(MAX_ZIP_BYTES).unwrap() + 1, b'z');
    let (fetched, _) = fetch_into(Path::new("/dev/null"), vec![answer], None, None).await;
    assert!(matches!(fetched, Err(Error::TooLarge { .. })), "{fetched:?}");
}

#[tokio::test]
async fn a_store_that_is_not_there_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let s3 = S3 { first_pause: Duration::from_millis(1), ..S3::new(options(&endpoint)).unwrap() };
    let error = s3.fetch(&object(None), None, Path::new("/dev/null")).await.unwrap_err();
    assert!(error.to_string().ends_with("see that the store runs, and that endpoint in [s3] is its URL"), "{error}");
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn what_makes_no_url_is_refused() {
    for endpoint in ["", "s3.example.com", "ftp://s3.example.com", "https://", "https://u:hunter2@s3.example.com"] {
        let refused = S3::new(options(endpoint)).unwrap_err();
        assert!(matches!(refused, Error::Endpoint { .. }) && !format!("{refused:?}").contains("hunter2"), "{refused}");
    }
    let s3 = S3::new(options("https://s3.example.com")).unwrap();
    for key in ["../other/v1.zip", "a/../../other/v1.zip", "a/.", ".."] {
        let object = Object { key: key.to_owned(), ..object(None) };
        assert!(matches!(s3.signed(&object, None), Err(Error::Key { .. })), "{key}");
    }
    for (key, path) in
        [("/v1.zip", "/code//v1.zip"), ("a//b", "/code/a//b"), ("a\\..\\b?c#d", "/code/a%5C..%5Cb%3Fc%23d")]
    {
        let object = Object { key: key.to_owned(), ..object(None) };
        assert_eq!(s3.signed(&object, None).unwrap().path(), path);
    }
    let hosted = S3Options { path_style: false, ..options("https://s3.example.com:9000/base") };
    let uri = S3::new(hosted).unwrap().signed(&object(None), None).unwrap();
    assert_eq!(uri.authority().unwrap(), "code.s3.example.com:9000");
}
