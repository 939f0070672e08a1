//! Certificates as they come, go and are wrong; time is given.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair, date_time_ymd};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::UnixTime;

use super::*;
use crate::config::TlsMode;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// 2026-11-20.
const NOW: UnixMillis = UnixMillis(1_795_132_800_000);

fn authority_of(data_dir: &DataDir, names: &[&str]) -> Keeper {
    let authority = Authority::open(data_dir, names.iter().map(|name| (*name).to_owned()).collect()).unwrap();
    Keeper::new(Origin::Authority(Box::new(authority)), NOW).unwrap()
}

/// Tells why a client that trusts `ca` would refuse the certificate at that time.
fn refusal(keeper: &Keeper, ca: &Path, name: &str, at: UnixMillis) -> Option<String> {
    let mut roots = RootCertStore::empty();
    roots.add(files::certificates(ca).unwrap().remove(0)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let chain = keeper.current.get();
    let at = UnixTime::since_unix_epoch(at.since(UnixMillis(0)));
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier.verify_server_cert(&chain.cert[0], &[], &name, &[], at).err().map(|error| error.to_string())
}

#[test]
fn a_generated_certificate_is_good_for_its_names_and_for_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = DataDir::lock(dir.path()).unwrap();
    let config = Config { tls: TlsMode::Auto, tls_names: vec!["agents.example".to_owned()], ..Config::default() };
    let tls = Tls::open(&config, &data_dir, NOW).unwrap().unwrap();
    let ca = tls.ca().unwrap().clone();
    let keeper = tls.into_keeper();
    for name in ["localhost", "127.0.0.1", "::1", "agents.example"] {
        assert_eq!(refusal(&keeper, &ca, name, NOW), None, "{name}");
    }
    for name in ["example", "127.0.0.2", "www.agents.example"] {
        assert!(refusal(&keeper, &ca, name, NOW).is_some(), "{name}");
    }
    let mode = fs::metadata(data_dir.path().join(authority::KEY)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn the_authority_stays_and_its_certificates_are_renewed_before_they_end() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = DataDir::lock(dir.path()).unwrap();
    let mut keeper = authority_of(&data_dir, &["localhost"]);
    let ca = data_dir.path().join(authority::CERTIFICATE);
    let (pem, first) = (fs::read(&ca).unwrap(), keeper.current.get());
    keeper.look(NOW.plus(59 * DAY));
    assert_eq!(keeper.current.get().cert, first.cert, "still good for a month");
    keeper.look(NOW.plus(60 * DAY));
    assert_ne!(keeper.current.get().cert, first.cert);
    assert_eq!(refusal(&keeper, &ca, "localhost", NOW.plus(149 * DAY)), None);
    assert!(refusal(&keeper, &ca, "localhost", NOW.plus(151 * DAY)).is_some());

    // The clock was years ahead and is set right: what was issued meanwhile is not good yet.
    keeper.look(NOW.plus(2000 * DAY));
    keeper.look(NOW);
    assert_eq!(refusal(&keeper, &ca, "localhost", NOW), None);

    // Another start, and one that lost the certificate: whoever trusted it still does.
    let later = authority_of(&data_dir, &["localhost"]);
    assert_eq!((fs::read(&ca).unwrap(), refusal(&later, &ca, "localhost", NOW)), (pem.clone(), None));
    let old = dir.path().join("old.pem");
    fs::rename(&ca, &old).unwrap();
    assert_eq!(refusal(&authority_of(&data_dir, &["localhost"]), &old, "localhost", NOW), None);
}

#[test]
fn an_authority_whose_files_do_not_belong_together_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data_dir = DataDir::lock(dir.path()).unwrap();
    authority_of(&data_dir, &["localhost"]);
    for content in [key_pem(&KeyPair::generate().unwrap()), "guess me".to_owned()] {
        fs::write(data_dir.path().join(authority::KEY), content).unwrap();
        let opened = Authority::open(&data_dir, vec!["localhost".to_owned()]);
        let error = opened.and_then(|mut authority| authority.issue(NOW)).unwrap_err();
        assert!(matches!(error, Error::Authority { .. }), "{error:?}");
        assert!(error.fix().unwrap().contains("ca.pem"));
    }
}

fn key_pem(key: &KeyPair) -> String {
    authority::pem("PRIVATE KEY", key.serialized_der())
}

/// Writes a certificate for `name` that signed itself, and its key.
fn write_pair(cert: &Path, key: &Path, name: &str) {
    let own = KeyPair::generate().unwrap();
    let signed = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&own).unwrap();
    fs::write(cert, authority::pem("CERTIFICATE", signed.der())).unwrap();
    fs::write(key, key_pem(&own)).unwrap();
}

#[test]
fn files_that_change_are_loaded_and_wrong_ones_are_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let [cert, key, cert2, key2] = ["cert", "key", "cert2", "key2"].map(|name| dir.path().join(name));
    write_pair(&cert, &key, "one.example");
    write_pair(&cert2, &key2, "two.example");
    let mut keeper = Keeper::new(Origin::Files(Files::new(cert.clone(), key.clone())), NOW).unwrap();
    let first = keeper.current.get().cert.clone();
    keeper.look(NOW);
    assert_eq!(keeper.current.get().cert, first);

    fs::rename(&cert2, &cert).unwrap();
    keeper.look(NOW);
    assert_eq!(keeper.current.get().cert, first, "its key has not come yet");
    fs::rename(&key2, &key).unwrap();
    keeper.look(NOW);
    let second = keeper.current.get().cert.clone();
    assert_ne!(second, first);
    fs::remove_file(&cert).unwrap();
    keeper.look(NOW);
    assert_eq!(keeper.current.get().cert, second);
}

#[test]
fn a_certificate_that_is_out_of_date_is_told_whoever_signed_it() {
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let mut parameters = CertificateParams::new(vec!["one.example".to_owned()]).unwrap();
        parameters.is_ca = is_ca;
        (parameters.not_before, parameters.not_after) = (date_time_ymd(2026, 11, 1), date_time_ymd(2026, 12, 1));
        let signed = parameters.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let wrong = |at| files::out_of_date(signed.der(), at).map(|problem| problem.to_string());
        assert_eq!(wrong(NOW), None);
        assert!(wrong(NOW.plus(20 * DAY)).unwrap().contains("expired"));
        assert!(wrong(UnixMillis(NOW.0 - 1_728_000_000)).unwrap().contains("not valid yet"));
    }
}

#[test]
fn what_is_wrong_with_files_is_said_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let [cert, key, other, junk, locked] = ["cert", "key", "other", "junk", "locked"].map(|name| dir.path().join(name));
    write_pair(&other, &key, "other.example");
    write_pair(&cert, &key, "one.example");
    fs::write(&junk, "junk").unwrap();
    fs::write(&locked, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n").unwrap();
    let absent = dir.path().join("absent");
    for (cert, key, expected) in [
        (&absent, &key, "could not read"),
        (&cert, &absent, "could not read"),
        (&junk, &key, "no certificate"),
        (&key, &key, "no certificate"),
        (&cert, &junk, "no private key"),
        (&cert, &cert, "no private key"),
        (&cert, &locked, "encrypted"),
        (&other, &key, "not the one"),
    ] {
        let error = Files::new(cert.clone(), key.clone()).load(NOW).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.fix().is_some(), "{error}");
    }
}
