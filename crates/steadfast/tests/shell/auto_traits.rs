//! Which types and futures can be sent to other tasks, shared between them, and polled without pinning. The compiler
//! checks this; the tests check that no type is missing.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use steadfast::SessionEvent;
use steadfast::centrifuge::{Call, Client, Publish, Subscription, SubscriptionEvent};
use steadfast::jsonrpc::CallRequest;
use steadfast::{jsonrpc, truenas, websocket};
use tower::Service as _;

use crate::public_api::{futures, types, without_generics};

/// The types in full, which a module without other imports permits.
mod required {
    use steadfast::centrifuge::Centrifuge;

    /// Requires the traits of each type, and lists the types.
    macro_rules! require {
        ($($name:ty: $first:ident $(+ $bound:ident)*;)*) => {
            $(const _: () = {
                const fn has<T: $first $(+ $bound)*>() {}
                has::<$name>();
            };)*
            /// The types, as they are written here.
            pub(super) const TYPES: &[&str] = &[$(stringify!($name)),*];
        };
    }

    require! {
        steadfast::Builder<Centrifuge>: Send + Sync + Unpin;
        steadfast::Client<Centrifuge>: Send + Sync + Unpin;
        steadfast::DialLimit: Send + Sync + Unpin;
        steadfast::Driver<Centrifuge>: Send + Unpin;
        steadfast::Endpoint: Send + Sync + Unpin;
        steadfast::Overflow: Send + Sync + Unpin;
        steadfast::ReadinessCheck: Send + Sync + Unpin;
        steadfast::Receipt<Centrifuge>: Send + Sync + Unpin;
        steadfast::StageTimeouts: Send + Sync + Unpin;
        steadfast::Subscription<Centrifuge>: Send + Sync + Unpin;
        steadfast::centrifuge::History<'static>: Send + Sync + Unpin;
        steadfast::centrifuge::Message<'static>: Send + Sync + Unpin;
        steadfast::centrifuge::MessageReceipt: Send + Sync + Unpin;
        steadfast::error::BuildError: Send + Sync + Unpin;
        steadfast::error::CloseError: Send + Sync + Unpin;
        steadfast::error::EndpointError: Send + Sync + Unpin;
        steadfast::error::NotReady: Send + Sync + Unpin;
        steadfast::error::ProxyError: Send + Sync + Unpin;
        steadfast::error::RequestError: Send + Sync + Unpin;
        steadfast::jsonrpc::CallFuture: Send + Sync + Unpin;
        steadfast::jsonrpc::CallRequest: Send + Sync + Unpin;
        steadfast::jsonrpc::CallService: Send + Sync + Unpin;
        steadfast::jsonrpc::Error: Send + Sync + Unpin;
        steadfast::jsonrpc::MethodRequest<'static>: Send + Sync + Unpin;
        steadfast::truenas::Builder: Send + Sync + Unpin;
        steadfast::truenas::Client: Send + Sync + Unpin;
        steadfast::truenas::Collection: Send + Sync + Unpin;
        steadfast::truenas::CollectionEvent: Send + Sync + Unpin;
        steadfast::truenas::Job: Send + Sync + Unpin;
        steadfast::truenas::Jobs: Send + Sync + Unpin;
        steadfast::truenas::JobsClosed: Send + Sync + Unpin;
        steadfast::truenas::LoginLimit: Send + Sync + Unpin;
        steadfast::truenas::SecretError: Send + Sync + Unpin;
        steadfast::websocket::Event: Send + Sync + Unpin;
        steadfast::websocket::Inbox: Send + Sync + Unpin;
    }
}

const fn is_send<T: Send>() {}
const fn is_stream<T: Stream<Item = I> + Unpin, I>() {}

/// Requires that a future can be sent, and returns its name.
fn sendable<F: Future + Send>(name: &'static str, _future: F) -> String {
    name.to_owned()
}

#[test]
fn every_public_type_says_whether_it_can_be_sent_and_shared() {
    const { is_send::<SessionEvent>() };

    let required: BTreeSet<String> = required::TYPES
        .iter()
        .map(|it| without_generics(it))
        .collect();

    assert_eq!(required, types());
}

