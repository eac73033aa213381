//! Replacing an open connection to a server without positions: the reader learns of the change, and nothing that arrives
//! over the new connection is missing.

use steadfast_core::dialect::raw::Input;
use steadfast_core::io::Attempt;

use crate::script::{Script, raw, text, with_login};

/// Connected, with a reader and a second connection whose server has not accepted the client. Returns both attempts.
fn migrating(script: &mut Script) -> (Attempt, Attempt) {
    script.receive(text("ok"));
    script.words();
    let old = script.attempt;
    script.handle(Input::MigrateRequested { endpoint: None });
    script.dial();
    (old, script.attempt)
}

fn receive(script: &mut Script, attempt: Attempt, word: &str) {
    let frame = text(word);
    script.handle(Input::Received { attempt, frame });
}

#[test]
fn messages_of_both_servers_are_delivered_in_order_and_none_is_missing() {
    let mut script = Script::connected(with_login());
    let (old, new) = migrating(&mut script);
    // The socket has not accepted everything, which delays the switch.
    let (attempt, bytes) = (old, 10);
    script.handle(Input::SendBuffer { attempt, bytes });

    receive(&mut script, new, "hello");
    receive(&mut script, old, "old 1");
    receive(&mut script, new, "ok");
    receive(&mut script, new, "new 1");
    receive(&mut script, old, "old 2");
    receive(&mut script, new, "new 2");
    assert_eq!(script.words(), ["old 1", "old 2"]);
    let bytes = 0;
    script.handle(Input::SendBuffer { attempt, bytes });
    receive(&mut script, old, "late");
    receive(&mut script, new, "new 3");

    assert_eq!(
        script.words(),
        ["gap 0 to 0", "hello", "ok", "new 1", "new 2", "new 3"]
    );
}

#[test]
fn a_server_that_accepts_every_client_replaces_the_connection_as_soon_as_it_is_open() {
    let mut script = Script::connected(raw());
    script.words();
    let old = script.attempt;
    script.handle(Input::MigrateRequested { endpoint: None });

    script.dial();

    receive(&mut script, old, "late");
    let new = script.attempt;
    receive(&mut script, new, "new 1");
    assert_eq!(script.words(), ["gap 0 to 0", "new 1"]);
    assert_eq!(script.snapshot().epoch.0, 2);
}
