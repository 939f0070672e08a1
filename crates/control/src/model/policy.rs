//! What the operations on resource policies take. Source: service model.

use crate::shape::{Member, Shape, required};

static RESOURCE_ARN: Shape = Shape::Text((20, 1011), None);
static POLICY: Shape = Shape::Text((1, 20_480), None);

/// PutResourcePolicy.
pub(crate) static PUT: [Member; 2] = [required("resourceArn", &RESOURCE_ARN), required("policy", &POLICY)];

/// GetResourcePolicy and DeleteResourcePolicy.
pub(crate) static NAMED: [Member; 1] = [required("resourceArn", &RESOURCE_ARN)];
