//! Quotas other than the contract's.

use innkeep_store::{Quotas, Store};
use innkeep_types::ErrorKind;

use crate::fixture::{Fixture, at, config, new, ready};

#[tokio::test]
async fn quotas_are_those_that_the_store_is_opened_with() {
    let mut f = Fixture::new().await;
    let runtime = f.ready("hello").await;
    f.add(&runtime, ready()).await;
    f.store.close().await.unwrap();
    let quotas = Quotas { runtimes: 2, versions: 3, ..Quotas::default() };
    f.store = Store::open_with(f.dir.path(), quotas).await.unwrap();
    f.ready("second").await;
    f.add(&runtime, ready()).await;
    let third = f.store.create_runtime(new("third")).await.unwrap_err();
    let fourth = f.store.add_version(&runtime, config(), None, None, at(1)).await.unwrap_err();
    assert_eq!((third.kind(), fourth.kind()), (ErrorKind::Quota, ErrorKind::Quota));

    // What is there beyond a lower one stays.
    f.store.close().await.unwrap();
    f.store = Store::open_with(f.dir.path(), Quotas { runtimes: 1, versions: 1, ..quotas }).await.unwrap();
    assert_eq!(f.store.list_runtimes(None, 9).await.unwrap().len(), 2);
    assert_eq!(f.store.page_versions(&runtime, None, 9).await.unwrap().len(), 3);
    assert_eq!(f.store.create_runtime(new("third")).await.unwrap_err().kind(), ErrorKind::Quota);
}
