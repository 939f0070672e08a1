//! Layers and archives of images, made byte by byte.

use std::io::Write;

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tar::{EntryType, Header};

/// A layer in the making.
#[derive(Clone, Default)]
pub(crate) struct Layer(Vec<u8>);

/// An entry's header, with a name that is not looked at.
pub(crate) fn header(name: &str, kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(0);
    header.set_mtime(1_000_000_000);
    header.set_uid(0);
    header.set_gid(0);
    header
}

impl Layer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds an entry as it is; its size and checksum are set.
    pub(crate) fn entry(mut self, mut header: Header, content: &[u8]) -> Self {
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        self.entry(header(name, EntryType::Regular, 0o644), content.as_bytes())
    }

    pub(crate) fn directory(self, name: &str) -> Self {
        self.entry(header(name, EntryType::Directory, 0o755), b"")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.link(name, EntryType::Symlink, target)
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.link(name, EntryType::Link, target)
    }

    fn link(self, name: &str, kind: EntryType, target: &str) -> Self {
        let mut header = header(name, kind, 0o777);
        header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
        self.entry(header, b"")
    }

    /// Adds pax records for the entry that follows.
    pub(crate) fn pax(self, records: &[(&str, &[u8])]) -> Self {
        let mut content = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (1..6).map(|digits| rest + digits).find(|n| n.to_string().len() == n - rest).unwrap();
            write!(content, "{length} {key}=").unwrap();
            content.extend_from_slice(value);
            content.push(b'\n');
        }
        self.entry(header("pax", EntryType::XHeader, 0o644), &content)
    }

    /// Returns the tar.
    pub(crate) fn tar(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

/// What images call this machine.
pub(crate) fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

/// Returns the configuration of an image of these layers; `process`: `Cmd`, `User`, ….
pub(crate) fn config(process: &Value, layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<_> = layers.iter().map(|layer| format!("sha256:{}", sha256(layer))).collect();
    let config = json!({
        "os": "linux", "architecture": architecture(), "config": process,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    config.to_string().into_bytes()
}

/// Returns a tar of these files.
pub(crate) fn tar_of(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let add =
        |tar: Layer, (name, content): &(String, Vec<u8>)| tar.entry(header(name, EntryType::Regular, 0o644), content);
    files.iter().fold(Layer::new(), add).tar()
}

/// Returns what `docker save` wrote before it wrote layouts too.
pub(crate) fn docker_archive(process: &Value, layers: &[Vec<u8>]) -> Vec<u8> {
    let config = config(process, layers);
    let mut files = vec![(format!("{}.json", sha256(&config)), config)];
    let names: Vec<_> = (0..layers.len()).map(|idx| format!("{idx}/layer.tar")).collect();
    let manifest = json!([{"Config": files[0].0, "RepoTags": ["r.example/team/my_agent:1"], "Layers": names}]);
    files.extend(names.into_iter().zip(layers.iter().cloned()));
    files.push(("manifest.json".to_owned(), manifest.to_string().into_bytes()));
    tar_of(&files)
}

/// The blobs of an image in a registry or a layout, and its manifest last.
pub(crate) fn blobs(config: Vec<u8>, layers: &[(&str, Vec<u8>)]) -> Vec<Vec<u8>> {
    let describe = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": format!("sha256:{}", sha256(bytes)), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": describe("application/vnd.oci.image.config.v1+json", &config),
        "layers": layers.iter().map(|(kind, bytes)| {
            describe(&format!("application/vnd.oci.image.layer.v1.tar{kind}"), bytes)
        }).collect::<Vec<_>>(),
    });
    let mut blobs = vec![config];
    blobs.extend(layers.iter().map(|(_, bytes)| bytes.clone()));
    blobs.push(manifest.to_string().into_bytes());
    blobs
}

/// Returns an OCI layout of `blobs` with this index.
pub(crate) fn layout(blobs: &[Vec<u8>], index: &Value) -> Vec<u8> {
    let mut files = vec![("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())];
    files.extend(blobs.iter().map(|blob| (format!("./blobs/sha256/{}", sha256(blob)), blob.clone())));
    files.push(("index.json".to_owned(), index.to_string().into_bytes()));
    tar_of(&files)
}

/// Returns an index of one manifest for `platform`.
pub(crate) fn index(manifest: &[u8], platform: Option<(&str, &str)>) -> Value {
    let mut descriptor = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": format!("sha256:{}", sha256(manifest)), "size": manifest.len(),
    });
    if let Some((os, architecture)) = platform {
        descriptor["platform"] = json!({"os": os, "architecture": architecture});
    }
    json!({"schemaVersion": 2, "manifests": [descriptor]})
}
