//! The `Authorization` header:
//! `AWS4-HMAC-SHA256 Credential=AKID/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=5da7…`.

use super::{ALGORITHM, Error, TERMINATOR};
use crate::sha256::from_hex;

/// The longest header that is looked at, bytes. Source: our choice; boto3 writes some 300.
const MAX_BYTES: usize = 4096;

/// The longest access key id, bytes. Source: IAM API reference, `AccessKeyId` 16..128.
const MAX_KEY_ID_BYTES: usize = 128;

/// A well-formed header; whether it tells the truth is another matter.
#[derive(Debug)]
pub(super) struct Authorization<'a> {
    pub(super) access_key_id: &'a str,
    /// `20150830/us-east-1/service/aws4_request`.
    pub(super) scope: &'a str,
    /// The scope's day, `20150830`.
    pub(super) day: &'a str,
    /// Lower-case, ascending, separated by `;`, `host` among them.
    pub(super) signed_headers: &'a str,
    pub(super) signature: [u8; 32],
}

impl<'a> Authorization<'a> {
    /// Reads a header that has to be for `service`.
    pub(super) fn parse(value: &'a str, service: &'static str) -> Result<Self, Error> {
        if value.len() > MAX_BYTES {
            return Err(Error::TooLong { part: "Authorization header", limit: MAX_BYTES });
        }
        let (algorithm, parameters) = value.trim_ascii().split_once([' ', '\t']).unwrap_or((value, ""));
        if algorithm != ALGORITHM {
            return Err(Error::Algorithm);
        }
        let [credential, signed_headers, signature] = split_parameters(parameters)?;
        let (access_key_id, scope, day) = split_credential(credential, service)?;
        check_signed_headers(signed_headers)?;
        let signature = from_hex(signature.as_bytes()).ok_or(Error::Signature)?;
        Ok(Self { access_key_id, scope, day, signed_headers, signature })
    }

    /// Tells whether the signature covers the header `name`, which is in lower case.
    pub(super) fn covers(&self, name: &str) -> bool {
        self.signed_headers.split(';').any(|signed| signed == name)
    }
}

/// Returns the access key id, the scope, and the scope's day of `AKID/20150830/us-east-1/service/aws4_request`.
pub(super) fn split_credential<'a>(
    credential: &'a str,
    service: &'static str,
) -> Result<(&'a str, &'a str, &'a str), Error> {
    let (access_key_id, scope) = credential.split_once('/').ok_or(Error::Credential)?;
    let day = check_scope(scope, service)?;
    if !is_word(access_key_id) || access_key_id.len() > MAX_KEY_ID_BYTES {
        return Err(Error::Credential);
    }
    Ok((access_key_id, scope, day))
}

/// Returns the three parameters, which may come in any order, with or without blanks.
fn split_parameters(parameters: &str) -> Result<[&str; 3], Error> {
    const NAMES: [&str; 3] = ["Credential", "SignedHeaders", "Signature"];
    let mut found = [None; 3];
    for parameter in parameters.split(',') {
        let (name, value) = parameter.trim_ascii().split_once('=').ok_or(Error::Pair)?;
        let at = NAMES.iter().position(|known| *known == name).ok_or(Error::Pair)?;
        if found[at].replace(value).is_some() {
            return Err(Error::Pair);
        }
    }
    match found {
        [Some(credential), Some(signed_headers), Some(signature)] => Ok([credential, signed_headers, signature]),
        [None, ..] => Err(Error::Parameter(NAMES[0])),
        [_, None, _] => Err(Error::Parameter(NAMES[1])),
        [.., None] => Err(Error::Parameter(NAMES[2])),
    }
}

/// Returns the day of a scope of any region.
fn check_scope<'a>(scope: &'a str, service: &'static str) -> Result<&'a str, Error> {
    let mut parts = scope.split('/');
    let [Some(day), Some(region), Some(scope_service), Some(terminator), None] = std::array::from_fn(|_| parts.next())
    else {
        return Err(Error::Credential);
    };
    if !is_word(region) {
        return Err(Error::Credential);
    }
    if scope_service != service {
        return Err(Error::Service { expected: service });
    }
    if terminator != TERMINATOR {
        return Err(Error::Terminator);
    }
    Ok(day)
}

/// Strictly ascending, so no name comes twice and the canonical request has one form.
pub(super) fn check_signed_headers(names: &str) -> Result<(), Error> {
    let is_ascending = names.split(';').is_sorted_by(|a, b| a < b);
    let is_name =
        |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && !b.is_ascii_uppercase());
    if !is_ascending || !names.split(';').all(is_name) {
        return Err(Error::SignedHeaders);
    }
    if !names.split(';').any(|name| name == "host") {
        return Err(Error::NotSigned { header: "Host" });
    }
    Ok(())
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}
