//! Subscriptions to notifications of the peer.

use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::jsonrpc::{Feed, SubscriptionEvent};
use steadfast_core::io::{SubscriptionId, UnsubscribeCause};

use crate::script::{Script, settings};
use steadfast_core::dialect::jsonrpc::Input;

fn heads() -> Feed {
    Feed::subscription(
        "eth_subscribe",
        Bytes::from_static(br#"["newHeads"]"#),
        "eth_unsubscribe",
    )
}

fn items(script: &mut Script) -> Vec<String> {
    let items = std::mem::take(&mut script.items).into_iter();
    let text = |event| {
        if let SubscriptionEvent::Item(item) = &event {
            String::from_utf8_lossy(item).into_owned()
        } else if matches!(event, SubscriptionEvent::Subscribed { .. }) {
            "subscribed".to_owned()
        } else if matches!(event, SubscriptionEvent::Gap { .. }) {
            "gap".to_owned()
        } else {
            format!("{event:?}")
        }
    };
    items.map(text).collect()
}

fn notification(id: &str, item: u32) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","method":"eth_subscription","params":{{"subscription":{id},"result":{item}}}}}"#
    )
}

#[test]
fn a_subscription_delivers_what_the_peer_sends_under_its_id_also_before_the_response() {
    let mut script = Script::connected();
    script.subscribe(heads());
    assert_eq!(
        script.take_sent(),
        [r#"{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}"#]
    );

    script.receive(&notification(r#""0x1""#, 1));
    script.receive(&notification(r#""0x2""#, 7));
    script.receive(r#"{"jsonrpc":"2.0","id":1,"result":"0x1"}"#);
    script.receive(&notification(r#""0x1""#, 2));
    script.receive(&notification(r#""0x2""#, 8));

    assert_eq!(items(&mut script), ["subscribed", "1", "2"]);
}

#[test]
fn a_new_connection_is_a_gap_and_the_ids_of_the_old_one_are_forgotten() {
    let mut script = Script::connected();
    script.subscribe(heads());
    script.receive(r#"{"id":1,"result":"0x1"}"#);
    assert_eq!(items(&mut script), ["subscribed"]);

    script.lose();
    script.redial();
    let sent = script.take_sent();
    assert!(
        sent.len() == 1 && sent[0].contains("eth_subscribe"),
        "{sent:?}"
    );
    script.receive(&notification(r#""0x1""#, 3));
    script.receive(r#"{"id":2,"result":"0x9"}"#);
    script.receive(&notification(r#""0x1""#, 4));
    script.receive(&notification(r#""0x9""#, 5));

    let received = items(&mut script);
    assert_eq!(received.last().map(String::as_str), Some("5"));
    assert!(received.contains(&"gap".to_owned()), "{received:?}");
    assert!(!received.contains(&"4".to_owned()), "{received:?}");
}

#[test]
fn the_end_of_a_subscription_names_the_id_of_the_peer_also_if_that_comes_later() {
    let unsubscribe = |script: &mut Script, id: SubscriptionId| {
        script.handle(Input::UnsubscribeRequested { id });
    };
    let mut script = Script::connected();
    let id = script.subscribe(heads());
    script.receive(r#"{"id":1,"result":"0x1"}"#);
    script.take_sent();
    unsubscribe(&mut script, id);
    let sent = script.take_sent();
    assert!(
        sent[0].contains(r#""method":"eth_unsubscribe","params":["0x1"]"#),
        "{sent:?}"
    );

    let mut script = Script::connected();
    let id = script.subscribe(heads());
    script.take_sent();
    unsubscribe(&mut script, id);
    assert!(script.take_sent().is_empty(), "the id is not known yet");
    script.receive(r#"{"id":1,"result":"0x5"}"#);
    let sent = script.take_sent();
    assert!(
        sent.len() == 1 && sent[0].contains(r#"["0x5"]"#),
        "{sent:?}"
    );
}

#[test]
fn notifications_by_method_need_no_request() {
    let mut script = Script::connected();
    script.subscribe(Feed::notifications("collection_update"));
    assert!(script.take_sent().is_empty());

    script.receive(r#"{"jsonrpc":"2.0","method":"collection_update","params":{"msg":"added"}}"#);
    script.receive(r#"{"jsonrpc":"2.0","method":"other","params":[1]}"#);

    assert_eq!(items(&mut script), ["subscribed", r#"{"msg":"added"}"#]);
}

#[test]
fn a_subscription_that_the_peer_cannot_accept_ends_and_says_why() {
    for code in [-32_600, -32_601, -32_602] {
        let mut script = Script::connected();
        script.subscribe(heads());
        script.take_sent();

        script.receive(&format!(
            r#"{{"id":1,"error":{{"code":{code},"message":"no such feed"}}}}"#
        ));
        script.receive_pong();
        script.advance(Duration::from_secs(10));

        let received = items(&mut script);
        assert!(
            received.len() == 1 && received[0].contains("no such feed"),
            "{received:?}"
        );
        assert!(script.take_sent().is_empty());
    }
}

#[test]
fn a_subscription_that_the_peer_rejects_for_another_reason_is_requested_again() {
    let mut script = Script::connected();
    script.subscribe(heads());
    script.take_sent();

    script.receive(r#"{"id":1,"error":{"code":-32000,"message":"busy"}}"#);
    assert!(script.take_sent().is_empty());
    script.advance(Duration::from_secs(10));

    assert!(script.take_sent()[0].contains("eth_subscribe"));
    assert!(items(&mut script).is_empty());
}

#[test]
fn a_subscription_can_end_with_any_error_except_that_of_too_many_calls() {
    let settings = settings()
        .too_many_calls(-32_000)
        .end_rejected_subscriptions();
    for (code, ends) in [(-32_001, true), (-32_603, true), (-32_000, false)] {
        let mut script = Script::new(settings.clone());
        script.dial();
        script.subscribe(heads());
        script.take_sent();

        script.receive(&format!(
            r#"{{"id":1,"error":{{"code":{code},"message":"no access"}}}}"#
        ));
        script.advance(Duration::from_secs(10));

        let received = items(&mut script);
        let has_ended = received.len() == 1 && received[0].contains("no access");
        assert_eq!(has_ended, ends, "{code}: {received:?}");
        assert_eq!(script.take_sent().is_empty(), ends, "{code}");
    }
}

#[test]
fn what_arrives_before_the_response_is_limited_in_number_and_bytes() {
    let mut script = Script::connected();
    script.subscribe_with(heads(), 1_000);
    for item in 0..300 {
        script.receive(&notification("7", item));
    }
    script.receive(r#"{"id":1,"result":7}"#);
    assert_eq!(items(&mut script).len(), 1 + 256);

    let mut script = Script::connected();
    script.subscribe_with(heads(), 1_000);
    let long = "9".repeat(300 << 10);
    for _ in 0..5 {
        script.receive(&format!(
            r#"{{"method":"eth_subscription","params":{{"subscription":7,"result":{long}}}}}"#
        ));
    }
    script.receive(r#"{"id":1,"result":7}"#);
    assert_eq!(items(&mut script).len(), 1 + 3);
}

fn change(name: &str, id: u32) -> String {
    let method = "collection_update";
    format!(r#"{{"method":"{method}","params":{{"msg":"added","collection":"{name}","id":{id}}}}}"#)
}

#[test]
fn a_collection_delivers_changes_under_its_name_also_before_the_response() {
    let mut script = Script::connected();
    script.subscribe(Feed::collection("pool.query"));
    assert_eq!(
        script.take_sent(),
        [r#"{"jsonrpc":"2.0","id":1,"method":"core.subscribe","params":["pool.query"]}"#]
    );

    script.receive(&change("pool.query", 1));
    script.receive(&change("disk.query", 7));
    script.receive(r#"{"id":1,"result":"uuid"}"#);
    script.receive(&change("pool.query", 2));
    script.receive(&change("disk.query", 8));

    let item = |id| format!(r#"{{"msg":"added","collection":"pool.query","id":{id}}}"#);
    assert_eq!(
        items(&mut script),
        ["subscribed".to_owned(), item(1), item(2)]
    );
}

#[test]
fn a_collection_that_the_server_ends_ends_with_its_error_and_is_not_requested_again() {
    for (error, data) in [
        ("null", None),
        (r#"{"error":22}"#, Some(br#"{"error":22}"#.as_slice())),
    ] {
        let mut script = Script::connected();
        script.subscribe(Feed::collection("a:{}"));
        script.receive(r#"{"id":1,"result":"uuid"}"#);
        let end = |name: &str| {
            format!(
                r#"{{"method":"notify_unsubscribed","params":{{"collection":"{name}","error":{error}}}}}"#
            )
        };
        script.receive(&end("b"));
        assert_eq!(script.items.len(), 1);
        script.receive(&end("a:{}"));
        script.receive(&change("a:{}", 1));

        let Some(SubscriptionEvent::Unsubscribed(UnsubscribeCause::Server(refusal))) =
            script.items.get(1)
        else {
            panic!("{:?}", script.items);
        };
        assert_eq!(refusal.data.as_deref(), data);
        assert_eq!(script.items.len(), 2);
        script.take_sent();
        script.lose();
        script.redial();
        assert_eq!(script.take_sent(), [""; 0]);
    }
}

/// The events before the response belong to the subscription that is requested, and its end is the last of them.
#[test]
fn a_collection_that_the_server_ends_before_the_response_ends_after_it() {
    let mut script = Script::connected();
    script.subscribe(Feed::collection("pool.query"));
    script.take_sent();
    let end = |name: &str| {
        format!(
            r#"{{"method":"notify_unsubscribed","params":{{"collection":"{name}","error":{{"error":22}}}}}}"#
        )
    };

    script.receive(&change("pool.query", 1));
    script.receive(&end("disk.query"));
    script.receive(&end("pool.query"));
    script.receive(&change("pool.query", 2));
    script.receive(r#"{"id":1,"result":"uuid"}"#);
    script.receive(&change("pool.query", 3));

    assert_eq!(script.items.len(), 3, "{:?}", script.items);
    let Some(SubscriptionEvent::Unsubscribed(UnsubscribeCause::Server(refusal))) =
        script.items.pop()
    else {
        panic!("{:?}", script.items);
    };
    assert_eq!(refusal.data.as_deref(), Some(br#"{"error":22}"#.as_slice()));
    let item = r#"{"msg":"added","collection":"pool.query","id":1}"#;
    assert_eq!(items(&mut script), ["subscribed", item]);
    script.lose();
    script.redial();
    assert_eq!(script.take_sent(), [""; 0], "it is not requested again");
}

#[test]
fn an_end_before_a_response_that_rejects_the_subscription_does_not_end_the_next_one() {
    let mut script = Script::connected();
    script.subscribe(Feed::collection("pool.query"));
    script.receive(
        r#"{"method":"notify_unsubscribed","params":{"collection":"pool.query","error":null}}"#,
    );
    script.receive(r#"{"id":1,"error":{"code":-32001,"message":"busy"}}"#);
    script.advance(Duration::from_secs(10));
    script.receive(r#"{"id":2,"result":"uuid"}"#);
    script.receive(&change("pool.query", 1));

    let item = r#"{"msg":"added","collection":"pool.query","id":1}"#;
    assert_eq!(items(&mut script), ["subscribed", item]);
}

/// The server confirms some of the requests that end a subscription, before its response.
#[test]
fn the_confirmation_of_an_ended_subscription_does_not_end_the_next_one_to_its_collection() {
    let confirmation =
        r#"{"method":"notify_unsubscribed","params":{"collection":"pool.query","error":null}}"#;
    for is_accepted_first in [false, true] {
        let mut script = Script::connected();
        let id = script.subscribe(Feed::collection("pool.query"));
        script.receive(r#"{"id":1,"result":"first"}"#);
        script.handle(Input::UnsubscribeRequested { id });
        script.subscribe(Feed::collection("pool.query"));
        script.items.clear();

        let accepted = r#"{"id":3,"result":"second"}"#;
        if is_accepted_first {
            script.receive(accepted);
            script.receive(confirmation);
        } else {
            script.receive(confirmation);
            script.receive(r#"{"id":2,"result":null}"#);
            script.receive(accepted);
        }
        script.receive(&change("pool.query", 1));

        let item = r#"{"msg":"added","collection":"pool.query","id":1}"#;
        assert_eq!(items(&mut script), ["subscribed", item]);
        // The request is confirmed: another end is that of the server.
        script.receive(confirmation);
        let event = script.items.pop();
        assert!(
            matches!(event, Some(SubscriptionEvent::Unsubscribed(_))),
            "{event:?}"
        );
    }
}

#[test]
fn a_collection_is_ended_with_the_id_of_its_subscription() {
    let mut script = Script::connected();
    let id = script.subscribe(Feed::collection("pool.query"));
    script.receive(r#"{"id":1,"result":"uuid"}"#);
    script.take_sent();
    script.handle(Input::UnsubscribeRequested { id });
    assert_eq!(
        script.take_sent(),
        [r#"{"jsonrpc":"2.0","id":2,"method":"core.unsubscribe","params":["uuid"]}"#]
    );
    script.receive(&change("pool.query", 1));
    assert_eq!(script.items.len(), 1);
}
