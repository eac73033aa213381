//! The futures of the public API, as a test starts them.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream as _;
use steadfast::centrifuge::{Call, Publish, SendResult, SubscriptionEvent};
use steadfast::error::RequestError;

use super::world::Handles;

/// The idempotency key of the publication that is dropped.
pub(super) const DROPPED: &str = "dropped";
/// The channel of the subscription that is dropped.
pub(super) const GONE: &str = "gone";
/// The method or the channel of the call that is dropped.
pub(super) const CALL: &str = "call";

/// A receipt of any kind.
pub(super) type Outcome = Pin<Box<dyn Future<Output = SendResult>>>;

fn boxed(receipt: impl Future<Output = SendResult> + 'static) -> Outcome {
    Box::pin(receipt)
}

/// What a future completed with, as far as it has to be checked.
pub(super) enum Completed {
    Receipt(Result<Outcome, RequestError>),
    Outcome(SendResult),
    Event(Option<SubscriptionEvent>),
    Closed,
    Other,
}

pub(super) type Started<'a> = Pin<Box<dyn Future<Output = Completed> + 'a>>;

/// A future of the public API.
pub(super) struct Case {
    /// How the public API names it.
    pub(super) name: &'static str,
    pub(super) start: for<'a> fn(&'a mut Handles) -> Started<'a>,
}

pub(super) const READY: Case = Case {
    name: "steadfast::Client::ready",
    start: |it| {
        Box::pin(async {
            let _ = it.client.ready(Duration::from_mins(1)).await;
            Completed::Other
        })
    },
};
pub(super) const RPC: Case = Case {
    name: "steadfast::Client::rpc",
    start: |it| {
        Box::pin(async {
            let _ = it.client.rpc(CALL, &1).await;
            Completed::Other
        })
    },
};
pub(super) const HISTORY: Case = Case {
    name: "steadfast::centrifuge::History::fetch",
    start: |it| {
        Box::pin(async {
            let _ = it.client.history(CALL).fetch().await;
            Completed::Other
        })
    },
};
pub(super) const PRESENCE: Case = Case {
    name: "steadfast::Client::presence",
    start: |it| {
        Box::pin(async {
            let _ = it.client.presence(CALL).await;
            Completed::Other
        })
    },
};
pub(super) const PRESENCE_STATS: Case = Case {
    name: "steadfast::Client::presence_stats",
    start: |it| {
        Box::pin(async {
            let _ = it.client.presence_stats(CALL).await;
            Completed::Other
        })
    },
};
pub(super) const CLOSE: Case = Case {
    name: "steadfast::Client::close",
    start: |it| {
        Box::pin(async {
            it.client.close(Duration::ZERO).await.unwrap();
            Completed::Closed
        })
    },
};
pub(super) const SEND: Case = Case {
    name: "steadfast::centrifuge::Message::send",
    start: |it| {
        let message = it.client.message("news", &1).key(DROPPED);
        Box::pin(async {
            let sent = message.send().await;
            Completed::Receipt(sent.map(boxed))
        })
    },
};
pub(super) const NEXT: Case = Case {
    name: "steadfast::Subscription::next",
    start: |it| Box::pin(async { Completed::Event(it.subscription.next().await) }),
};
pub(super) const STREAM: Case = Case {
    name: "Stream for steadfast::Subscription",
    start: |it| {
        Box::pin(async {
            let subscription = &mut it.subscription;
            let event = poll_fn(|context| Pin::new(&mut *subscription).poll_next(context));
            Completed::Event(event.await)
        })
    },
};
/// A call of any kind.
pub(super) const ANY_CALL: Case = Case {
    name: "steadfast::Client::call",
    start: |it| {
        Box::pin(async {
            let channel = CALL.to_owned();
            let _ = it.client.call(Call::Presence { channel }).await;
            Completed::Other
        })
    },
};
/// A message of any kind.
pub(super) const SEND_MESSAGE: Case = Case {
    name: "steadfast::Client::send_message",
    start: |it| {
        Box::pin(async {
            let sent = it.client.send_message(publish(DROPPED), None).await;
            Completed::Receipt(sent.map(boxed))
        })
    },
};
/// The receipt of a message of any kind, which is sent in any case.
pub(super) const MESSAGE_RECEIPT: Case = Case {
    name: "Future for steadfast::Receipt",
    start: |it| match it.client.send_message_now(publish("other"), None) {
        Ok(receipt) => Box::pin(async { Completed::Outcome(receipt.await) }),
        Err(_) => Box::pin(async { Completed::Other }),
    },
};
pub(super) const RECEIPT: Case = Case {
    name: "Future for steadfast::centrifuge::MessageReceipt",
    start: |it| {
        Box::pin(async {
            let outcome = it.receipt.as_mut().unwrap().await;
            it.receipt = None;
            Completed::Outcome(outcome)
        })
    },
};
/// The receipt itself is dropped, not only a reference to it.
pub(super) const OWNED_RECEIPT: Case = Case {
    name: RECEIPT.name,
    start: |it| Box::pin(async { Completed::Outcome(it.receipt.take().unwrap().await) }),
};
/// The subscription itself is dropped.
pub(super) const OWNED_SUBSCRIPTION: Case = Case {
    name: NEXT.name,
    start: |it| {
        Box::pin(async {
            let _ = it.client.subscribe(GONE).next().await;
            Completed::Other
        })
    },
};

pub(super) const CASES: [Case; 15] = [
    ANY_CALL,
    SEND_MESSAGE,
    MESSAGE_RECEIPT,
    READY,
    RPC,
    HISTORY,
    PRESENCE,
    PRESENCE_STATS,
    CLOSE,
    SEND,
    NEXT,
    STREAM,
    RECEIPT,
    OWNED_RECEIPT,
    OWNED_SUBSCRIPTION,
];

fn publish(idempotency_key: &str) -> Publish {
    let data = Bytes::from_static(b"1");
    Publish::new("news".into(), data, idempotency_key.to_owned())
}
