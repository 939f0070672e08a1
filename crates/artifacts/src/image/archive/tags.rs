//! Which of several images in an archive is meant: by the name that the archive gives it, or by the tag of that name.

use crate::image::Problem;
use crate::image::archive::Saved;
use crate::image::manifest::Descriptor;

/// Where a layout names an image, the whole name first. Source: what `docker save` and containerd write; OCI image specification,
/// "annotations", by which others write a bare tag.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// Returns the names of an image in a layout.
pub(super) fn names(descriptor: &Descriptor) -> impl Iterator<Item = &str> {
    NAMES.iter().filter_map(|key| descriptor.annotations.get(*key).map(String::as_str))
}

/// Returns those entries of a layout's index that are the image meant: one, or one for each platform.
pub(super) fn meant(manifests: Vec<Descriptor>, tag: Option<&str>) -> Result<Vec<Descriptor>, Problem> {
    let Some(tag) = tag else {
        let named: Vec<_> = manifests.iter().filter_map(|manifest| Some((names(manifest).next()?, manifest))).collect();
        // One image under two names is still one, and so is one name for several platforms.
        let differs = |(name, other): &(&str, &Descriptor)| {
            named.first().is_some_and(|(first, manifest)| first != name && manifest.digest != other.digest)
        };
        if named.iter().any(differs) {
            return Err(several(named.iter().map(|(name, _)| *name)));
        }
        return Ok(manifests);
    };
    let (meant, others): (Vec<_>, Vec<_>) =
        manifests.into_iter().partition(|manifest| names(manifest).any(|name| is_named(name, tag)));
    if meant.is_empty() { Err(none(tag, others.iter().flat_map(names))) } else { Ok(meant) }
}

/// Returns the image of `manifest.json` that is meant.
pub(super) fn meant_of_saved<'a>(images: &'a [Saved], tag: Option<&str>) -> Result<&'a Saved, Problem> {
    let all_names = || images.iter().flat_map(|image| image.repo_tags.iter().flatten().map(String::as_str));
    let is_meant = |image: &&Saved| match tag {
        None => true,
        Some(tag) => image.repo_tags.iter().flatten().any(|name| is_named(name, tag)),
    };
    match (images.iter().filter(is_meant).collect::<Vec<_>>().as_slice(), tag) {
        ([image], _) => Ok(image),
        ([], None) => Err(Problem::NoImage),
        ([], Some(tag)) => Err(none(tag, all_names())),
        (_, _) => Err(several(all_names())),
    }
}

/// Tells whether `name` is the one given, or has that tag.
fn is_named(name: &str, given: &str) -> bool {
    name == given || name.rsplit_once(':').is_some_and(|(_, tag)| tag == given)
}

fn several<'a>(names: impl Iterator<Item = &'a str>) -> Problem {
    Problem::Archive(format!(
        "it holds several images ({}); say which one by its whole name: --tag NAME:TAG",
        shown(names)
    ))
}

fn none<'a>(tag: &str, names: impl Iterator<Item = &'a str>) -> Problem {
    let tag: String = tag.chars().take(200).collect();
    Problem::Archive(match shown(names) {
        empty if empty.is_empty() => format!("it names no image, so that none is {tag:?}; leave --tag out"),
        names => format!("none of its images is {tag:?}; it has {names}"),
    })
}

/// Returns names as a sentence has them; of very many, the first.
fn shown<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: std::collections::BTreeSet<_> = names.collect();
    names.into_iter().collect::<Vec<_>>().join(", ").chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_given_in_full_or_by_its_tag() {
        for (name, given) in
            [("r:5000/team/agent:v1", "v1"), ("r:5000/team/agent:v1", "r:5000/team/agent:v1"), ("v1", "v1")]
        {
            assert!(is_named(name, given), "{name} {given}");
        }
        for (name, given) in [("agent:v1", "v"), ("agent:v1", "agent"), ("r:5000/a", "a"), ("agent:v1", "")] {
            assert!(!is_named(name, given), "{name} {given}");
        }
    }
}
