//! What is read from files and variables, and what is said about mistakes in them.

use std::net::Ipv4Addr;

use innkeep_artifacts::Secret;

use super::*;

fn load(file: &str, variables: &[(&str, &str)]) -> Result<Config, Error> {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("innkeep.toml"), file).unwrap();
    Config::load(Purpose::Serve, dir.path(), None, variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
}

#[test]
fn variables_win_over_the_file_and_the_file_over_defaults() {
    let file = "region = \"eu-west-1\"\nmax_starts_per_second = 3\n";
    let config = load(file, &[("INNKEEP_MAX_STARTS_PER_SECOND", "9"), ("INNKEEP_URL", "x"), ("PATH", "y")]).unwrap();
    assert_eq!((config.region.as_str(), config.max_starts_per_second), ("eu-west-1", 9));
    assert_eq!(config.listen, Config::default().listen);
    assert_eq!(load("", &[("INNKEEP_ACCOUNT", "\"123456789012\"")]).unwrap().account.as_str(), "123456789012");
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let message = load("lisen = \"127.0.0.1:0\"\n", &[]).unwrap_err().to_string();
    assert!(message.contains("\"listen\""), "{message}");
    let message = load("", &[("INNKEEP_MAX_START_PER_SECOND", "9")]).unwrap_err().to_string();
    assert!(message.contains("\"max_starts_per_second\""), "{message}");
}

#[test]
fn listening_beyond_loopback_needs_a_word() {
    let config = Config { listen: "0.0.0.0:7080".parse().unwrap(), ..Config::default() };
    assert!(matches!(config.clone().check(), Err(Error::PlainHttp(_))));
    assert!(Config { allow_plain_http: true, ..config.clone() }.check().is_ok());
    assert!(Config { tls: TlsMode::Auto, ..config.clone() }.check().is_ok());
    let (tls_cert, tls_key) = (Some("cert.pem".into()), Some("key.pem".into()));
    assert!(Config { tls_cert, tls_key, ..config }.check().is_ok());
}

#[test]
fn rates_are_off_where_nobody_else_comes_and_what_is_set_holds() {
    let rates = |file: &str| load(file, &[]).unwrap().rates().named().map(|(_, rate)| rate);
    assert_eq!(rates(""), [0; 4]);
    assert_eq!(rates("listen = \"0.0.0.0:7080\""), [1000, 50, 150, 25]);
    assert_eq!(rates("public_url = \"https://agents.example\""), [1000, 50, 150, 25]);
    assert_eq!(rates("max_gets_per_second = 7"), [0, 0, 7, 0]);
    assert_eq!(rates("listen = \"0.0.0.0:7080\"\nmax_requests_per_second = 0"), [0, 50, 150, 25]);
    let printed = load("max_gets_per_second = 7", &[]).unwrap().to_toml();
    assert!(printed.contains("# max_lists_per_second is not set; at this address it is 0\n"), "{printed}");
    assert!(printed.contains("\nmax_gets_per_second = 7\n"), "{printed}");
}

