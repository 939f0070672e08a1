//! What is true of images in containers as an ordinary user: all files and the agent are that one user, whatever the image calls it.

use crate::conformance::{every_kind, walled, with_image};

every_kind!(RootlessImage);
walled!(RootlessImage);
with_image!(RootlessImage);
