//! Tests of what a client rejects itself: it fails at once, alone, and nothing of it reaches a server.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use steadfast::centrifuge::{
    CallError, Client, SendError, Subscription, SubscriptionEvent, UnsubscribeCause,
};
use steadfast::defaults::SUBSCRIPTIONS_MAX;
use steadfast::dialect::Unsendable;
use tokio::net::TcpListener;

use crate::peer::serve_connection;

/// Nothing listens there.
const URL: &str = "ws://127.0.0.1:9";

/// A client without a connection.
fn unconnected() -> Client {
    let (client, driver) = Client::builder(URL).unwrap().build().unwrap();
    tokio::spawn(driver);
    client
}

/// Waits until the driver has received all earlier commands, by a subscription that ends at once.
async fn synchronize(client: &Client) {
    let _first = client.subscribe("synchronize");
    let mut second = client.subscribe("synchronize");
    second.next().await;
}

async fn is_active(subscription: &mut Subscription) -> bool {
    let mut next = pin!(subscription.next());
    poll_fn(|context| Poll::Ready(next.as_mut().poll(context).is_pending())).await
}

#[tokio::test]
async fn a_subscription_above_the_limit_ends_with_it_and_a_dropped_one_leaves_its_place() {
    let client = unconnected();
    let name = |number: usize| format!("channel-{number}");
    let mut subscriptions: Vec<_> = (0..SUBSCRIPTIONS_MAX)
        .map(|number| client.subscribe(&name(number)))
        .collect();

    let mut above = client.subscribe("above");
    let expected = UnsubscribeCause::TooMany(SUBSCRIPTIONS_MAX);
    let event = above.next().await;
    assert_eq!(
        event,
        Some(SubscriptionEvent::Unsubscribed(expected.clone()))
    );
    assert_eq!(above.next().await, None);
    assert_eq!(
        expected.to_string(),
        "the limit of 128 subscriptions is reached"
    );

    drop(subscriptions.pop());
    let mut next = client.subscribe("above");
    synchronize(&client).await;
    assert!(is_active(&mut next).await);
    for subscription in &mut subscriptions {
        assert!(is_active(subscription).await);
    }
}

#[tokio::test]
async fn a_name_that_is_too_long_fails_alone_in_every_request() {
    let client = unconnected();
    let name = "n".repeat(256);
    let too_long = || Unsendable::NameTooLong {
        bytes: 256,
        bytes_max: 255,
    };

    let published = client.publish(&name, &1).unwrap().await;
    let history = client.history(&name).fetch().await;
    let presence = client.presence(&name).await;
    let stats = client.presence_stats(&name).await;
    let subscribed = client.subscribe(&name).next().await;

    assert_eq!(published, Err(SendError::Unsendable(too_long())));
    let failed = CallError::Unsendable(too_long());
    assert_eq!(history.unwrap_err(), failed);
    assert_eq!(presence.unwrap_err(), failed);
    assert_eq!(stats.unwrap_err(), failed);
    let ended = UnsubscribeCause::Unsendable(too_long());
    assert_eq!(subscribed, Some(SubscriptionEvent::Unsubscribed(ended)));
}

#[tokio::test]
async fn an_argument_that_is_no_json_fails_the_call_with_the_reason() {
    let client = unconnected();
    let argument = BTreeMap::from([((1, 2), 3)]);

    let called = client.rpc("method", &argument).await;

    let Err(CallError::Unsendable(Unsendable::Unserializable(reason))) = &called else {
        panic!("{called:?}");
    };
    assert_eq!(reason, "key must be a string");
}

#[tokio::test]
async fn a_larger_message_is_sent_to_a_server_that_accepts_it() {
    let data = "d".repeat(100 << 10);
    for (bytes_max, is_sent) in [(None, false), (Some(200 << 10), true)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let mut builder = Client::builder(&url).unwrap();
        if let Some(bytes_max) = bytes_max {
            builder = builder.sent_message_bytes_max(bytes_max);
        }
        let (client, driver) = builder.build().unwrap();
        tokio::spawn(driver);
        let server = tokio::spawn(async move { serve_connection(&listener, |_| {}).await });

        let published = client.publish("news", &data).unwrap().await;
        let called = client.rpc("method", &data).await;
        let small = client.publish("news", &1).unwrap().await;

        assert_eq!((published.is_ok(), called.is_ok()), (is_sent, is_sent));
        let is_too_large =
            |it| matches!(it, Some(SendError::Unsendable(Unsendable::TooLarge { .. })));
        assert_eq!(is_too_large(published.err()), !is_sent);
        assert!(small.is_ok(), "{small:?}");
        client.close(Duration::ZERO).await.unwrap();
        // The same connection until the end.
        assert_eq!(server.await.unwrap(), Some(1_000));
    }
}
