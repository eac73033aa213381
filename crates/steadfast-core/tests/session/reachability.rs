//! A peer has to receive what is sent: a pong is required also while data arrives.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::{Call, Input};
use steadfast_core::event::{DisconnectCause, SessionEvent};
use steadfast_core::policy::LivenessSettings;

use crate::liveness::without_limits;
use crate::script::{Script, settings};

/// The peer sends this number of bytes each second, and replies to nothing. Returns when it is given up after its last
/// pong, within ten minutes.
fn one_way(bytes: u64) -> Option<(Duration, DisconnectCause)> {
    let mut script = Script::ready();
    script.advance(Duration::from_secs(15));
    script.receive_pong();
    let proved_at = script.now;
    for _ in 0..600 {
        script.advance(Duration::from_secs(1));
        if let Some((at, SessionEvent::Lost { cause, .. })) = script.last_loss() {
            return Some((at - proved_at, cause));
        }
        script.receive_bytes(bytes);
    }
    None
}

#[test]
fn a_peer_that_sends_and_does_not_receive_is_given_up_after_25_seconds() {
    // Pings of the server alone, and a slow stream.
    for (bytes, seconds) in [(2, 25..=25), (1 << 10, 25..=26)] {
        let (took, cause) = one_way(bytes).expect("given up");

        assert!(seconds.contains(&took.as_secs()), "{bytes}: {took:?}");
        assert!(
            matches!(cause, DisconnectCause::PongMissing(_)),
            "{cause:?}"
        );
    }
}

/// A pong may be in a backlog for which the link takes minutes.
#[test]
fn a_backlog_postpones_the_pong_while_it_arrives() {
    assert_eq!(one_way(17 << 10), None);

    let mut script = Script::ready();
    script.advance(Duration::from_secs(15));
    assert_eq!(script.probes.len(), 1);
    script.receive_bytes(160 << 10);
    script.advance(millis(19_999));
    assert_eq!(
        script.last_loss(),
        None,
        "10 s for the bytes, 10 s for the pong"
    );
    script.receive_pong();
    script.advance(millis(14_999));
    assert_eq!(script.last_loss(), None);
}

#[test]
fn the_reply_to_a_later_request_is_as_good_as_a_pong_and_that_to_an_earlier_one_is_not() {
    for is_later in [true, false] {
        let mut script = Script::ready();
        script.advance(Duration::from_secs(10));
        script.receive_bytes(1);
        if !is_later {
            script.publish();
        }
        script.advance(Duration::from_secs(5));
        assert!(!script.probes.is_empty());
        if is_later {
            script.publish();
        }
        let command = script.commands().remove(0);
        script.reply_to(command.id, Ok(crate::script::ack(1, false)));

        // Data arrives until the pong is due.
        for _ in 0..11 {
            script.advance(Duration::from_secs(1));
            if script.last_loss().is_none() {
                script.receive_bytes(1);
            }
        }

        assert_eq!(script.last_loss().is_none(), is_later);
    }
}

/// The client has sent much, with replies, before the peer receives no more.
#[test]
fn bytes_that_were_acknowledged_long_ago_do_not_postpone_the_detection() {
    let mut script = Script::with(without_limits(), 1);
    script.connect();
    for _ in 0..100 {
        let (method, data) = ("m".to_owned(), format!("{:32768}", "1").into());
        script.call(Call::Rpc { method, data }, Duration::from_mins(1));
        script.advance(millis(100));
        for command in script.commands() {
            script.reply_to(command.id, Ok(crate::script::ack(1, false)));
        }
    }
    let proved_at = script.now;
    while script.last_loss().is_none() {
        script.advance(Duration::from_secs(1));
        if script.last_loss().is_none() {
            script.receive_bytes(1);
        }
        assert!(
            script.now - proved_at < Duration::from_mins(1),
            "not detected"
        );
    }

    let (at, _) = script.last_loss().expect("lost");
    assert!(at - proved_at <= Duration::from_secs(26), "{at:?}");
}

/// A pong may wait for what the transport has begun to write.
#[test]
fn a_backlog_to_the_peer_postpones_the_pong_while_it_is_written() {
    let mut script = Script::with(without_limits(), 1);
    script.connect();
    let attempt = script.attempt();
    for _ in 0..32 {
        let (method, data) = ("m".to_owned(), format!("{:32768}", "1").into());
        script.call(Call::Rpc { method, data }, Duration::from_mins(5));
    }
    // 32 KiB/s reach the peer, which sends something each second.
    let mut bytes = 1 << 20;
    while bytes > 0 {
        script.handle(Input::SendBuffer { attempt, bytes });
        script.advance(Duration::from_secs(1));
        script.receive_bytes(1);
        bytes -= 32 << 10;
        assert_eq!(script.last_loss(), None, "{bytes} bytes are left");
    }
}

/// A pong that is reported before its bytes, against the contract of the input, does not make a timer due indefinitely.
#[test]
fn a_ping_that_is_sent_is_not_due_again_at_once() {
    let mut settings = settings();
    settings.link.liveness = LivenessSettings::new(Duration::from_secs(3), Duration::from_secs(20));
    let mut script = Script::with(settings, 1);
    script.connect();
    script.advance(Duration::from_secs(3));
    let attempt = script.attempt();
    script.handle(Input::PongReceived { attempt });

    script.advance(Duration::from_secs(3));

    assert!(
        script.deadline() > Some(script.now),
        "{:?}",
        script.deadline()
    );
    assert_eq!(script.probes.len(), 2);
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
