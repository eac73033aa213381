//! What the first message of a connection contains: who the client is, and the subscriptions that share the round trip.

use bytes::Bytes;
use steadfast_core::dialect::centrifuge::{
    Centrifuge, CentrifugeSettings, Input, Item, SubscribeOptions, SubscriptionEvent,
};
use steadfast_core::dialect::{Dialect, EarlyRequests, Wire};
use steadfast_core::io::SubscriptionId;
use steadfast_core::secret::Secret;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{Request, SubscribeResult};

use crate::script::{Script, at, item, settings, subscribed};

fn with_data(data: Option<Bytes>, message_bytes_max: usize) -> Centrifuge {
    let mut settings = CentrifugeSettings::new("painter", message_bytes_max);
    settings.data = data;
    Centrifuge::new(settings).expect("valid")
}

/// The number of subscriptions that may share the message of a connect command.
fn shared(data: Option<Bytes>, token: &str, message_bytes_max: usize) -> usize {
    let mut dialect = with_data(data, message_bytes_max);
    let token = Secret::new(token.to_owned());
    match dialect.start_handshake(&token, &mut Wire::default()) {
        EarlyRequests::Subscriptions(limit) => limit,
        other @ (EarlyRequests::All | EarlyRequests::None) => panic!("{other:?}"),
    }
}

#[test]
fn a_client_says_its_name_and_its_data() {
    let data = Bytes::from_static(b"{\"colour\":3}");
    let dialect = with_data(Some(data.clone()), Limits::MESSAGE_BYTES);
    let mut script = Script::speaking(dialect, settings());

    script.dial();

    let Request::Connect(connect) = &script.inbox[0].request else {
        panic!("{:?}", script.inbox);
    };
    assert_eq!(connect.name, "painter");
    assert_eq!(connect.data, Some(data));
}

#[test]
fn subscriptions_share_the_first_half_of_the_message_with_the_token_and_the_data() {
    let token = "t".repeat(500);
    let data = || Some(Bytes::from("1".repeat(600)));

    // 1 KiB for each subscription that begins within the half.
    assert_eq!(shared(None, "", 8_192), 4);
    assert_eq!(shared(None, &token, 8_192), 4);
    assert_eq!(shared(data(), &token, 8_192), 3);
    assert_eq!(shared(data(), &token, 2_200), 0);
}

#[test]
fn all_subscriptions_that_fit_are_requested_before_the_server_has_accepted_the_client() {
    let mut script = Script::new();
    for channel in ["a", "b", "c"] {
        script.subscribe(channel, 8);
    }

    script.dial();

    let requested = script.inbox.iter();
    let requested = requested.filter(|it| matches!(it.request, Request::Subscribe(_)));
    assert_eq!(requested.count(), 3);
}

#[test]
fn a_subscription_asks_for_its_position_and_for_joins_and_leaves_only_if_requested() {
    for join_leave in [false, true] {
        let mut script = Script::ready();
        let mut options = SubscribeOptions::new("chat", 8);
        if join_leave {
            options = options.join_leave();
        }
        let id = SubscriptionId(1);
        script.handle(Input::SubscribeRequested { id, options });

        let command = script.commands().remove(0);

        let Request::Subscribe(request) = command.request else {
            panic!("{command:?}");
        };
        assert!(request.positioned && request.recoverable);
        assert_eq!(request.join_leave, join_leave);
    }
}

#[test]
fn publications_of_a_channel_without_history_are_all_delivered() {
    let mut script = Script::ready();
    script.subscribe("chat", 8);
    script.reply_to_subscribe(SubscribeResult {
        positioned: false,
        recoverable: false,
        ..subscribed(at(0))
    });
    script.drain_subscription_events();

    script.push("chat", 0);
    script.push("chat", 0);

    let published = SubscriptionEvent::Item(Item::Publication(item(0)));
    assert_eq!(
        script.drain_subscription_events(),
        [published.clone(), published]
    );
}
