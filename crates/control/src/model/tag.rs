//! What the operations on tags take. Source: service model.

use crate::model::name::{TAG_KEY, TAGS};
use crate::shape::{Member, Pattern, Shape, required};

static RESOURCE_ARN: Shape = Shape::Text((20, 1011), Some(&RESOURCE_ARN_PATTERN));
static RESOURCE_ARN_PATTERN: Pattern =
    Pattern::new("arn:(?:[^:]+)?:bedrock-agentcore:[a-z0-9-]+:[0-9]{12}:([a-z-]+/[^/]+)(?:/[a-z-]+/[^/]+)*");

/// TagResource.
pub(crate) static TAG: [Member; 2] = [required("resourceArn", &RESOURCE_ARN), required("tags", &TAGS)];

/// UntagResource.
pub(crate) static UNTAG: [Member; 2] =
    [required("resourceArn", &RESOURCE_ARN), required("tagKeys", &Shape::List((0, 200), &TAG_KEY))];

/// ListTagsForResource.
pub(crate) static LIST: [Member; 1] = [required("resourceArn", &RESOURCE_ARN)];
