//! Splits of endpoints, settings of versions, differences and rollbacks, through the operator API.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use http::Method;
use innkeep_server::Config;
use serde_json::{Value, json};

use crate::wire::{Draft, SOON};
use crate::world::World;

/// Sends a signed request; returns status and body.
async fn ask(world: &World, method: Method, target: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let digest = innkeep_auth::digest(body.as_bytes());
    let head = world.sign(Draft { method, target: target.to_owned(), digest, headers: Vec::new() });
    let mut wire = world.wire().await;
    wire.send(format!("{head}content-length: {}\r\n\r\n{body}", body.len())).await;
    let answer = wire.answer().await.unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

/// Returns the runtime, once it and its endpoints are READY.
async fn ready(world: &World) -> Value {
    let asked = async {
        loop {
            let (_, listed) = ask(world, Method::GET, "/innkeep/v1/runtimes?name=counter", &Value::Null).await;
            let runtime = listed["runtimes"][0].clone();
            let endpoints = runtime["endpoints"].as_array().unwrap();
            if runtime["status"] == "READY" && endpoints.iter().all(|endpoint| endpoint["status"] == "READY") {
                return runtime;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SOON, asked).await.expect("the runtime becomes READY")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_shown_and_a_change_of_them_is_a_version_that_is_made() {
    let world = World::new(Config::default()).await;
    let id = ready(&world).await["id"].as_str().unwrap().to_owned();
    let path = format!("/innkeep/v1/runtimes/{id}/settings");
    assert_eq!(ask(&world, Method::GET, &path, &Value::Null).await, (200, json!({})));
    let asked = json!({"start_timeout_secs": 20, "header_aliases": false});
    let (status, accepted) = ask(&world, Method::PUT, &path, &asked).await;
    assert_eq!((status, &accepted["agentRuntimeVersion"], &accepted["status"]), (202, &json!("2"), &json!("UPDATING")));
    assert_eq!(ask(&world, Method::GET, &path, &Value::Null).await, (200, asked.clone()));
    let runtime = ready(&world).await;
    assert_eq!((&runtime["settings"], &runtime["endpoints"][0]["liveVersion"]), (&asked, &json!(2)));

    for (body, at) in
        [(json!({"memory_mib": 1}), "memory_mib"), (json!({"memory": 64}), "memory"), (json!({"health": 1}), "health")]
    {
        let (status, refused) = ask(&world, Method::PUT, &path, &body).await;
        assert_eq!((status, &refused["fieldList"][0]["name"]), (400, &json!(at)), "{refused}");
    }
    let many: serde_json::Map<_, _> = (0..101).map(|n| (n.to_string(), json!(1))).collect();
    let (status, refused) = ask(&world, Method::PUT, &path, &Value::Object(many)).await;
    assert_eq!((status, refused["fieldList"].as_array().unwrap().len()), (400, 1));
    assert_eq!(ask(&world, Method::PUT, &path, &json!([])).await.0, 400);
    for method in [Method::GET, Method::PUT] {
        let absent = "/innkeep/v1/runtimes/gone-0123456789/settings";
        assert_eq!(ask(&world, method.clone(), absent, &json!({})).await.0, 404, "{method}");
        assert_eq!(ask(&world, method, "/innkeep/v1/runtimes/gone/settings", &json!({})).await.0, 400);
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_named_endpoint_is_split_and_put_together_again() {
    let world = World::new(Config::default()).await;
    let id = ready(&world).await["id"].as_str().unwrap().to_owned();
    let settings = format!("/innkeep/v1/runtimes/{id}/settings");
    assert_eq!(ask(&world, Method::PUT, &settings, &json!({"start_timeout_secs": 20})).await.0, 202);
    let endpoint = json!({"name": "prod", "agentRuntimeVersion": "1"});
    let endpoints = format!("/runtimes/{id}/runtime-endpoints/");
    assert_eq!(ask(&world, Method::PUT, &endpoints, &endpoint).await.0, 202);
    let runtime = ready(&world).await;
    let whole = json!({"name": "prod", "liveVersion": 1, "targetVersion": 1, "status": "READY"});
    assert_eq!(runtime["endpoints"][1], whole);

    let path = format!("/innkeep/v1/runtimes/{id}/endpoints/prod/split");
    let split = async |weights: Value| ask(&world, Method::PUT, &path, &json!({"weights": weights})).await;
    let parts = json!({"1": 10, "2": 90});
    let view = json!({"name": "prod", "liveVersion": 2, "targetVersion": 2, "split": parts, "status": "READY"});
    assert_eq!(split(parts).await, (200, view.clone()));
    assert_eq!(ready(&world).await["endpoints"][1], view);

    for (weights, status) in [
        (json!({"1": 1001}), 400),
        (json!({"1": -1}), 400),
        (json!({"1": 0, "2": 0}), 400),
        (json!({}), 400),
        (json!({"one": 1}), 400),
        (json!([1]), 400),
        ((1..12).map(|n| (n.to_string(), json!(1))).collect::<serde_json::Map<_, _>>().into(), 400),
        (json!({"0": 1}), 400),
        (json!({"99999": 1}), 404),
        (json!({"1": 1, "9": 1}), 404),
    ] {
        let (found, refused) = split(weights.clone()).await;
        assert_eq!(found, status, "{weights}: {refused}");
    }
    let (status, refused) =
        ask(&world, Method::PUT, &path.replace("prod", "DEFAULT"), &json!({"weights": {"1": 1}})).await;
    assert!(status == 409 && refused["message"].as_str().unwrap().contains("innkeep rollback counter"), "{refused}");
    assert_eq!(ask(&world, Method::PUT, &path.replace("prod", "none"), &json!({"weights": {"1": 1}})).await.0, 404);
    assert_eq!(ready(&world).await["endpoints"][1], view, "what was refused changed nothing");

    assert_eq!(split(json!({"1": 5})).await, (200, whole));
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_is_moved_to_the_bundle_of_its_version_and_to_nothing_else() {
    let world = World::new(Config::default()).await;
    let id = ready(&world).await["id"].as_str().unwrap().to_owned();
    let endpoints = format!("/runtimes/{id}/runtime-endpoints/");
    // As with a tag or an object that is gone: a new version could not be made of it.
    for manifest in fs::read_dir(world.artifacts().join("manifests")).unwrap() {
        fs::remove_file(manifest.unwrap().path()).unwrap();
    }
    let endpoint = json!({"name": "prod", "agentRuntimeVersion": "1"});
    assert_eq!(ask(&world, Method::PUT, &endpoints, &endpoint).await.0, 202);
    assert_eq!(ready(&world).await["endpoints"][1]["liveVersion"], 1);

    let bundle = fs::read_dir(world.artifacts().join("bundles")).unwrap().next().unwrap().unwrap().path();
    fs::set_permissions(&bundle, Permissions::from_mode(0o755)).unwrap();
    let record = fs::read(bundle.join("bundle.json")).unwrap();
    fs::remove_file(bundle.join("bundle.json")).unwrap();
    let path = format!("{endpoints}prod/");
    assert_eq!(ask(&world, Method::PUT, &path, &json!({"agentRuntimeVersion": "1"})).await.0, 202);
    let failed = async {
        loop {
            let (_, shown) = ask(&world, Method::GET, &path, &Value::Null).await;
            if shown["status"] != "UPDATING" {
                return shown;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    let failed = tokio::time::timeout(SOON, failed).await.expect("the move ends");
    assert_eq!(failed["status"], "UPDATE_FAILED");
    let failure = format!("/innkeep/v1/runtimes/{id}/failure");
    let why = json!({"failureReason": failed["failureReason"], "logTail": []});
    assert_eq!(ask(&world, Method::GET, &format!("{failure}?endpoint=prod"), &Value::Null).await, (200, why));
    let newest = json!({"failureReason": null, "logTail": []});
    assert_eq!(ask(&world, Method::GET, &failure, &Value::Null).await, (200, newest));
    assert_eq!(ask(&world, Method::GET, &format!("{failure}?endpoint=none"), &Value::Null).await.0, 404);

    let split = format!("/innkeep/v1/runtimes/{id}/endpoints/prod/split");
    let (status, refused) = ask(&world, Method::PUT, &split, &json!({"weights": {"1": 1}})).await;
    let says = format!("version 1 of agent runtime {id} cannot be run on this host");
    assert!(status == 409 && refused["message"].as_str().unwrap().starts_with(&says), "{refused}");
    fs::write(bundle.join("bundle.json"), record).unwrap();
    assert_eq!(ask(&world, Method::PUT, &split, &json!({"weights": {"1": 1}})).await.0, 200);
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn versions_are_compared_and_gone_back_to() {
    let world = World::new(Config::default()).await;
    let id = ready(&world).await["id"].as_str().unwrap().to_owned();
    let base = format!("/innkeep/v1/runtimes/{id}");
    let ask =
        async |method: Method, path: &str, body: Value| ask(&world, method, &format!("{base}/{path}"), &body).await;
    assert_eq!(ask(Method::POST, "rollback", Value::Null).await.0, 404, "there is nothing before");
    assert_eq!(ask(Method::PUT, "settings", json!({"start_timeout_secs": 20})).await.0, 202);
    ready(&world).await;
    let differences = json!([{"path": "settings.start_timeout_secs", "after": 20}]);
    let compared = json!({"from": 1, "to": 2, "differences": differences});
    assert_eq!(ask(Method::GET, "versions/diff?from=1&to=2", Value::Null).await, (200, compared));

    let (status, accepted) = ask(Method::POST, "rollback", Value::Null).await;
    assert_eq!((status, &accepted["agentRuntimeVersion"]), (202, &json!("3")));
    let runtime = ready(&world).await;
    assert_eq!((&runtime["settings"], &runtime["endpoints"][0]["liveVersion"]), (&json!({}), &json!(3)));
    let same = json!({"from": 1, "to": 3, "differences": []});
    assert_eq!(ask(Method::GET, "versions/diff?from=1", Value::Null).await, (200, same));

    for body in [json!([]), json!({"version": "1"}), json!({"versoin": 1}), json!({"endpoint": "a b"})] {
        assert_eq!(ask(Method::POST, "rollback", body.clone()).await.0, 400, "{body}");
    }
    assert_eq!(ask(Method::GET, "versions/diff?from=x", Value::Null).await.0, 400);
    world.finish().await;
}
