//! What the operations on capacity providers take. Source: service model.

use crate::model::ec2::EC2_CONFIGURATION;
use crate::model::name::{CLIENT_TOKEN, NAME_PATTERN, ROLE_ARN, TAGS};
use crate::shape::{Member, Pattern, Shape, optional, required};

static ID: Shape = Shape::Text((12, 59), Some(&ID_PATTERN));
static ID_PATTERN: Pattern = Pattern::new("[a-zA-Z][a-zA-Z0-9_]{0,47}-[a-zA-Z0-9]{10}");
static NAME: Shape = Shape::Text((1, 48), Some(&NAME_PATTERN));
static DESCRIPTION: Shape = Shape::Text((1, 4096), None);

static PERMISSIONS: Shape = Shape::Structure(&[required("capacityProviderOperatorRoleArn", &ROLE_ARN)]);

static COMPUTE: Shape = Shape::Union(&[optional("ec2Configuration", &EC2_CONFIGURATION)]);

/// CreateCapacityProvider.
pub(crate) static CREATE: [Member; 6] = [
    required("name", &NAME),
    optional("description", &DESCRIPTION),
    required("permissionsConfiguration", &PERMISSIONS),
    optional("clientToken", &CLIENT_TOKEN),
    optional("tags", &TAGS),
    required("computeConfiguration", &COMPUTE),
];

/// GetCapacityProvider and ListAgentRuntimeVersionsByCapacityProvider.
pub(crate) static NAMED: [Member; 1] = [required("capacityProviderId", &ID)];

/// UpdateCapacityProvider: a description without its value removes what there is.
pub(crate) static UPDATE: [Member; 3] = [
    required("capacityProviderId", &ID),
    optional("description", &Shape::Structure(&[optional("optionalValue", &DESCRIPTION)])),
    optional("clientToken", &CLIENT_TOKEN),
];

/// DeleteCapacityProvider.
pub(crate) static DELETE: [Member; 2] = [required("capacityProviderId", &ID), optional("clientToken", &CLIENT_TOKEN)];
