//! The changes of collections.

use serde::Serialize;
use steadfast::truenas::{ChangeKind, CollectionEvent, Errno, collection};

use crate::nas::{Nas, policy, within};

#[derive(Serialize)]
struct Dataset {
    name: &'static str,
}

#[tokio::test]
async fn a_collection_reports_changes_a_gap_after_a_lost_connection_and_its_end() {
    let nas = Nas::start(policy()).await;
    let client = nas.client();
    let mut datasets = collection(&client, "pool.dataset.query");
    assert_eq!(within(datasets.next()).await, Some(CollectionEvent::Began));

    let name = "tank/a";
    let params = (Dataset { name },);
    let created = client.request::<serde_json::Value>("pool.dataset.create", &params);
    within(created).await.expect("created");
    let Some(CollectionEvent::Changed(change)) = within(datasets.next()).await else {
        panic!("no change");
    };
    assert_eq!(change.kind, ChangeKind::Added);
    assert_eq!(change.id, br#""tank/a""#.as_slice());

    nas.post("cut-connections").await;
    assert_eq!(within(datasets.next()).await, Some(CollectionEvent::Gap));

    nas.post("end-subscriptions/pool.dataset.query").await;
    let end = within(datasets.next()).await;
    let Some(CollectionEvent::Ended(error)) = end else {
        panic!("{end:?}");
    };
    assert_ne!(error.errno, Some(Errno::NotAuthenticated));
    assert_eq!(within(datasets.next()).await, None);
}
