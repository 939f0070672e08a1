//! Builds the sidecar as a static executable and hands its path to `src/embedded.rs`.
//!
//! A nested cargo, because artifact dependencies are not stable: its own target directory (shared by all profiles of ours, so
//! that only the first build pays), its own flags, none of the outer build's environment. It never waits for a lock that the
//! outer build holds. `INNKEEP_SIDECAR_PREBUILT=<file>` embeds that file instead.
#![expect(clippy::disallowed_methods, reason = "the environment is how a build script is spoken to")]

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PREBUILT: &str = "INNKEEP_SIDECAR_PREBUILT";

/// Variables of the outer build that would change, or hang, the inner one.
const REMOVED: [&str; 12] = [
    "CARGO_TARGET_DIR",
    "DEBUG",
    "HOST",
    "NUM_JOBS",
    "OPT_LEVEL",
    "OUT_DIR",
    "PROFILE",
    "RUSTC_LINKER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTFLAGS",
    "TARGET",
];

/// The same, by how they begin.
const REMOVED_PREFIXES: [&str; 9] = [
    "CARGO_BUILD_",
    "CARGO_CFG_",
    "CARGO_ENCODED_",
    "CARGO_FEATURE_",
    "CARGO_PKG_",
    "CARGO_PROFILE_",
    "DEP_",
    "LLVM_PROFILE",
    "NEXTEST",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../..").canonicalize()?;
    for input in ["crates/sidecar", "crates/protocol", "crates/types", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", root.join(input).display());
    }
    println!("cargo::rerun-if-env-changed={PREBUILT}");
    let sidecar = match env::var_os(PREBUILT) {
        Some(path) => path.into(),
        None => build(&root)?,
    };
    let bytes = fs::read(&sidecar).map_err(|error| format!("{}: {error}", sidecar.display()))?;
    if needs_interpreter(&bytes).ok_or("the sidecar is no 64-bit little-endian ELF file")? {
        return Err(
            "the sidecar is not static; is the C library's static part (libc6-dev, glibc-static) installed?".into()
        );
    }
    let embedded = PathBuf::from(env::var("OUT_DIR")?).join("sidecar.bin");
    // Written only if it differs: an unchanged file spares this crate's compilation.
    if fs::read(&embedded).ok().as_deref() != Some(&bytes) {
        fs::write(&embedded, &bytes)?;
    }
    println!("cargo::rustc-env=INNKEEP_SIDECAR_BIN={}", embedded.display());
    Ok(())
}

/// Returns the executable that cargo made.
fn build(root: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let target = env::var("TARGET")?;
    let profile = if env::var("PROFILE")? == "release" { "sidecar" } else { "sidecar-dev" };
    // <target>/<profile>/build/<package>/out
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let target_dir = out.ancestors().nth(4).unwrap_or(&out).join("sidecar");
    let cargo = |network: &[&str]| {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            let flags = text.starts_with("CARGO_TARGET_") && text.ends_with("_RUSTFLAGS");
            if flags || REMOVED.contains(&&*text) || REMOVED_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
                cargo.env_remove(&name);
            }
        }
        cargo
            .args(["build", "--package", "innkeep-sidecar", "--bin", "innkeep-sidecar"])
            .args(["--profile", profile, "--target", &target])
            .args(network)
            .arg("--target-dir")
            .arg(&target_dir)
            .current_dir(root)
            // The user's build directory, if one is set, is the outer build's.
            .env("CARGO_BUILD_BUILD_DIR", &target_dir)
            .env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static\x1f-Crelocation-model=pie")
            .output()
    };
    // Offline first, so that a build that was told to be offline is.
    let mut made = cargo(&["--offline"])?;
    if !made.status.success() && env::var("CARGO_NET_OFFLINE").as_deref() != Ok("true") {
        made = cargo(&[])?;
    }
    if !made.status.success() {
        return Err(format!("the sidecar does not build:\n{}", String::from_utf8_lossy(&made.stderr)).into());
    }
    Ok(target_dir.join(target).join(profile).join("innkeep-sidecar"))
}

/// Tells whether an ELF file has a PT_INTERP header, that is, needs a dynamic linker on the machine where it runs.
fn needs_interpreter(elf: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    let u16_at = |at: usize| Some(usize::from(u16::from_le_bytes(elf.get(at..at + 2)?.try_into().ok()?)));
    let u32_at = |at: usize| Some(u32::from_le_bytes(elf.get(at..at + 4)?.try_into().ok()?));
    if !elf.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let table = usize::try_from(u64::from_le_bytes(elf.get(0x20..0x28)?.try_into().ok()?)).ok()?;
    let (size, count) = (u16_at(0x36)?, u16_at(0x38)?);
    (0..count).try_fold(false, |found, index| Some(found || u32_at(table + index * size)? == PT_INTERP))
}
