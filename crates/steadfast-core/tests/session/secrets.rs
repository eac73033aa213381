//! No output of a session, and no session, shows the credentials in its debug output.

use steadfast_core::dialect::centrifuge::{Input, Output, Session};
use steadfast_core::io::{Attempt, CredentialsSource, Frame};
use steadfast_core::policy::SessionPolicy;
use steadfast_core::secret::Secret;
use steadfast_machine::{Instant, Machine as _, Seed};

use crate::script::{centrifuge, settings};

const TOKEN: &str = "SECRET-1";
const OTHER: &str = "SECRET-2";

/// Handles an input. Checks the debug output of everything, and returns the text of the messages that were sent.
fn handle(session: &mut Session, input: Input) -> String {
    let mut sent = String::new();
    session.handle(Instant::START, input);
    loop {
        let shown = format!("{session:?}");
        assert!(!shown.contains("SECRET"), "{shown}");
        let Some(output) = session.poll_output() else {
            return sent;
        };
        let shown = format!("{output:?}");
        assert!(!shown.contains("SECRET"), "{shown}");
        if let Output::Transmit { frame, .. } = &output {
            sent.push_str(frame.as_text().expect("text"));
        }
    }
}

#[test]
fn debug_output_of_a_session_and_its_outputs_shows_no_token() {
    let policy = SessionPolicy::new(settings()).expect("valid");
    let source = CredentialsSource::Fixed(Secret::new(TOKEN.to_owned()));
    let (seed, now) = (Seed::new(1), Instant::START);
    let mut session = Session::new(&policy, centrifuge(), source, seed, now);

    handle(&mut session, Input::OpenRequested);
    let attempt = Attempt(1);
    let connect = handle(&mut session, Input::Dialled { attempt });
    let frame = Frame::from(r#"{"id":1,"connect":{"client":"c","version":"v"}}"#);
    handle(&mut session, Input::Received { attempt, frame });
    let other = Secret::new(OTHER.to_owned());
    let refresh = handle(&mut session, Input::CredentialsReplaced(other));

    assert!(connect.contains(TOKEN), "{connect}");
    assert!(refresh.contains(OTHER), "{refresh}");
}
