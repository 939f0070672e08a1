//! `containerUri`: any reference that Docker takes, `[HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST]`. Source: the grammar of
//! github.com/distribution/reference.

use std::fmt;

use innkeep_types::ArtifactDigest;

/// The host of references to what was uploaded here.
pub(crate) const BUILT_IN_HOST: &str = "innkeep.local";

/// Docker's own registry, which names without a host mean.
const DOCKER_HUB: &str = "docker.io";

/// A parsed reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Host and port of the registry, as the reference names it.
    pub(crate) host: String,
    /// Path of the repository there.
    pub(crate) repository: String,
    /// `latest` if neither tag nor digest is given.
    pub(crate) tag: Option<String>,
    pub(crate) digest: Option<ArtifactDigest>,
}

impl Reference {
    /// Parses `text`; an error continues a sentence that begins with it.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (
                rest,
                Some(parse_digest(digest).ok_or("has a digest that is not sha256 and 64 lower-case hex digits")?),
            ),
            None => (text, None),
        };
        let (host, rest) = match rest.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
            _ => (DOCKER_HUB, rest),
        };
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (rest, None),
        };
        if !is_host(host) {
            return Err("has a host that is none");
        }
        let is_official = host == DOCKER_HUB && !repository.contains('/');
        let repository = if is_official { format!("library/{repository}") } else { repository.to_owned() };
        if repository.len() > 255 || !repository.split('/').all(is_segment) {
            return Err("has a repository name that is none: lower-case letters, digits and single separators");
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err("has a tag that is none: letters, digits, `_`, `.` and `-`, 128 at most");
        }
        let tag = if digest.is_none() { tag.or(Some("latest")) } else { tag }.map(str::to_owned);
        Ok(Self { host: host.to_owned(), repository, tag, digest })
    }

    /// Returns where the registry's API is.
    pub(crate) fn api_host(&self) -> &str {
        if self.host == DOCKER_HUB { "registry-1.docker.io" } else { &self.host }
    }

    /// Returns the same image by the digest of its manifest.
    pub(crate) fn pinned(&self, digest: &ArtifactDigest) -> Self {
        Self { tag: None, digest: Some(digest.clone()), ..self.clone() }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.host, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@sha256:{digest}"),
            None => Ok(()),
        }
    }
}

/// Returns what `sha256:…` names.
pub(crate) fn parse_digest(text: &str) -> Option<ArtifactDigest> {
    ArtifactDigest::parse(text.strip_prefix("sha256:")?).ok()
}

/// Makes a repository name of what people call something: what may not stand in one becomes `-`.
pub(crate) fn repository_of(name: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let segments = name.split('/').map(|segment| {
        let mapped: String = segment.chars().map(word).collect();
        mapped.split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
    });
    let name = segments.filter(|segment| !segment.is_empty()).collect::<Vec<_>>().join("/");
    let name: String = name.chars().take(200).collect();
    let name = name.trim_end_matches(['-', '/']);
    if name.is_empty() { "image".to_owned() } else { name.to_owned() }
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    };
    let is_label = |label: &str| {
        let inner = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        inner && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    let is_ipv6 = |name: &str| {
        let inner = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
    };
    port.is_none_or(|port| port.parse::<u16>().is_ok()) && (name.split('.').all(is_label) || is_ipv6(name))
}

/// Lower-case words, separated by `.`, `_`, `__` or any number of `-`.
fn is_segment(segment: &str) -> bool {
    let mut separator = String::from(".");
    for c in segment.chars() {
        if c.is_ascii_lowercase() || c.is_ascii_digit() {
            separator.clear();
        } else if matches!(c, '.' | '_' | '-') {
            separator.push(c);
            let fits = matches!(separator.as_str(), "." | "_" | "__") || separator.bytes().all(|b| b == b'-');
            if !fits || segment.starts_with(c) {
                return false;
            }
        } else {
            return false;
        }
    }
    separator.is_empty()
}

fn is_tag(tag: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    tag.bytes().next().is_some_and(is_word)
        && tag.len() <= 128
        && tag.bytes().all(|b| is_word(b) || b == b'.' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_mean_what_they_mean_to_docker() {
        let hex = "ab".repeat(32);
        let digest = format!("@sha256:{hex}");
        for (text, expect) in [
            ("alpine", "docker.io/library/alpine:latest"),
            ("me/agent:1", "docker.io/me/agent:1"),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000/a/b_c/d--e:V1.2", "localhost:5000/a/b_c/d--e:V1.2"),
            ("[::1]:5000/x", "[::1]:5000/x:latest"),
            ("ghcr.io/o/r:t", "ghcr.io/o/r:t"),
            ("123456789012.dkr.ecr.us-west-2.amazonaws.com/r:t", "123456789012.dkr.ecr.us-west-2.amazonaws.com/r:t"),
        ] {
            assert_eq!(Reference::parse(text).unwrap().to_string(), expect, "{text}");
        }
        let both = Reference::parse(&format!("r.example/x:t{digest}")).unwrap();
        assert_eq!((both.tag.as_deref(), both.digest.as_ref().unwrap().as_str()), (Some("t"), hex.as_str()));
        assert_eq!(Reference::parse(&format!("r.example/x{digest}")).unwrap().tag, None);
        for bad in [
            "",
            ":",
            "@",
            "/",
            "A",
            "a/",
            "/a",
            "a//b",
            "r.example/",
            "r.example/A",
            "r.example/a:",
            "a:b:c",
            "-a",
            "a-",
            "a..b",
            "a___b",
            "a.-b",
            "r.example:x/a",
            "r.example:99999/a",
            "a@sha256:ab",
            "a@sha512:ab",
            "a b",
            "a:t/b",
            "r.example/a?x",
            "r.example/../x",
            "u:p@r.example/a",
            "http://r.example/a",
            "-r.example/a",
            "..",
            "a:.t",
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn any_name_becomes_a_repository() {
        for (name, expect) in [
            ("My_Agent", "my-agent"),
            ("team/agent", "team/agent"),
            ("../../etc", "etc"),
            ("", "image"),
            ("ä--", "image"),
        ] {
            assert_eq!(repository_of(name), expect, "{name:?}");
            assert!(is_segment(repository_of(name).split('/').next().unwrap()));
        }
    }
}