#[test]
fn origins_of_pages_are_read_as_browsers_write_them() {
    let origins = |file: &str, variables: &[(&str, &str)]| {
        load(file, variables).map(|config| config.cors_origins.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let expect = ["https://app.example.com", "http://localhost:3000"];
    assert_eq!(
        origins("cors_origins = [\"https://App.example.com/\", \"http://localhost:3000\"]", &[]).unwrap(),
        expect
    );
    let variable = [("INNKEEP_CORS_ORIGINS", "https://app.example.com:443, http://localhost:3000")];
    assert_eq!(origins("", &variable).unwrap(), expect);
    assert_eq!(origins("cors_origins = \"*\"", &[]).unwrap(), ["*"]);
    for bad in ["app.example.com", "https://a/b", "null"] {
        assert!(origins("", &[("INNKEEP_CORS_ORIGINS", bad)]).is_err(), "{bad}");
    }
}

#[test]
fn settings_of_tls_that_do_not_fit_each_other_are_refused() {
    let read = |file: &str| load(file, &[("INNKEEP_TLS_NAMES", "a.example, 192.0.2.1")]).map(Config::check);
    assert!(read("tls = \"auto\"").unwrap().is_ok());
    assert!(read("tls_cert = \"c\"\ntls_key = \"k\"\ntls_ca = \"a\"").unwrap().is_ok());
    for (file, expected) in [
        ("", "there is none"),
        ("tls_cert = \"c\"", "--tls-key"),
        ("tls_key = \"k\"", "--tls-cert"),
        ("tls = \"auto\"\ntls_cert = \"c\"\ntls_key = \"k\"", "leave one"),
        ("tls = \"auto\"\ntls_ca = \"a\"", "not set"),
    ] {
        let message = read(file).unwrap().unwrap_err().to_string();
        assert!(message.contains(expected), "{file}: {message}");
    }
    for names in ["*", "a b", "https://a.example"] {
        assert!(load("tls = \"auto\"", &[("INNKEEP_TLS_NAMES", names)]).is_err(), "{names}");
    }
}

#[test]
fn the_url_is_one_that_the_certificate_is_for() {
    let url = |names: &[&str], addr: &str| {
        let tls_names = names.iter().map(|name| (*name).to_owned()).collect();
        Config { tls: TlsMode::Auto, tls_names, ..Config::default() }.url(addr.parse().unwrap())
    };
    assert_eq!(url(&[], "127.0.0.1:7080"), "https://127.0.0.1:7080");
    assert_eq!(url(&[], "0.0.0.0:7080"), "https://127.0.0.1:7080");
    assert_eq!(url(&[], "[::]:7080"), "https://[::1]:7080");
    assert_eq!(url(&["a.example", "b.example"], "0.0.0.0:443"), "https://a.example:443");
    assert_eq!(url(&["2001:db8::1"], "[::]:443"), "https://[2001:db8::1]:443");
    assert_eq!(Config::default().url("0.0.0.0:7080".parse().unwrap()), "http://0.0.0.0:7080");
}

#[test]
fn a_dev_issuer_is_for_loopback_and_has_to_be_asked_for() {
    assert!(!load("", &[]).unwrap().dev_issuer);
    let config = load("dev_issuer = true\nallow_plain_http = true\n", &[]).unwrap();
    assert!(config.clone().check().is_ok());
    for listen in ["0.0.0.0:7080", "[::]:7080", "192.0.2.1:7080"] {
        let config = Config { listen: listen.parse().unwrap(), ..config.clone() };
        assert!(matches!(config.check(), Err(Error::DevIssuer(at)) if at == listen), "{listen}");
    }
    let public_url = Some("https://agents.example.com".to_owned());
    assert!(matches!(Config { public_url, ..config }.check(), Err(Error::DevIssuer(_))));
}

#[test]
fn isolation_and_what_belongs_to_it_are_read() {
    let file = "isolation = \"container\"\nbase = \"/srv/base\"\ndns = [\"192.0.2.1\"]\negress = \"none\"\n";
    let config = load(file, &[]).unwrap();
    assert_eq!((config.isolation, config.egress), (Isolation::Container, Egress::None));
    assert_eq!(config.base, Base::Tree("/srv/base".into()));
    let variables = [("INNKEEP_DNS", "192.0.2.1, 2001:db8::1"), ("INNKEEP_BASE", "host"), ("INNKEEP_EGRESS", "none")];
    let config = load("", &variables).unwrap();
    let addresses: Vec<_> = config.dns.iter().map(ToString::to_string).collect();
    assert_eq!((addresses.join(" ").as_str(), config.base), ("192.0.2.1 2001:db8::1", Base::Host));
    for (variable, value) in [("INNKEEP_BASE", "srv/base"), ("INNKEEP_DNS", "dns.example"), ("INNKEEP_EGRESS", "vpc")] {
        assert!(load("", &[(variable, value)]).is_err(), "{variable}={value}");
    }
}

#[test]
fn only_development_allows_missing_limits_unless_told() {
    let dir = tempfile::tempdir().unwrap();
    let load = |purpose, said: Option<&str>| {
        let variables = said.map(|said| ("INNKEEP_ALLOW_MISSING_LIMITS".to_owned(), said.to_owned()));
        Config::load(purpose, dir.path(), None, variables).unwrap().allow_missing_limits
    };
    assert_eq!([load(Purpose::Serve, None), load(Purpose::Develop, None)], [false, true]);
    assert_eq!([load(Purpose::Serve, Some("true")), load(Purpose::Develop, Some("false"))], [true, false]);
}

#[test]
fn issuers_are_public_unless_told() {
    let dir = tempfile::tempdir().unwrap();
    let of = |purpose| Config::load(purpose, dir.path(), None, []).unwrap().jwt_private_issuers;
    assert_eq!((of(Purpose::Serve), of(Purpose::Develop)), (Vec::new(), IpRange::LOOPBACK.to_vec()));
    let config = load("", &[("INNKEEP_JWT_PRIVATE_ISSUERS", "10.2.0.0/16, fd00::1")]).unwrap();
    let ranges: Vec<_> = config.jwt_private_issuers.iter().map(ToString::to_string).collect();
    assert_eq!(ranges, ["10.2.0.0/16", "fd00::1/128"]);
    assert!(load("jwt_private_issuers = [\"10.2.0.0/33\"]", &[]).is_err());
    assert!(load("jwt_private_issuers = [\"idp.example\"]", &[]).is_err());
}

#[test]
fn a_file_of_certificates_must_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ca.pem");
    let config = Config { jwt_ca_file: Some(path.clone()), ..Config::default() };
    assert!(matches!(config.roots(), Err(Error::Read { .. })));
    std::fs::write(&path, "no certificate").unwrap();
    assert!(config.roots().unwrap_err().to_string().contains("has no certificate"));
}

#[test]
fn a_public_url_is_one_that_others_can_be_made_of() {
    let of = |url: &str| load("", &[("INNKEEP_PUBLIC_URL", url)]).map(|config| config.public_url.unwrap()).ok();
    assert_eq!(of("https://agents.example.com/").as_deref(), Some("https://agents.example.com"));
    assert_eq!(of("http://10.0.0.1:8080/base").as_deref(), Some("http://10.0.0.1:8080/base"));
    for bad in ["agents.example.com", "ftp://a", "https://u@a", "https://a/?b", "https://a/#b", "https://a/\"b"] {
        assert_eq!(of(bad), None, "{bad}");
    }
}

#[test]
fn what_is_printed_can_be_read_back() {
    let tree =
        Config { base: Base::Tree("/srv/base".into()), dns: vec![Ipv4Addr::LOCALHOST.into()], ..Config::default() };
    let registries =
        [("localhost:5000".to_owned(), RegistrySettings { allow_plain_http: true, ..RegistrySettings::default() })];
    let tables = Config {
        docker_config: Some("/root/.docker/config.json".into()),
        registries: registries.into(),
        jwt_private_issuers: IpRange::LOOPBACK.to_vec(),
        jwt_ca_file: Some("/etc/ca.pem".into()),
        public_url: Some("https://agents.example.com".to_owned()),
        tls_cert: Some("/etc/innkeep/cert.pem".into()),
        tls_names: vec!["agents.example".to_owned()],
        interpreters: [("NODE_22".to_owned(), "/opt/node/bin/node".into())].into(),
        ..Config::default()
    };
    for config in [Config::default(), tree, tables] {
        assert_eq!(toml::from_str::<Config>(&config.to_toml()).unwrap(), config);
    }
}

#[test]
fn tables_are_read_from_the_file_and_from_variables() {
    let file = r#"
        docker_config = "/root/.docker/config.json"
        max_concurrent_checks = 0
        [s3]
        endpoint = "http://127.0.0.1:9000"
        access_key_id = "file"
        secret_access_key = "hunter2"
        [registries."registry.example.com:5000"]
        username = "u"
        password = "hunter2"
        [interpreters]
        PYTHON_3_13 = "/opt/py313/bin/python3"
    "#;
    let config = load(file, &[]).unwrap();
    assert_eq!(config.max_concurrent_checks, 0);
    let options = config.artifacts();
    let s3 = options.s3.unwrap();
    assert_eq!((s3.region.as_str(), s3.path_style, s3.secret_access_key.0.as_str()), ("us-east-1", true, "hunter2"));
    let registry = &options.registries["registry.example.com:5000"];
    assert_eq!(registry.credentials, Some(("u".to_owned(), Secret("hunter2".to_owned()))));
    assert_eq!(options.docker_config, Some("/root/.docker/config.json".into()));
    assert_eq!(options.interpreters["PYTHON_3_13"], Path::new("/opt/py313/bin/python3"));

    let config = load(
        file,
        &[
            ("INNKEEP_S3_ACCESS_KEY_ID", "0123"),
            ("INNKEEP_S3_SECRET_ACCESS_KEY", "4567"),
            ("INNKEEP_S3_PATH_STYLE", "false"),
            ("INNKEEP_REGISTRIES", r#"{"localhost:5000": {"allow_plain_http": true}}"#),
            ("INNKEEP_INTERPRETERS", r#"{ NODE_22 = "/opt/node/bin/node" }"#),
        ],
    );
    let options = config.unwrap().artifacts();
    let s3 = options.s3.unwrap();
    assert_eq!((s3.endpoint.as_str(), s3.access_key_id.as_str()), ("http://127.0.0.1:9000", "0123"));
    assert_eq!((s3.path_style, s3.secret_access_key.0.as_str()), (false, "4567"));
    assert!(options.registries["localhost:5000"].allow_plain_http && options.registries.len() == 1);
    assert_eq!(options.interpreters.into_keys().collect::<Vec<_>>(), ["NODE_22"]);

    let whole = [
        ("INNKEEP_S3_REGION", "eu-west-1"),
        ("INNKEEP_S3", r#"{"endpoint":"https://x","access_key_id":"k","secret_access_key":"s"}"#),
    ];
    assert_eq!(load("", &whole).unwrap().s3.unwrap().region, "eu-west-1");
}

#[test]
fn mistakes_in_tables_are_named() {
    let s3 = "[s3]\nendpoint = \"http://x\"\naccess_key_id = \"k\"\n";
    for (file, variables, words) in [
        ("[s3]\nend_point = \"x\"\n", &[][..], "\"s3.end_point\""),
        ("[s3]\nend_point = \"x\"\n", &[], "\"s3.endpoint\""),
        ("[registries.\"r:5000\"]\nuser = \"x\"\n", &[], "registries.\\\"r:5000\\\".username"),
        ("", &[("INNKEEP_S3_ENDPIONT", "x")], "\"s3.endpoint\""),
        ("", &[("INNKEEP_REGISTRIES", "registry.example.com")], "must hold a table as JSON"),
        ("", &[("INNKEEP_S3", r#"{"regoin": "x"}"#)], "\"s3.region\""),
        ("[registries.\"r:5000\"]\nusername = \"x\"\n", &[], "username and password, or neither"),
        (s3, &[], "secret_access_key"),
        ("[interpreters]\nPYTHON_3_9 = \"/usr/bin/python3.9\"\n", &[], "PYTHON_3_10, PYTHON_3_11"),
        ("[interpreters]\nNODE_22 = \"node\"\n", &[], "must be an absolute path"),
    ] {
        let error = load(file, variables).unwrap_err();
        let mut said = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            said = format!("{said}: {source}");
        }
        assert!(said.contains(words), "{file:?} {variables:?}: {said}");
    }
}

#[test]
fn secrets_are_never_shown() {
    let s3 = "[s3]\nendpoint = \"http://x\"\naccess_key_id = \"k\"\nsecret_access_key = ";
    let registry = "[registries.\"r:5000\"]\nusername = \"u\"\npassword = ";
    let config = load(&format!("{s3}\"hunter2\"\n{registry}\"hunter2\"\n"), &[]).unwrap();
    let printed = config.to_toml();
    assert!(printed.contains("# s3.secret_access_key is set, and not shown\n"), "{printed}");
    assert!(printed.contains("# registries.\"r:5000\".password is set, and not shown\n"), "{printed}");
    assert!(printed.contains("\nusername = \"u\"\n"), "{printed}");
    assert!(!format!("{printed}{config:?}{}", serde_json::to_string(&config).unwrap()).contains("hunter2"));
    // Nor where there is something wrong with them.
    for file in
        [format!("{s3}\"hunter2\n"), format!("{s3}[\"hunter2\"]\n"), format!("{registry}{{ a = \"hunter2\" }}\n")]
    {
        let error = load(&file, &[]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    let error = load(&format!("{s3}\"hunter2\n"), &[]).unwrap_err();
    assert!(error.to_string().contains("innkeep.toml is not TOML: line 4"), "{error}");
}

#[test]
fn what_docker_login_wrote_is_used_unless_another_file_is_named() {
    let home = tempfile::tempdir().unwrap();
    let (own, named) = (home.path().join(".docker"), home.path().join("named"));
    let (at_home, docker) = (("HOME", home.path().to_str().unwrap()), ("DOCKER_CONFIG", named.to_str().unwrap()));
    let used = |file: &str, variables: &[(&str, &str)]| load(file, variables).unwrap().docker_config;
    assert_eq!(used("", &[("PATH", "/bin")]), None);
    // Read when an image is pulled: somebody may log in while the server runs.
    assert_eq!(used("", &[at_home]), Some(own.join("config.json")));
    for folder in [&own, &named] {
        std::fs::create_dir(folder).unwrap();
        std::fs::write(folder.join("config.json"), "{}").unwrap();
    }
    assert_eq!(used("", &[at_home]), Some(own.join("config.json")));
    assert_eq!(used("", &[at_home, ("DOCKER_CONFIG", "")]), Some(own.join("config.json")));
    assert_eq!(used("", &[at_home, docker]), Some(named.join("config.json")));
    assert_eq!(used("docker_config = \"/x\"", &[at_home, docker]), Some("/x".into()));
    assert_eq!(used("", &[docker, ("INNKEEP_DOCKER_CONFIG", "/y")]), Some("/y".into()));
    assert!(load("", &[docker]).unwrap().to_toml().contains("named/config.json"));
    let no_folder = named.join("config.json");
    assert_eq!(used("", &[("DOCKER_CONFIG", no_folder.to_str().unwrap())]), None, "cannot be read");
}
