//! `filesystemConfigurations`.

use crate::shape::{Pattern, Shape, optional, required};

/// What is mounted beside the agent's own files.
pub(super) static FILESYSTEMS: Shape = Shape::List((0, 5), &FILESYSTEM);

static FILESYSTEM: Shape = Shape::Union(&[
    optional("sessionStorage", &Shape::Structure(&[required("mountPath", &MOUNT_PATH)])),
    optional(
        "s3FilesAccessPoint",
        &Shape::Structure(&[required("accessPointArn", &S3_ACCESS_POINT), required("mountPath", &MOUNT_PATH)]),
    ),
    optional(
        "efsAccessPoint",
        &Shape::Structure(&[required("accessPointArn", &EFS_ACCESS_POINT), required("mountPath", &MOUNT_PATH)]),
    ),
    optional(
        "capacityProviderVolume",
        &Shape::Structure(&[required("volumeName", &VOLUME_NAME), required("mountPath", &MOUNT_PATH)]),
    ),
]);

static MOUNT_PATH: Shape = Shape::Text((6, 200), Some(&MOUNT_PATH_PATTERN));
static MOUNT_PATH_PATTERN: Pattern = Pattern::new("/mnt/[a-zA-Z0-9._-]+/?");

static S3_ACCESS_POINT: Shape = Shape::Text((0, 256), Some(&S3_ACCESS_POINT_PATTERN));
static S3_ACCESS_POINT_PATTERN: Pattern =
    Pattern::new("arn:aws[-a-z]*:s3files:[0-9a-z-:]+:file-system/fs-[0-9a-f]{17,40}/access-point/fsap-[0-9a-f]{17,40}");

static EFS_ACCESS_POINT: Shape = Shape::Text((0, 128), Some(&EFS_ACCESS_POINT_PATTERN));
static EFS_ACCESS_POINT_PATTERN: Pattern =
    Pattern::new("arn:aws[-a-z]*:elasticfilesystem:[0-9a-z-:]+:access-point/fsap-[0-9a-f]{8,40}");

/// The name of a capacity provider's volume.
pub(super) static VOLUME_NAME: Shape = Shape::Text((1, 48), Some(&VOLUME_NAME_PATTERN));
static VOLUME_NAME_PATTERN: Pattern = Pattern::new("[a-zA-Z][a-zA-Z0-9_-]{0,47}");
