//! Who is in a channel, over one core and over several, and joins and leaves.

use std::collections::BTreeSet;
use std::time::Duration;

use steadfast_hub::event::Event;
use steadfast_hub::io::{LogEvent, Note, PeerId, Present};
use steadfast_hub::policy::hub::{AnonymousInfo, HubSettings};
use steadfast_protocol::message::ClientInfo;

use crate::script::{Script, page, settings};

#[test]
fn presence_names_those_who_are_subscribed() {
    let mut script = Script::new();
    let (first, _second) = (script.subscribe("room", 0), script.subscribe("room", 0));

    script.send(first, r#"{"id":3,"presence":{"channel":"room"}}"#);
    relay(&mut script);
    relay(&mut script);

    assert_eq!(
        script.read(first),
        concat!(
            r#"{"id":3,"presence":{"presence":{"#,
            r#""00000000-0000-0000-0000-000000000001":{"user":"","client":"00000000-0000-0000-0000-000000000001"},"#,
            r#""00000000-0000-0000-0000-000000000002":{"user":"","client":"00000000-0000-0000-0000-000000000002"}}}}"#
        )
    );
}

#[test]
fn presence_waits_for_every_core_and_adds_them_up() {
    let mut script = Script::with(HubSettings {
        cores: 2,
        ..settings()
    });
    let peer = script.subscribe("room", 0);

    script.send(peer, r#"{"id":3,"presence_stats":{"channel":"room"}}"#);
    relay(&mut script);
    relay(&mut script);
    assert_eq!(script.read(peer), "");
    let users = BTreeSet::from(["ada".to_owned(), String::new()]);
    let other = Note::PresenceTold {
        core: 0,
        number: 1,
        present: Present::Counts { clients: 3, users },
    };
    script.log(vec![LogEvent::Noted(other)]);

    assert_eq!(
        script.read(peer),
        r#"{"id":3,"presence_stats":{"num_clients":4,"num_users":2}}"#
    );
}

#[test]
fn a_core_that_does_not_answer_makes_presence_fail_with_a_temporary_error() {
    let mut script = Script::with(HubSettings {
        cores: 2,
        ..settings()
    });
    let peer = script.connect();

    script.send(peer, r#"{"id":3,"presence":{"channel":"room"}}"#);
    relay(&mut script);
    script.pass(Duration::from_secs(4));

    assert!(script.read(peer).contains(r#""code":100"#));
}

#[test]
fn a_crowd_that_does_not_fit_is_refused_and_not_cut() {
    let mut script = Script::new();
    let first = script.subscribe("room", 0);
    for _ in 0..3 {
        script.subscribe("room", 0);
    }

    script.send(first, r#"{"id":3,"presence":{"channel":"room"}}"#);
    relay(&mut script);
    relay(&mut script);

    assert!(script.read(first).contains(r#""code":106"#));
}

#[test]
fn joins_and_leaves_are_told_to_those_who_asked() {
    let mut script = Script::new();
    let listener = script.connect();
    script.send(
        listener,
        r#"{"id":2,"subscribe":{"channel":"room","join_leave":true}}"#,
    );
    script.answer(page(0, &[]));
    relay(&mut script);
    script.read(listener);
    let quiet = script.subscribe("room", 0);
    let info = ClientInfo {
        client: "c".to_owned(),
        ..ClientInfo::default()
    };
    let channel = steadfast_protocol::message::ChannelName::from("room");

    script.log(vec![LogEvent::Noted(Note::Joined {
        channel: channel.clone(),
        info: info.clone(),
    })]);
    script.log(vec![LogEvent::Noted(Note::Left { channel, info })]);

    let told = script.read(listener);
    assert!(
        told.contains(r#"{"push":{"channel":"room","join":{"info":{"user":"","client":"c"}}}}"#),
        "{told}"
    );
    assert!(told.contains(r#""leave":{"info":"#), "{told}");
    assert_eq!(script.read(quiet), "");
}

#[test]
fn coming_and_going_is_told_to_all_cores_once() {
    let mut script = Script::new();
    let peer = script.connect();

    script.send(peer, r#"{"id":2,"subscribe":{"channel":"room"}}"#);
    script.lose(peer);
    script.answer(page(0, &[]));
    assert!(
        script.told.is_empty(),
        "nobody heard of a subscription that was never granted"
    );
    let peer = script.connect();
    script.send(peer, r#"{"id":2,"subscribe":{"channel":"room"}}"#);
    script.answer(page(0, &[]));
    script.send(peer, r#"{"id":3,"unsubscribe":{"channel":"room"}}"#);
    script.lose(peer);

    assert!(
        matches!(script.told[..], [Note::Joined { .. }, Note::Left { .. }]),
        "{:?}",
        script.told
    );
}

#[test]
fn what_an_anonymous_client_says_about_itself_is_shown_when_configured() {
    let mut script = showing();
    let peer = subscribe_as(&mut script, r#"{"name":"Ada"}"#);

    script.send(peer, r#"{"id":3,"presence":{"channel":"room"}}"#);
    let told = script.told.clone();
    relay(&mut script);
    relay(&mut script);
    relay(&mut script);
    script.send(peer, r#"{"id":4,"unsubscribe":{"channel":"room"}}"#);

    let presence = script.read(peer);
    assert!(
        presence.contains(r#""conn_info":{"name":"Ada"}"#),
        "{presence}"
    );
    let Note::Joined { info: joined, .. } = &told[0] else {
        panic!("{told:?}");
    };
    let Note::Left { info: left, .. } = &script.told[0] else {
        panic!("{:?}", script.told);
    };
    assert_eq!(joined.conn_info.as_deref(), Some(&br#"{"name":"Ada"}"#[..]));
    assert_eq!(left, joined);
}

#[test]
fn what_a_client_says_about_itself_is_ignored_unless_configured() {
    let mut script = Script::new();

    subscribe_as(&mut script, r#"{"name":"Ada"}"#);

    assert_eq!(joined_info(&script), None);
}

#[test]
fn connect_data_that_is_no_object_or_too_long_is_ignored_and_noted() {
    let longest = format!(r#"{{"name":"{}"}}"#, "x".repeat(1013));
    let too_long = format!(r#"{{"name":"{}"}}"#, "x".repeat(1014));
    for (data, shown) in [
        (r#""Ada""#, false),
        ("[1]", false),
        (too_long.as_str(), false),
        (longest.as_str(), true),
        ("{}", true),
    ] {
        let mut script = showing();

        let peer = subscribe_as(&mut script, data);

        assert_eq!(joined_info(&script).is_some(), shown, "{data}");
        let noted = script.events.contains(&Event::InfoIgnored { peer });
        assert_eq!(noted, !shown, "{data}");
    }
}

fn showing() -> Script {
    Script::with(HubSettings {
        anonymous_info: AnonymousInfo::Shown,
        ..settings()
    })
}

/// A peer that connects with this data and is live in `room`.
fn subscribe_as(script: &mut Script, data: &str) -> PeerId {
    let peer = script.accept();
    script.send(peer, &format!(r#"{{"id":1,"connect":{{"data":{data}}}}}"#));
    script.send(peer, r#"{"id":2,"subscribe":{"channel":"room"}}"#);
    script.answer(page(0, &[]));
    script.read(peer);
    peer
}

/// What the first join that was told says.
fn joined_info(script: &Script) -> Option<String> {
    let Some(Note::Joined { info, .. }) = script.told.first() else {
        panic!("{:?}", script.told);
    };
    let text = info.conn_info.as_deref()?;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Shows the hub the oldest note that it told, as the log would.
fn relay(script: &mut Script) {
    let note = script.told.remove(0);
    script.log(vec![LogEvent::Noted(note)]);
}
