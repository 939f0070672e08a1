//! Capacity providers: records.

use serde_json::{Value, json};

use crate::plane::{NOW, Plane, plane};

const TOKEN: &str = "0f9a9b0e-6d5b-4f5c-9a51-7a3c5d1e2f40";

/// Every member that there is.
fn document(name: &str) -> Value {
    let key = "arn:aws:kms:us-west-2:000000000000:key/01234567-89ab-cdef-0123-456789abcdef";
    json!({
        "name": name,
        "description": "big ones",
        "permissionsConfiguration": {"capacityProviderOperatorRoleArn": "arn:aws:iam::000000000000:role/operator"},
        "tags": {"team": "a"},
        "computeConfiguration": {"ec2Configuration": {
            "launchTemplateSource": {"launchParameters": {
                "operatingSystem": "LINUX_ARM64",
                "instanceRequirements": {"allowedInstanceTypes": ["m8g.large"]},
                "ephemeralVolumes": [{
                    "deviceName": "/dev/sdb", "virtualName": "ephemeral0",
                    "ebs": {"volumeType": "gp3", "iops": 3000, "throughput": 125, "encrypted": true, "kmsKeyId": key,
                        "snapshotId": "snap-01234567", "volumeSize": 8, "volumeInitializationRate": 100, "ebsCardIndex": 0},
                }],
                "monitoring": "BASIC",
                "licenseSpecifications": [{"licenseConfigurationArn":
                    "arn:aws:license-manager:us-west-2:000000000000:license-configuration:lic-1"}],
                "capacityReservationSpecification": {
                    "capacityReservationPreference": "open",
                    "capacityReservationTarget": {"capacityReservationId": "cr-0", "capacityReservationResourceGroupArn":
                        "arn:aws:resource-groups:us-west-2:000000000000:group/g"},
                },
                "sshKeyName": "my key",
                "instanceProfileArn": "arn:aws:iam::000000000000:instance-profile/agents",
                "propagatedTags": {"a": "b"},
            }},
            "vpcConfiguration": {"subnets": ["subnet-01234567"], "securityGroups": ["sg-01234567"]},
            "volumes": [{"ebsConfiguration": {"name": "data", "sizeGiB": 1, "volumeType": "io2", "iops": 100,
                "throughput": 2000, "encrypted": false, "kmsKeyId": key, "snapshotId": "snap-0123456789abcdef0"}}],
            "lifecycleConfiguration": {"idleInstanceTimeout": 60, "maxLifetime": 1_209_600},
            "rootVolume": {"volumeType": "gp3", "iops": 100, "throughput": 125, "encrypted": true, "kmsKeyId": key,
                "freeSpaceGiB": 2},
        }},
    })
}

