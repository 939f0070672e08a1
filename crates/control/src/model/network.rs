//! `networkConfiguration`.

use crate::shape::{ANY, Pattern, Shape, optional, required};

/// How the agent reaches the world.
pub(super) static NETWORK: Shape =
    Shape::Structure(&[required("networkMode", &Shape::Enum(&["PUBLIC", "VPC"])), optional("networkModeConfig", &VPC)]);

static VPC: Shape = Shape::Structure(&[
    required("securityGroups", &Shape::List((1, 16), &SECURITY_GROUP)),
    required("subnets", &Shape::List((1, 16), &SUBNET)),
    optional("requireServiceS3Endpoint", &Shape::Boolean),
]);

/// A security group's id.
pub(super) static SECURITY_GROUP: Shape = Shape::Text(ANY, Some(&SECURITY_GROUP_PATTERN));
static SECURITY_GROUP_PATTERN: Pattern = Pattern::new("sg-[0-9a-zA-Z]{8,17}");

/// A subnet's id.
pub(super) static SUBNET: Shape = Shape::Text(ANY, Some(&SUBNET_PATTERN));
static SUBNET_PATTERN: Pattern = Pattern::new("subnet-[0-9a-zA-Z]{8,17}");
