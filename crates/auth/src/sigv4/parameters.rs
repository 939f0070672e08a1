//! The query parameters that make a signature: `X-Amz-Algorithm=…&X-Amz-Credential=…&…&X-Amz-Signature=5da7…`.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use super::Error;

/// The parameters, in the order of [`Parameters`]' members.
const NAMES: [&str; 7] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-SignedHeaders",
    "X-Amz-Signature",
    "X-Amz-Security-Token",
];

/// Where in [`NAMES`] the signature is: the one parameter that it does not cover.
const SIGNATURE: usize = 5;

/// What the query says of its signature, decoded; nothing is checked but that each is there once.
pub(super) struct Parameters {
    pub(super) algorithm: String,
    pub(super) credential: String,
    pub(super) date: String,
    pub(super) expires: String,
    pub(super) signed_headers: String,
    pub(super) signature: String,
    pub(super) session_token: Option<String>,
    /// The query without the signature, as received: what is signed.
    pub(super) covered: String,
}

impl Parameters {
    /// Tells whether a query claims to be signed: any of the parameters is there that only a signature has.
    pub(super) fn are_in(query: &str) -> bool {
        let is_known = |name: &str| NAMES.iter().any(|known| known.eq_ignore_ascii_case(name));
        pieces(query).any(|piece| is_known(&decode_name(piece)))
    }

    /// Reads a query. Names are compared decoded and in any case: what is signed is the decoded form, and no two readers may
    /// disagree on which of two spellings counts.
    pub(super) fn parse(query: &str) -> Result<Self, Error> {
        let mut found: [Option<String>; NAMES.len()] = [const { None }; NAMES.len()];
        let mut covered = String::with_capacity(query.len());
        for piece in pieces(query) {
            let name = decode_name(piece);
            let at = NAMES.iter().position(|known| known.eq_ignore_ascii_case(&name));
            if at != Some(SIGNATURE) {
                if !covered.is_empty() {
                    covered.push('&');
                }
                covered.push_str(piece);
            }
            let Some(at) = at else { continue };
            let (_, value) = piece.split_once('=').unwrap_or((piece, ""));
            // Blanks stay: in none of these values is one.
            let value = percent_decode_str(value).decode_utf8().map_err(|_| Error::QueryParameter(NAMES[at]))?;
            if name != NAMES[at] || found[at].replace(value.into_owned()).is_some() {
                return Err(Error::RepeatedParameter(NAMES[at]));
            }
        }
        let mut take = |at: usize| found[at].take().filter(|value| !value.is_empty());
        let mut required = |at: usize| take(at).ok_or(Error::QueryParameter(NAMES[at]));
        Ok(Self {
            algorithm: required(0)?,
            credential: required(1)?,
            date: required(2)?,
            expires: required(3)?,
            signed_headers: required(4)?,
            signature: required(SIGNATURE)?,
            session_token: take(6),
            covered,
        })
    }
}

fn pieces(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter(|piece| !piece.is_empty())
}

fn decode_name(piece: &str) -> Cow<'_, str> {
    let (name, _) = piece.split_once('=').unwrap_or((piece, ""));
    percent_decode_str(name).decode_utf8_lossy()
}
