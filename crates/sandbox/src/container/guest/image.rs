//! An image from inside: it brings its own root, user, home, working directory and environment.

use std::collections::BTreeMap;

use innkeep_artifacts::Image;
use innkeep_protocol::walls::{Identity, Root, SIDECAR_ID};
use innkeep_types::limits::MAX_IMAGE_LAYERS;

use super::Guest;

/// The last id that an agent may have.
const LAST: u32 = SIDECAR_ID - 1;

/// Why an image cannot be run, in words for who deployed it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::container) enum Error {
    #[error("the image has {0} layers, and {MAX_IMAGE_LAYERS} is the most; build it with fewer steps, or squash it")]
    TooManyLayers(usize),
    #[error("the image runs as user or group {0}, and a sandbox has 0 to {LAST}; choose another USER")]
    NoSuchUser(u32),
}

/// Returns how `image` looks from inside.
pub(super) fn guest(
    image: &Image,
    argv: Vec<String>,
    mut environment: BTreeMap<String, String>,
    has_users: bool,
) -> Result<Guest, Error> {
    if image.layers.len() > MAX_IMAGE_LAYERS {
        return Err(Error::TooManyLayers(image.layers.len()));
    }
    // Where there is one user only, it is called whatever the image calls it.
    let mut ids = [image.user, image.group].into_iter().chain(image.groups.iter().copied());
    if let Some(id) = ids.find(|&id| has_users && id > LAST) {
        return Err(Error::NoSuchUser(id));
    }
    environment.entry("HOME".to_owned()).or_insert_with(|| image.home.clone());
    Ok(Guest {
        root: Root::Image { layers: image.layers.clone() },
        agent: Identity { user: image.user, group: image.group, groups: image.groups.clone() },
        argv,
        environment,
        working_directory: image.working_directory.clone(),
        mounts: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(n_layers: usize, user: u32, groups: Vec<u32>) -> Image {
        let (layers, home) = (vec!["/layer".into(); n_layers], "/".to_owned());
        Image { layers, user, group: 5, groups, home, working_directory: "/srv".into() }
    }

    #[test]
    fn what_a_sandbox_does_not_have_is_refused() {
        let of =
            |image: Image, has_users| guest(&image, Vec::new(), BTreeMap::new(), has_users).map(|guest| guest.agent);
        let agent = Identity { user: 65_534, group: 5, groups: vec![6] };
        assert_eq!(of(image(127, 65_534, vec![6]), true), Ok(agent));
        assert_eq!(of(image(128, 0, Vec::new()), true), Err(Error::TooManyLayers(128)));
        assert_eq!(of(image(1, SIDECAR_ID, Vec::new()), true), Err(Error::NoSuchUser(SIDECAR_ID)));
        assert_eq!(of(image(1, 0, vec![100_000]), true), Err(Error::NoSuchUser(100_000)));
        assert_eq!(of(image(1, 100_000, Vec::new()), false).map(|agent| agent.user), Ok(100_000));
    }
}
