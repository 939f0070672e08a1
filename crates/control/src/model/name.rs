//! Names and tokens that several operations share.

use crate::shape::{Pattern, Shape};

/// The name of a runtime, an endpoint or a capacity provider.
pub(crate) static NAME: Shape = Shape::Text(crate::shape::ANY, Some(&NAME_PATTERN));
pub(crate) static NAME_PATTERN: Pattern = Pattern::new("[a-zA-Z][a-zA-Z0-9_]{0,47}");

/// A runtime's id.
pub(crate) static RUNTIME_ID: Shape = Shape::Text(crate::shape::ANY, Some(&RUNTIME_ID_PATTERN));
static RUNTIME_ID_PATTERN: Pattern = Pattern::new("[a-zA-Z][a-zA-Z0-9_]{0,99}-[a-zA-Z0-9]{10}");

/// The number of a version.
pub(crate) static VERSION: Shape = Shape::Text((1, 5), Some(&VERSION_PATTERN));
static VERSION_PATTERN: Pattern = Pattern::new("[1-9][0-9]{0,4}");

/// The ARN of an IAM role.
pub(crate) static ROLE_ARN: Shape = Shape::Text((1, 2048), Some(&ROLE_ARN_PATTERN));
static ROLE_ARN_PATTERN: Pattern = Pattern::new("arn:aws(-[^:]+)?:iam::([0-9]{12})?:role/.+");

/// An idempotency token.
pub(crate) static CLIENT_TOKEN: Shape = Shape::Text((33, 256), Some(&CLIENT_TOKEN_PATTERN));
static CLIENT_TOKEN_PATTERN: Pattern = Pattern::new("[a-zA-Z0-9](-*[a-zA-Z0-9]){0,256}");

/// Tags: keys and values.
pub(crate) static TAGS: Shape = Shape::Map((0, 50), &TAG_KEY, &TAG_VALUE);
pub(crate) static TAG_KEY: Shape = Shape::Text((1, 128), Some(&TAG_PATTERN));
static TAG_VALUE: Shape = Shape::Text((0, 256), Some(&TAG_PATTERN));
static TAG_PATTERN: Pattern = Pattern::new(r"[a-zA-Z0-9\s._:/=+@-]*");
