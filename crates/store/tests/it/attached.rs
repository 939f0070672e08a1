//! What is attached to resources, and capacity providers.

use std::collections::BTreeMap;

use innkeep_store::{Error, Tagged};
use innkeep_types::{ErrorKind, RuntimeId};

use crate::fixture::{Fixture, at, capacity_provider, endpoint, new, new_endpoint, token};

type Tags = BTreeMap<String, String>;

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Returns a runtime with an endpoint `prod`, and a capacity provider.
async fn every_kind(f: &Fixture) -> (RuntimeId, [Tagged; 3]) {
    let runtime = f.ready("hello").await;
    f.store.create_endpoint(new_endpoint(&runtime, "prod", None)).await.unwrap();
    let provider = f.store.create_capacity_provider(capacity_provider("pool", 0)).await.unwrap();
    let tagged = [
        Tagged::Runtime(runtime.clone()),
        Tagged::Endpoint(runtime.clone(), endpoint("prod")),
        Tagged::CapacityProvider(provider.id),
    ];
    (runtime, tagged)
}

#[tokio::test]
async fn tags_of_every_kind_of_resource_are_changed() {
    let f = Fixture::new().await;
    let (_, all) = every_kind(&f).await;
    let first = [tags(&[("team", "a")]), tags(&[("team", "b")]), tags(&[])];
    for (of, first) in all.into_iter().zip(first) {
        assert_eq!(f.store.get_tags(of.clone()).await.unwrap(), Some(first));
        f.store.change_tags(of.clone(), vec![], tags(&[("team", "c"), ("aws:x", "")])).await.unwrap();
        assert_eq!(f.store.get_tags(of.clone()).await.unwrap(), Some(tags(&[("team", "c"), ("aws:x", "")])));
        f.store.change_tags(of.clone(), vec!["team".to_owned(), "none".to_owned()], Tags::new()).await.unwrap();
        assert_eq!(f.store.get_tags(of.clone()).await.unwrap(), Some(tags(&[("aws:x", "")])));
        let many: Tags = (0..50).map(|n| (n.to_string(), String::new())).collect();
        let error = f.store.change_tags(of.clone(), vec![], many.clone()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Quota, "{error}");
        f.store.change_tags(of, vec!["aws:x".to_owned()], many).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_not_there_has_neither_tags_nor_policy() {
    let f = Fixture::new().await;
    let (known, unknown) = (f.ready("hello").await, new("gone").id);
    let provider = capacity_provider("pool", 0).record.id;
    for of in [
        Tagged::Runtime(unknown.clone()),
        Tagged::Endpoint(known.clone(), endpoint("prod")),
        Tagged::CapacityProvider(provider),
    ] {
        assert_eq!(f.store.get_tags(of.clone()).await.unwrap(), None);
        let error = f.store.change_tags(of, vec![], Tags::new()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    }
    let prod = endpoint("prod");
    for (runtime, endpoint) in [(&unknown, None), (&unknown, Some(&prod)), (&known, Some(&prod))] {
        for error in [
            f.store.put_policy(runtime, endpoint, "{}".to_owned(), at(0)).await.unwrap_err(),
            f.store.get_policy(runtime, endpoint).await.map(drop).unwrap_err(),
            f.store.delete_policy(runtime, endpoint).await.map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        }
    }
}

#[tokio::test]
async fn a_policy_is_kept_verbatim_and_goes_with_its_resource() {
    let f = Fixture::new().await;
    let (runtime, _) = every_kind(&f).await;
    let prod = endpoint("prod");
    let put = |endpoint, policy: &str| f.store.put_policy(&runtime, endpoint, policy.to_owned(), at(0));
    for endpoint in [None, Some(&prod)] {
        assert_eq!(f.store.get_policy(&runtime, endpoint).await.unwrap(), None);
        put(endpoint, "{ }").await.unwrap();
        put(endpoint, "{\n}").await.unwrap();
        assert_eq!(f.store.get_policy(&runtime, endpoint).await.unwrap().as_deref(), Some("{\n}"));
    }
    let tagged = |name: &str| Tagged::Endpoint(runtime.clone(), endpoint(name));
    let all = vec![Tagged::Runtime(runtime.clone()), tagged("prod"), tagged("none")];
    let attached = f.store.get_attached(all).await.unwrap();
    let policies: Vec<_> = attached.iter().map(|attached| attached.policy.as_deref()).collect();
    assert_eq!(policies, [Some("{\n}"), Some("{\n}"), None]);
    assert_eq!(attached[0].tags, f.store.get_tags(Tagged::Runtime(runtime.clone())).await.unwrap().unwrap());

    assert!(f.store.delete_policy(&runtime, None).await.unwrap());
    assert!(!f.store.delete_policy(&runtime, None).await.unwrap());
    assert!(f.store.get_policy(&runtime, Some(&prod)).await.unwrap().is_some());

    let moving = f.endpoint(&runtime, "prod").await.unwrap();
    assert!(f.store.finish_move(&moving, innkeep_store::Moved::Done, at(0)).await.unwrap());
    f.store.begin_delete_endpoint(&runtime, &prod, None, at(0)).await.unwrap();
    f.store.finish_delete_endpoint(&runtime, &prod).await.unwrap();
    f.store.create_endpoint(new_endpoint(&runtime, "prod", None)).await.unwrap();
    assert_eq!(f.store.get_policy(&runtime, Some(&prod)).await.unwrap(), None);

    let moving = f.endpoint(&runtime, "prod").await.unwrap();
    assert!(f.store.finish_move(&moving, innkeep_store::Moved::Done, at(0)).await.unwrap());
    put(None, "{}").await.unwrap();
    put(Some(&prod), "{}").await.unwrap();
    f.store.begin_delete(&runtime, None, None, at(0)).await.unwrap();
    f.store.finish_delete(&runtime, None).await.unwrap();
    let left: u32 = rusqlite::Connection::open(f.database())
        .unwrap()
        .query_row("SELECT count(*) FROM resource_policy", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn capacity_providers_are_kept_listed_described_and_removed() {
    let f = Fixture::new().await;
    let mut new = capacity_provider("pool", 2);
    new.token = token("t", "d");
    let first = f.store.create_capacity_provider(new.clone()).await.unwrap();
    let id = &first.id;
    assert_eq!(f.store.get_capacity_provider(id).await.unwrap(), Some(first.clone()));
    let taken = f.store.create_capacity_provider(capacity_provider("pool", 3)).await.unwrap_err();
    assert_eq!(
        (taken.kind(), taken.to_string().as_str()),
        (ErrorKind::Conflict, "a capacity provider named pool already exists")
    );
    let early = f.store.create_capacity_provider(capacity_provider("early", 1)).await.unwrap();
    let all = f.store.list_capacity_providers(None, 10).await.unwrap();
    assert_eq!(all, [early.clone(), first.clone()]);
    let rest = f.store.list_capacity_providers(Some((early.created_at, early.id)), 10).await.unwrap();
    assert_eq!(rest, std::slice::from_ref(&first));

    let update = |description, digest: &'static str| {
        f.store.update_capacity_provider(id, description, token("u", digest), at(5))
    };
    let described = update(Some(Some("big".to_owned())), "d").await.unwrap();
    assert_eq!((described.description.as_deref(), described.updated_at), (Some("big"), at(5)));
    assert_eq!(update(None, "d").await.unwrap(), described, "the first answer");
    assert!(matches!(update(None, "e").await, Err(Error::TokenMismatch)));
    let untouched = f.store.update_capacity_provider(id, None, None, at(6)).await.unwrap();
    assert_eq!(untouched.description.as_deref(), Some("big"));
    assert_eq!(f.store.update_capacity_provider(id, Some(None), None, at(7)).await.unwrap().description, None);

    assert_eq!(f.store.create_capacity_provider(new.clone()).await.unwrap(), first);
    f.store.delete_capacity_provider(id, token("t", "d"), at(8)).await.unwrap();
    f.store.delete_capacity_provider(id, token("t", "d"), at(9)).await.unwrap();
    for error in [
        f.store.delete_capacity_provider(id, None, at(9)).await.unwrap_err(),
        f.store.update_capacity_provider(id, None, None, at(9)).await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, Error::NoCapacityProvider(_)), "{error}");
    }
    assert_eq!(f.store.create_capacity_provider(new).await.unwrap().created_at, at(2), "made anew");
}
