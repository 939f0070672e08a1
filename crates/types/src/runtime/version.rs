//! What follows from a version's configuration: who may call it, how long it may take, and what of it nothing acts on.

use std::time::Duration;

use serde_json::Value;

use super::{Artifact, VersionConfig};
use crate::limits;

/// How the callers of a version prove who they are: in one way, never in the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorizer {
    /// By a signature; `authorizerConfiguration` is absent.
    SigV4,
    /// By a token that `customJWTAuthorizer` accepts.
    CustomJwt,
}

impl VersionConfig {
    /// The platform of a version that names none.
    pub const DEFAULT_PLATFORM: &'static str = "V1";

    /// Returns how its callers prove who they are.
    pub fn authorizer(&self) -> Authorizer {
        match self.kept.contains_key("authorizerConfiguration") {
            true => Authorizer::CustomJwt,
            false => Authorizer::SigV4,
        }
    }

    /// Returns what a token is held against, as it was written.
    pub fn custom_jwt_authorizer(&self) -> Option<&Value> {
        self.kept.get("authorizerConfiguration")?.get("customJWTAuthorizer")
    }

    /// Returns the platform that it asks for.
    pub fn platform(&self) -> &str {
        self.platform_version.as_deref().unwrap_or(Self::DEFAULT_PLATFORM)
    }

    /// Returns how long its agent may take to the first good health answer, unless its settings say.
    pub fn start_timeout(&self) -> Duration {
        match self.artifact {
            Artifact::Code { .. } if self.platform() == Self::DEFAULT_PLATFORM => limits::START_TIMEOUT,
            Artifact::Code { .. } | Artifact::Container { .. } => limits::SLOW_START_TIMEOUT,
        }
    }

    /// Tells whether its sessions have file systems of their own.
    pub fn has_session_storage(&self) -> bool {
        self.kept_list("filesystemConfigurations")
    }

    fn kept_list(&self, name: &str) -> bool {
        self.kept.get(name).and_then(Value::as_array).is_some_and(|list| !list.is_empty())
    }

    /// Returns the members of its request that are stored and shown, and that nothing acts on. `docs/fields.md` says of each what that
    /// means.
    pub fn ignored(&self) -> Vec<&'static str> {
        let kept = |name| self.kept.get(name).unwrap_or(&Value::Null);
        let authorizer = &kept("authorizerConfiguration")["customJWTAuthorizer"];
        let asks_there = |name| !authorizer[name].is_null() && authorizer[name] != Value::Array(Vec::new());
        let members = [
            ("roleArn", true),
            ("networkConfiguration", kept("networkConfiguration")["networkMode"] == "VPC"),
            ("authorizerConfiguration.customJWTAuthorizer.privateEndpoint", asks_there("privateEndpoint")),
            (
                "authorizerConfiguration.customJWTAuthorizer.privateEndpointOverrides",
                asks_there("privateEndpointOverrides"),
            ),
            ("filesystemConfigurations", self.has_session_storage()),
            ("allowedPorts", self.kept_list("allowedPorts")),
            ("platformVersion", self.platform() != Self::DEFAULT_PLATFORM),
            ("metadataConfiguration", kept("metadataConfiguration")["requireMMDSV2"] == false),
        ];
        members.into_iter().filter(|(_, is_ignored)| *is_ignored).map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::{Lifecycle, Protocol};

    fn config(kept: Value) -> VersionConfig {
        VersionConfig {
            artifact: Artifact::Container { uri: "hello".to_owned() },
            role_arn: "arn:aws:iam::000000000000:role/agent".to_owned(),
            description: None,
            protocol: Protocol::default(),
            lifecycle: Lifecycle::default(),
            environment: BTreeMap::new(),
            platform_version: None,
            minimum_memory_mib: None,
            warmup: None,
            request_headers: Vec::new(),
            kept: serde_json::from_value(kept).unwrap(),
        }
    }

    fn code() -> Artifact {
        Artifact::Code {
            bucket: "b".to_owned(),
            prefix: "p".to_owned(),
            version_id: None,
            runtime: "PROVIDED".to_owned(),
            entry_point: Vec::new(),
        }
    }

    #[test]
    fn a_member_is_ignored_where_it_asks_for_what_is_not_done() {
        assert_eq!(config(json!({})).ignored(), ["roleArn"]);
        let done = json!({
            "authorizerConfiguration": {"customJWTAuthorizer": {"privateEndpointOverrides": []}},
            "networkConfiguration": {"networkMode": "PUBLIC"},
            "requestHeaderConfiguration": {"requestHeaderAllowlist": ["X-A"]},
            "hooksConfiguration": {},
            "filesystemConfigurations": [],
            "metadataConfiguration": {"requireMMDSV2": true},
        });
        assert_eq!(config(done).ignored(), ["roleArn"]);
        let not_done = json!({
            "networkConfiguration": {"networkMode": "VPC"},
            "authorizerConfiguration": {"customJWTAuthorizer": {
                "privateEndpoint": {"managedVpcResource": {}},
                "privateEndpointOverrides": [{"domain": "idp.example"}],
            }},
            "filesystemConfigurations": [{"sessionStorage": {"mountPath": "/mnt/a"}}],
            "allowedPorts": [{"port": 8000}],
            "metadataConfiguration": {"requireMMDSV2": false},
        });
        let v2 = VersionConfig { platform_version: Some("V2".to_owned()), ..config(not_done) };
        let names = [
            "roleArn",
            "networkConfiguration",
            "authorizerConfiguration.customJWTAuthorizer.privateEndpoint",
            "authorizerConfiguration.customJWTAuthorizer.privateEndpointOverrides",
            "filesystemConfigurations",
            "allowedPorts",
            "platformVersion",
            "metadataConfiguration",
        ];
        assert_eq!(v2.ignored(), names);
    }

    #[test]
    fn images_and_v2_may_start_slowly() {
        let secs = |artifact, platform: Option<&str>| {
            let platform_version = platform.map(str::to_owned);
            VersionConfig { artifact, platform_version, ..config(json!({})) }.start_timeout().as_secs()
        };
        let container = || Artifact::Container { uri: "hello".to_owned() };
        let got = [secs(code(), None), secs(code(), Some("V1")), secs(code(), Some("V2"))];
        assert_eq!(got, [30, 30, 120]);
        assert_eq!([secs(container(), None), secs(container(), Some("V2"))], [120, 120]);
    }

    #[test]
    fn an_authorizer_leaves_no_other_way_in() {
        assert_eq!(config(json!({})).authorizer(), Authorizer::SigV4);
        let jwt = json!({"authorizerConfiguration": {"customJWTAuthorizer": {"discoveryUrl": "https://a"}}});
        assert_eq!(config(jwt).authorizer(), Authorizer::CustomJwt);
    }

    #[test]
    fn a_configuration_stored_before_there_were_these_members_loads() {
        let old = json!({
            "artifact": {"Container": {"uri": "hello"}},
            "role_arn": "arn:aws:iam::000000000000:role/agent",
            "description": null,
            "network_mode": "PUBLIC",
            "protocol": {"server": "HTTP", "port": 8080, "path": "/invocations",
                         "explicit": {"block": false, "port": false, "path": false}},
            "lifecycle": {"idle_timeout_secs": 900, "max_lifetime_secs": 28800},
            "environment": {},
            "platform_version": null,
        });
        assert_eq!(serde_json::from_value::<VersionConfig>(old).unwrap(), config(json!({})));
    }
}
