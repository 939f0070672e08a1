//! The canonical request: the form in which both sides write a request down before they sign it.

use std::borrow::Cow;
use std::ops::Range;

use http::{HeaderMap, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode, percent_encode_byte};

use super::Error;

/// What is escaped in a path: all but the unreserved characters of RFC 3986 and `/`. `%` too: a path is encoded once more than it
/// was sent (every service but S3), so an ARN in it shows `%253A`.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// Returns the canonical request up to its last line, the body's digest: it ends with the newline before it. `path` and `query`
/// are as received. `signed_headers` are lower-case and ascending; each must be there.
pub(super) fn canonical(
    method: &Method,
    path: &str,
    query: &str,
    signed_headers: &str,
    headers: &HeaderMap,
) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b'\n');
    percent_encode(path.as_bytes(), PATH).for_each(|piece| out.extend_from_slice(piece.as_bytes()));
    out.push(b'\n');
    push_query(&mut out, query);
    out.push(b'\n');
    for name in signed_headers.split(';') {
        push_header(&mut out, name, headers)?;
    }
    out.push(b'\n');
    out.extend_from_slice(signed_headers.as_bytes());
    out.push(b'\n');
    Ok(out)
}

/// Splits a request target into path and query.
pub(super) fn split_target(target: &str) -> (&str, &str) {
    target.split_once('?').unwrap_or((target, ""))
}

/// Returns `path` without empty and dot segments (RFC 3986, 5.2.4, and more: AWS also merges slashes).
pub(super) fn normalize(path: &str) -> Cow<'_, str> {
    if path.is_empty() {
        return Cow::Borrowed("/");
    }
    if !path.contains("//") && !path.contains("/.") {
        return Cow::Borrowed(path);
    }
    let mut kept = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    let mut normal = String::with_capacity(path.len());
    for segment in &kept {
        normal.push('/');
        normal.push_str(segment);
    }
    if kept.is_empty() || ["/", "/.", "/.."].iter().any(|end| path.ends_with(end)) {
        normal.push('/');
    }
    Cow::Owned(normal)
}

/// Parameters in order of name, then value, both decoded and encoded again. `+` is a blank, as browsers and SDKs mean it.
fn push_query(out: &mut Vec<u8>, query: &str) {
    let mut text = String::with_capacity(query.len());
    let mut parameters: Vec<(Range<usize>, Range<usize>)> = Vec::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let start = text.len();
        push_component(&mut text, name);
        let middle = text.len();
        push_component(&mut text, value);
        parameters.push((start..middle, middle..text.len()));
    }
    parameters.sort_unstable_by_key(|(name, value)| (&text[name.clone()], &text[value.clone()]));
    for (at, (name, value)) in parameters.into_iter().enumerate() {
        if at > 0 {
            out.push(b'&');
        }
        out.extend_from_slice(text[name].as_bytes());
        out.push(b'=');
        out.extend_from_slice(text[value].as_bytes());
    }
}

fn push_component(text: &mut String, raw: &str) {
    for (at, piece) in raw.split('+').enumerate() {
        if at > 0 {
            text.push_str("%20");
        }
        for byte in percent_decode_str(piece) {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
                _ => text.push_str(percent_encode_byte(byte)),
            }
        }
    }
}

/// `name:value,value`: all the headers of that name as received, trimmed, runs of blanks made one. A folded header has been
/// unfolded by the HTTP layer, which puts blanks in place of the line break.
fn push_header(out: &mut Vec<u8>, name: &str, headers: &HeaderMap) -> Result<(), Error> {
    let start = out.len();
    out.extend_from_slice(name.as_bytes());
    let mut separator = b':';
    for value in headers.get_all(name) {
        out.push(separator);
        separator = b',';
        let words = value.as_bytes().split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty());
        for (at, word) in words.enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(word);
        }
    }
    if out.len() == start + name.len() {
        return Err(Error::Absent { header: name.to_owned() });
    }
    out.push(b'\n');
    Ok(())
}
