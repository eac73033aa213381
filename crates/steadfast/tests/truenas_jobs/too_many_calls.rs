//! More calls than the server permits for a connection.

use steadfast::jsonrpc::Class;
use steadfast::truenas::CALLS_IN_FLIGHT_MAX;
use tokio::task::JoinSet;

use crate::nas::{Nas, policy, within};

#[tokio::test]
async fn calls_above_the_limit_of_the_server_all_succeed() {
    let nas = Nas::start(policy()).await;
    let client = nas.client();
    // The limit of the session is far above that of the server.
    let mut calls = JoinSet::new();
    for _ in 0..3 * CALLS_IN_FLIGHT_MAX {
        let client = client.clone();
        calls.spawn(async move {
            let call = client.method("core.ping").class(Class::Write);
            call.request::<String>(&()).await
        });
    }

    let replies = within(calls.join_all()).await;
    assert!(replies.iter().all(Result::is_ok), "{replies:?}");
}
