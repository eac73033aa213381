//! The end of a connection that the server announces in a message, or that belongs to an earlier connection.

use std::time::Duration;

use bytes::Bytes;
use steadfast_core::dialect::centrifuge::Input;
use steadfast_core::event::{DisconnectCause, SessionEvent, SessionPhase, SessionState};
use steadfast_core::io::Frame;
use steadfast_protocol::codes::DisconnectCode;
use steadfast_protocol::message::{ChannelName, Push, PushEvent, Reply};

use crate::script::Script;

fn disconnect(script: &mut Script, code: u32, reason: &str) {
    let reason = reason.to_owned();
    script.reply(&Reply::Push(Push {
        channel: ChannelName::from(""),
        event: PushEvent::Disconnect { code, reason },
    }));
}

#[test]
fn a_server_that_ends_the_connection_in_a_message_is_left_and_dialled_again() {
    let mut script = Script::ready();

    disconnect(&mut script, 3_008, "slow");

    assert!(!script.invariants.is_open());
    assert_eq!(script.state(), SessionState::Reconnecting);
    let (_, event) = script.last_loss().expect("a loss");
    let SessionEvent::Lost { cause, .. } = event else {
        panic!("{event:?}");
    };
    let reason = "slow".to_owned();
    assert_eq!(
        cause,
        DisconnectCause::Closed {
            code: 3_008,
            reason
        }
    );
    script.advance_to_next_dial();
}

#[test]
fn a_server_that_rejects_the_client_in_a_message_ends_the_session() {
    let mut script = Script::ready();
    let code = u32::from(DisconnectCode::InvalidToken.code());

    disconnect(&mut script, code, "invalid token");

    assert_eq!(script.state(), SessionState::Failed);
}

#[test]
fn a_message_of_an_earlier_connection_does_not_concern_the_present_one() {
    let mut script = Script::ready();
    let attempt = script.attempt();
    script.lose_connection();
    script.advance_to_next_dial();
    script.connect();

    let frame = Frame::Text(Bytes::from_static(b"garbage"));
    script.handle(Input::Received { attempt, frame });

    assert_eq!(script.state(), SessionState::Connected);
}

#[test]
fn nothing_follows_the_close_frame() {
    let mut script = Script::ready();
    let drain = Duration::ZERO;
    script.handle(Input::CloseRequested { drain });
    script.commands();

    // The server still expects a reply to each of its pings.
    script.reply(&Reply::Ping);

    assert_eq!(script.commands(), []);
}

#[test]
fn nothing_can_be_received_before_the_transport_is_open() {
    let mut script = Script::new();

    script.receive(b"no json");

    assert_eq!(script.phase(), SessionPhase::Dialing);
    script.connect();
    assert_eq!(script.state(), SessionState::Connected);
}