/// Jobs are driven by a task.
#[tokio::test]
async fn every_future_can_be_sent_to_another_task() {
    const { is_stream::<Subscription, SubscriptionEvent>() };
    const { is_stream::<truenas::Collection, truenas::CollectionEvent>() };
    const { is_stream::<websocket::Inbox, websocket::Event>() };
    let builder = websocket::Client::builder("ws://127.0.0.1:9").unwrap();
    let (any, _driver) = builder.build().unwrap();
    let mut inbox = any.receive();
    let builder = jsonrpc::Client::builder("ws://127.0.0.1:9").unwrap();
    let (rpc, _driver) = builder.build().unwrap();
    let builder = Client::builder("ws://127.0.0.1:9").unwrap();
    let (client, driver) = builder.build().unwrap();
    let mut subscription = client.subscribe("news");
    let publication_receipt = client.publish("news", &1).unwrap();
    let receipt = client.send_message_now(publish(), None).unwrap();
    let call = Call::Presence {
        channel: "news".to_owned(),
    };

    let mut names = BTreeSet::from([
        sendable("steadfast::Client::ready", client.ready(Duration::ZERO)),
        sendable("steadfast::Client::rpc", client.rpc("method", &1)),
        sendable(
            "steadfast::centrifuge::History::fetch",
            client.history("news").fetch(),
        ),
        sendable("steadfast::Client::presence", client.presence("news")),
        sendable(
            "steadfast::Client::presence_stats",
            client.presence_stats("news"),
        ),
        sendable("steadfast::Client::close", client.close(Duration::ZERO)),
        sendable(
            "steadfast::centrifuge::Message::send",
            client.message("news", &1).send(),
        ),
        sendable("steadfast::Subscription::next", subscription.next()),
        sendable("Future for steadfast::Driver", driver),
        sendable("Future for steadfast::Receipt", receipt),
        sendable(
            "Future for steadfast::centrifuge::MessageReceipt",
            publication_receipt,
        ),
        sendable(
            "steadfast::Client::send_message",
            client.send_message(publish(), None),
        ),
        sendable("steadfast::Client::call", client.call(call)),
        sendable("steadfast::Client::send_text", any.send_text("text")),
        sendable(
            "steadfast::Client::send_binary",
            any.send_binary(Bytes::new()),
        ),
        sendable("steadfast::websocket::Inbox::next", inbox.next()),
        "Stream for steadfast::Subscription".to_owned(),
        "Stream for steadfast::websocket::Inbox".to_owned(),
    ]);

    names.extend(futures_of_jsonrpc(&rpc));
    names.extend(futures_of_truenas(&rpc).await);
    assert_eq!(names, futures());
}

fn futures_of_jsonrpc(client: &jsonrpc::Client) -> [String; 5] {
    [
        sendable(
            "steadfast::Client::request",
            client.request::<u8>("method", &1),
        ),
        sendable("steadfast::Client::notify", client.notify("method", &1)),
        sendable(
            "steadfast::jsonrpc::MethodRequest::request",
            client.method("method").request::<u8>(&1),
        ),
        sendable(
            "steadfast::jsonrpc::MethodRequest::request_raw",
            client.method("method").request_raw(Bytes::new()),
        ),
        sendable(
            "Future for steadfast::jsonrpc::CallFuture",
            client
                .service()
                .call(CallRequest::raw("method", Bytes::new())),
        ),
    ]
}

async fn futures_of_truenas(client: &jsonrpc::Client) -> [String; 6] {
    let jobs = truenas::Jobs::spawn(client.clone());
    let mut job = jobs.start("method", &[1]).await.unwrap();
    let mut other = jobs.start("method", &[1]).await.unwrap();
    let aborted = jobs.start("method", &[1]).await.unwrap();
    let mut changes = truenas::collection(client, "pool.query");
    [
        sendable(
            "steadfast::truenas::Jobs::start",
            jobs.start("method", &[1]),
        ),
        sendable("steadfast::truenas::Job::abort", aborted.abort()),
        sendable("steadfast::truenas::Job::end", other.end()),
        sendable(
            "steadfast::truenas::Job::next_progress",
            job.next_progress(),
        ),
        sendable("steadfast::truenas::Collection::next", changes.next()),
        "Stream for steadfast::truenas::Collection".to_owned(),
    ]
}

fn publish() -> Publish {
    let data = Bytes::from_static(b"1");
    Publish::new("news".into(), data, "key".to_owned())
}
