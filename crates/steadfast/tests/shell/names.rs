//! Tests of the public API itself: types that a user meets can be named, and are sent to other tasks.

use futures_core::Stream;
use steadfast::SessionEvent;
use steadfast::centrifuge::{
    Builder, Client, Driver, Message, MessageReceipt, Subscription, SubscriptionEvent,
};

const fn is_send<T: Send>() {}
const fn is_sync<T: Sync>() {}
const fn is_stream<T: Stream<Item = SubscriptionEvent> + Unpin>() {}

#[test]
fn handles_and_events_can_be_sent_to_other_tasks() {
    is_send::<Driver>();
    is_stream::<Subscription>();
    is_send::<Message<'_>>();
    const {
        is_send::<Builder>();
        is_send::<Client>();
        is_sync::<Client>();
        is_send::<MessageReceipt>();
        is_sync::<MessageReceipt>();
        is_send::<Subscription>();
        is_sync::<Subscription>();
        is_send::<SessionEvent>();
    }
}

#[test]
fn every_type_that_a_user_meets_has_a_name() {
    is_send::<steadfast::Instant>();
    is_send::<steadfast::centrifuge::ReplyError>();
    is_send::<steadfast::DialErrorKind>();
    is_send::<steadfast::DialStage>();
    is_send::<steadfast::Endpoint>();
    is_send::<steadfast::ReadinessCheck>();
    is_send::<steadfast::StageTimeouts>();
    is_send::<steadfast::error::EndpointError>();
    is_send::<steadfast::error::HeaderError>();
    is_send::<steadfast::error::ProxyError>();
    is_send::<steadfast::error::PolicyError>();
    is_send::<steadfast::error::SessionSetting>();
}
