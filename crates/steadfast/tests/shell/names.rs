//! Tests of the public API itself: types that a user meets can be named, and are sent to other tasks.

use futures_core::Stream;
use steadfast::{
    Builder, CallError, Client, Driver, Message, Receipt, SessionEvent, SessionSnapshot,
    Subscription, SubscriptionEvent,
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
        is_send::<Receipt>();
        is_sync::<Receipt>();
        is_send::<Subscription>();
        is_sync::<Subscription>();
        is_send::<SessionEvent>();
    }
}

#[test]
fn every_type_that_a_user_meets_has_a_name() {
    let _since: fn(&SessionSnapshot) -> steadfast::Instant = |it| it.since;
    let _rejection: fn(CallError) -> Option<steadfast::ReplyError> = |error| match error {
        CallError::Rejected(reply) => Some(reply),
        CallError::Interrupted { .. }
        | CallError::TimedOut { .. }
        | CallError::TooLarge
        | CallError::Busy
        | CallError::Closed
        | CallError::Failed(_)
        | CallError::UnexpectedReply => None,
    };
    let _setting: fn(steadfast::error::PolicyError) -> steadfast::error::BuildError = Into::into;
    let _refusal: fn(steadfast::connector::ResponseError) -> String = |error| error.to_string();
    let _kind = steadfast::transport::websocket::MessageKind::Text;
}
