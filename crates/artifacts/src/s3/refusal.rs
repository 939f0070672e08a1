//! What a store answers in place of an object, and what to do about it.

use std::fmt;

use http::{StatusCode, header};

use crate::s3::Object;
use innkeep_fetch::Answer;

/// The longest error document that is read, bytes.
const MAX_DOCUMENT_BYTES: usize = 64 << 10;

/// The longest text of the store's that is passed on, characters.
const MAX_TEXT: usize = 300;

/// An answer without an object.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    /// `NoSuchKey`; empty if the store names none.
    code: String,
    advice: String,
}

impl Refusal {
    /// Reads the rest of `answer`.
    pub(super) async fn read(answer: &mut Answer, object: &Object, region: &str) -> Self {
        let document = answer.body.collect(MAX_DOCUMENT_BYTES).await.unwrap_or_default();
        let document = String::from_utf8_lossy(&document);
        let element = |name| element(&document, name);
        let header = |name| answer.headers.get(name)?.to_str().ok().map(plain);
        let code = element("Code").unwrap_or_default();
        let elsewhere = header("x-amz-bucket-region").or_else(|| element("Region")).filter(|its| its != region);
        let advice = match (answer.status.as_u16(), code.as_str()) {
            (300..=399, _) | (400, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException") => {
                elsewhere_advice(elsewhere, header(header::LOCATION.as_str()).or_else(|| element("Endpoint")), region)
            }
            (404, "NoSuchBucket") => "there is no such bucket; correct code.s3.bucket, or endpoint in [s3]".to_owned(),
            (404, "NoSuchVersion") | (400, _) if object.version.is_some() => {
                "there is no such version of it; correct code.s3.versionId, or leave it out for the newest".to_owned()
            }
            (405, _) if object.version.is_some() => {
                "that version marks a deletion; correct code.s3.versionId, or leave it out for the newest".to_owned()
            }
            (404, _) => {
                "there is no such object; upload it, or correct code.s3.prefix, which is the whole key of one zip"
                    .to_owned()
            }
            (401, _) | (403, "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "InvalidToken" | "ExpiredToken") => {
                "the store does not know these credentials; correct access_key_id and secret_access_key in [s3]"
                    .to_owned()
            }
            (403, "RequestTimeTooSkewed") => "the clocks of the store and of this host differ; set them".to_owned(),
            (403, _) => {
                let action = if object.version.is_some() { "s3:GetObjectVersion" } else { "s3:GetObject" };
                format!(
                    "the access key in [s3] may not read it; allow it {action}, and s3:ListBucket to be told what is missing"
                )
            }
            (429 | 500..=599, _) => "the store is not able to answer now; deploy again when it is".to_owned(),
            _ => element("Message").unwrap_or_else(|| "is endpoint in [s3] an S3-compatible store?".to_owned()),
        };
        Self { status: answer.status, code, advice }
    }

    /// Tells whether the same request may get an object a little later.
    pub(super) fn may_pass(&self) -> bool {
        matches!(self.status.as_u16(), 429 | 500..=599)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, code, advice } = self;
        match code.as_str() {
            "" => write!(f, "status {}: {advice}", status.as_u16()),
            code => write!(f, "status {} {code}: {advice}", status.as_u16()),
        }
    }
}

fn elsewhere_advice(region: Option<String>, endpoint: Option<String>, ours: &str) -> String {
    match (region, endpoint) {
        (Some(region), _) => {
            format!(
                "the bucket is in region {region}, and [s3] says {ours}; set region, and endpoint where it names one"
            )
        }
        (None, Some(endpoint)) => {
            format!("the store sends elsewhere, to {endpoint}; set endpoint in [s3] to where it is")
        }
        (None, None) => format!("the store sends elsewhere; is {ours} its region, and endpoint in [s3] its URL?"),
    }
}

/// Returns the text of the first element of this name. Enough of XML for errors: they have no attributes and no entities that
/// matter.
fn element(document: &str, name: &str) -> Option<String> {
    let (_, rest) = document.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once('<')?;
    Some(plain(text))
}

/// Returns what of a store's text can be shown.
fn plain(text: &str) -> String {
    text.trim().chars().filter(|c| !c.is_control()).take(MAX_TEXT).collect()
}
