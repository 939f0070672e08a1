//! What the operations that change an endpoint take. Source: service model.

use crate::model::name::{CLIENT_TOKEN, NAME, RUNTIME_ID, TAGS, VERSION};
use crate::shape::{Member, Shape, optional, required};

static DESCRIPTION: Shape = Shape::Text((1, 256), None);

/// CreateAgentRuntimeEndpoint.
pub(crate) static CREATE: [Member; 6] = [
    required("agentRuntimeId", &RUNTIME_ID),
    required("name", &NAME),
    optional("agentRuntimeVersion", &VERSION),
    optional("description", &DESCRIPTION),
    optional("clientToken", &CLIENT_TOKEN),
    optional("tags", &TAGS),
];

/// UpdateAgentRuntimeEndpoint.
pub(crate) static UPDATE: [Member; 5] = [
    required("agentRuntimeId", &RUNTIME_ID),
    required("endpointName", &NAME),
    optional("agentRuntimeVersion", &VERSION),
    optional("description", &DESCRIPTION),
    optional("clientToken", &CLIENT_TOKEN),
];

/// DeleteAgentRuntimeEndpoint.
pub(crate) static DELETE: [Member; 3] =
    [required("agentRuntimeId", &RUNTIME_ID), required("endpointName", &NAME), optional("clientToken", &CLIENT_TOKEN)];