async fn create(plane: &Plane, name: &str) -> String {
    let created = plane.call("PUT", "/capacity-providers", &document(name)).await.is(202);
    created["capacityProviderId"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_capacity_provider_is_ready_at_once_and_shown_as_it_was_sent() {
    let (plane, _dir) = plane().await;
    let mut created = plane.call("PUT", "/capacity-providers/", &document("pool")).await.is(202);
    let id = created["capacityProviderId"].take();
    let id = id.as_str().unwrap();
    let arn = format!("arn:aws:bedrock-agentcore:us-west-2:000000000000:capacity-provider/{id}");
    assert!(id.starts_with("pool-") && id.len() == 15, "{id}");
    let want = json!({"capacityProviderId": null, "capacityProviderArn": arn, "name": "pool", "status": "READY"});
    assert_eq!(created, want);

    let mut want = document("pool");
    want.as_object_mut().unwrap().remove("tags");
    for (member, value) in [
        ("capacityProviderId", json!(id)),
        ("capacityProviderArn", json!(arn)),
        ("status", json!("READY")),
        ("createdAt", json!(NOW)),
        ("lastUpdatedAt", json!(NOW)),
    ] {
        want[member] = value;
    }
    assert_eq!(plane.get(&format!("/capacity-providers/{id}")).await.is(200), want);
    assert_eq!(plane.get(&format!("/tags/{arn}")).await.is(200), json!({"tags": {"team": "a"}}));
    let item = json!({
        "capacityProviderId": id, "capacityProviderArn": arn, "name": "pool", "status": "READY",
        "lastUpdatedAt": 1_795_168_800,
    });
    let listed = plane.call("POST", "/capacity-providers", &Value::Null).await.is(200);
    assert_eq!(listed, json!({"capacityProviders": [item]}), "seconds here, text there");
    let versions = plane.call("POST", &format!("/capacity-providers/{id}/runtime-versions"), &Value::Null).await;
    assert_eq!(versions.is(200), json!({"agentRuntimes": []}));
}

#[tokio::test]
async fn only_the_description_is_updated() {
    let (plane, _dir) = plane().await;
    let id = create(&plane, "pool").await;
    let path = format!("/capacity-providers/{id}");
    let description = async || plane.get(&path).await.is(200)["description"].clone();
    let updated = plane.call("PUT", &path, &json!({"description": {"optionalValue": "small"}})).await.is(202);
    assert_eq!([&updated["status"], &updated["createdAt"], &updated["lastUpdatedAt"]], ["READY", NOW, NOW]);
    assert_eq!(description().await, "small");
    plane.call("PUT", &path, &json!({"name": "other"})).await.is(202);
    assert_eq!(description().await, "small");
    plane.call("PUT", &path, &json!({"description": {}})).await.is(202);
    assert_eq!(description().await, Value::Null);
}

#[tokio::test]
async fn names_are_unique_and_repeated_tokens_change_nothing() {
    let (plane, _dir) = plane().await;
    let mut body = document("pool");
    body["clientToken"] = json!(TOKEN);
    let first = plane.call("PUT", "/capacity-providers", &body).await.is(202);
    assert_eq!(plane.call("PUT", "/capacity-providers", &body).await.is(202), first);
    body["description"] = json!("other");
    let other = plane.call("PUT", "/capacity-providers", &body).await;
    assert_eq!((other.status, &other.body["reason"]), (400, &json!("IdempotentParameterMismatchException")));
    let taken = plane.call("PUT", "/capacity-providers", &document("pool")).await;
    taken.refuses(409, "ConflictException", "a capacity provider named pool already exists");

    let id = first["capacityProviderId"].as_str().unwrap();
    let path = format!("/capacity-providers/{id}?clientToken={TOKEN}");
    let want = json!({"capacityProviderId": id, "status": "DELETING"});
    assert_eq!(plane.call("DELETE", &path, &Value::Null).await.is(202), want);
    assert_eq!(plane.call("DELETE", &path, &Value::Null).await.is(202), want);
    let says = format!("capacity provider {id} does not exist");
    for (method, path, body) in [
        ("GET", format!("/capacity-providers/{id}"), Value::Null),
        ("PUT", format!("/capacity-providers/{id}"), json!({})),
        ("DELETE", format!("/capacity-providers/{id}"), Value::Null),
    ] {
        plane.call(method, &path, &body).await.refuses(404, "ResourceNotFoundException", &says);
    }
    // The operation has no such error.
    let versions = plane.call("POST", &format!("/capacity-providers/{id}/runtime-versions"), &Value::Null).await;
    assert_eq!(versions.is(200), json!({"agentRuntimes": []}));
}

#[tokio::test]
async fn they_are_listed_in_pages() {
    let (plane, _dir) = plane().await;
    let mut want = Vec::new();
    for name in ["a", "b", "c"] {
        want.push(create(&plane, name).await);
    }
    want.sort();
    let (mut got, mut token) = (Vec::new(), String::new());
    loop {
        let page = plane.call("POST", &format!("/capacity-providers?maxResults=1{token}"), &Value::Null).await.is(200);
        got.push(page["capacityProviders"][0]["capacityProviderId"].as_str().unwrap().to_owned());
        match page.get("nextToken") {
            Some(next) => token = format!("&nextToken={}", next.as_str().unwrap()),
            None => break,
        }
    }
    assert_eq!(got, want);
    let foreign = plane.call("POST", &format!("/runtimes/?maxResults=1{token}"), &Value::Null).await;
    assert_eq!((foreign.status, &foreign.body["fieldList"][0]["name"]), (400, &json!("nextToken")));
}

#[tokio::test]
async fn every_rule_of_the_document_is_checked() {
    let (plane, _dir) = plane().await;
    let compute = "computeConfiguration.ec2Configuration";
    let parameters = format!("{compute}.launchTemplateSource.launchParameters");
    for (path, value) in [
        ("name".to_owned(), json!("a-b")),
        ("description".to_owned(), json!("")),
        ("permissionsConfiguration".to_owned(), Value::Null),
        ("permissionsConfiguration.capacityProviderOperatorRoleArn".to_owned(), json!("arn:aws:iam::1:role/x")),
        ("computeConfiguration".to_owned(), json!({})),
        (format!("{parameters}.operatingSystem"), json!("WINDOWS")),
        (format!("{parameters}.instanceRequirements.allowedInstanceTypes"), json!([])),
        (format!("{parameters}.sshKeyName"), json!(" x")),
        (format!("{compute}.vpcConfiguration.subnets"), json!(vec!["subnet-01234567"; 17])),
        (format!("{compute}.volumes"), json!([{}, {}, {}, {}, {}, {}])),
        (format!("{compute}.lifecycleConfiguration.maxLifetime"), json!(59)),
        (format!("{compute}.rootVolume.freeSpaceGiB"), json!(1)),
    ] {
        let mut body = document("pool");
        *body.pointer_mut(&format!("/{}", path.replace('.', "/"))).unwrap() = value;
        let answer = plane.call("PUT", "/capacity-providers", &body).await;
        assert_eq!((answer.status, &answer.body["fieldList"][0]["name"]), (400, &json!(path)), "{answer:?}");
    }
    assert_eq!(plane.get("/capacity-providers/short").await.body["fieldList"][0]["name"], "capacityProviderId");
}
