//! `Ec2Configuration`: what a capacity provider's instances would be. Source: service model.

use crate::model::filesystem::VOLUME_NAME;
use crate::model::name::TAGS;
use crate::model::network::{SECURITY_GROUP, SUBNET};
use crate::shape::{Pattern, Shape, optional, required};

pub(crate) static EC2_CONFIGURATION: Shape = Shape::Structure(&[
    required("launchTemplateSource", &LAUNCH_TEMPLATE_SOURCE),
    required("vpcConfiguration", &VPC_CONFIGURATION),
    optional("volumes", &VOLUMES),
    optional("lifecycleConfiguration", &LIFECYCLE),
    optional("rootVolume", &ROOT_VOLUME),
]);

static LAUNCH_TEMPLATE_SOURCE: Shape = Shape::Union(&[optional("launchParameters", &LAUNCH_PARAMETERS)]);

static LAUNCH_PARAMETERS: Shape = Shape::Structure(&[
    required("operatingSystem", &Shape::Enum(&["LINUX_X86_64", "LINUX_ARM64"])),
    required("instanceRequirements", &INSTANCE_REQUIREMENTS),
    optional("ephemeralVolumes", &Shape::List((0, 5), &EPHEMERAL_VOLUME)),
    optional("monitoring", &Shape::Enum(&["BASIC", "DETAILED"])),
    optional("licenseSpecifications", &Shape::List((0, 5), &LICENSE)),
    optional("capacityReservationSpecification", &CAPACITY_RESERVATION),
    optional("sshKeyName", &Shape::Text((1, 255), Some(&SSH_KEY_NAME))),
    optional("instanceProfileArn", &Shape::Text((1, 2048), Some(&INSTANCE_PROFILE_ARN))),
    optional("propagatedTags", &TAGS),
]);
static SSH_KEY_NAME: Pattern = Pattern::new("[!-~][ -~]*[!-~]|[!-~]");
static INSTANCE_PROFILE_ARN: Pattern =
    Pattern::new(r"arn:aws(-[^:]+)?:iam::[0-9]{12}:instance-profile/([!-~]{1,510}/)?([\w+=,.@-]{1,128})");

static INSTANCE_REQUIREMENTS: Shape =
    Shape::Structure(&[required("allowedInstanceTypes", &Shape::List((1, 30), &Shape::Text((1, 255), None)))]);

static EPHEMERAL_VOLUME: Shape = Shape::Structure(&[
    optional("deviceName", &Shape::Text((1, 255), Some(&DEVICE_NAME))),
    optional("virtualName", &Shape::Text((1, 255), Some(&VIRTUAL_NAME))),
    optional("ebs", &EPHEMERAL_EBS),
]);
static DEVICE_NAME: Pattern = Pattern::new("[a-zA-Z0-9/._-]+");
static VIRTUAL_NAME: Pattern = Pattern::new("ephemeral[0-9]+");

static EPHEMERAL_EBS: Shape = Shape::Structure(&[
    optional("volumeType", &VOLUME_TYPE),
    optional("iops", &IOPS),
    optional("throughput", &THROUGHPUT),
    optional("encrypted", &Shape::Boolean),
    optional("kmsKeyId", &KMS_KEY_ID),
    optional("snapshotId", &SNAPSHOT_ID),
    optional("volumeSize", &Shape::Integer(1, 65_536)),
    optional("volumeInitializationRate", &Shape::Integer(100, 300)),
    optional("ebsCardIndex", &Shape::Integer(0, i32::MAX as i64)),
]);

static LICENSE: Shape =
    Shape::Structure(&[required("licenseConfigurationArn", &Shape::Text((1, 2048), Some(&LICENSE_ARN)))]);
static LICENSE_ARN: Pattern =
    Pattern::new("arn:aws(-[^:]+)?:license-manager:[a-z0-9-]+:[0-9]{12}:license-configuration:[a-zA-Z0-9_-]+");

static CAPACITY_RESERVATION: Shape = Shape::Structure(&[
    optional("capacityReservationPreference", &Shape::Enum(&["capacity-reservations-only", "open", "none"])),
    optional("capacityReservationTarget", &CAPACITY_RESERVATION_TARGET),
]);
static CAPACITY_RESERVATION_TARGET: Shape = Shape::Structure(&[
    optional("capacityReservationId", &Shape::Text((1, 255), Some(&RESERVATION_ID))),
    optional("capacityReservationResourceGroupArn", &Shape::Text((1, 2048), Some(&RESOURCE_GROUP_ARN))),
]);
static RESERVATION_ID: Pattern = Pattern::new("cr-[0-9a-z]+");
static RESOURCE_GROUP_ARN: Pattern =
    Pattern::new("arn:aws(-[^:]+)?:resource-groups:[a-z0-9-]+:[0-9]{12}:group/[a-zA-Z0-9_-]+");

static VPC_CONFIGURATION: Shape = Shape::Structure(&[
    required("subnets", &Shape::List((1, 16), &SUBNET)),
    required("securityGroups", &Shape::List((1, 16), &SECURITY_GROUP)),
]);

static VOLUMES: Shape = Shape::List((0, 5), &Shape::Union(&[optional("ebsConfiguration", &EBS_VOLUME)]));
static EBS_VOLUME: Shape = Shape::Structure(&[
    required("name", &VOLUME_NAME),
    required("sizeGiB", &Shape::Integer(1, 65_536)),
    optional("volumeType", &VOLUME_TYPE),
    optional("iops", &IOPS),
    optional("throughput", &THROUGHPUT),
    optional("encrypted", &Shape::Boolean),
    optional("kmsKeyId", &KMS_KEY_ID),
    optional("snapshotId", &SNAPSHOT_ID),
]);

static LIFECYCLE: Shape = Shape::Structure(&[
    optional("idleInstanceTimeout", &Shape::Integer(60, 1_209_600)),
    optional("maxLifetime", &Shape::Integer(60, 1_209_600)),
]);

static ROOT_VOLUME: Shape = Shape::Structure(&[
    optional("volumeType", &VOLUME_TYPE),
    optional("iops", &IOPS),
    optional("throughput", &THROUGHPUT),
    optional("encrypted", &Shape::Boolean),
    optional("kmsKeyId", &KMS_KEY_ID),
    optional("freeSpaceGiB", &Shape::Integer(2, 65_000)),
]);

static VOLUME_TYPE: Shape = Shape::Enum(&["standard", "io1", "io2", "gp2", "sc1", "st1", "gp3"]);
static IOPS: Shape = Shape::Integer(100, 256_000);
static THROUGHPUT: Shape = Shape::Integer(125, 2000);
static KMS_KEY_ID: Shape = Shape::Text((20, 2048), Some(&KMS_KEY_ARN));
static KMS_KEY_ARN: Pattern = Pattern::new(
    "arn:aws(-[^:]+)?:kms:[a-z0-9-]+:[0-9]{12}:key/[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}",
);
static SNAPSHOT_ID: Shape = Shape::Text((13, 64), Some(&SNAPSHOT));
static SNAPSHOT: Pattern = Pattern::new("snap-[a-f0-9]{8,17}");
