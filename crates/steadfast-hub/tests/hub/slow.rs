//! Peers that take less than they are sent.

use std::time::Duration;

use steadfast_hub::io::Input;

use crate::script::Script;

#[test]
fn a_peer_with_too_many_unsent_bytes_is_closed_with_3008() {
    let mut script = Script::new();
    let peer = script.subscribe("room", 0);

    script.handle(Input::Backlog {
        peer,
        bytes: 1 << 20,
    });
    assert_eq!(script.close_code(peer), None);
    script.handle(Input::Backlog {
        peer,
        bytes: (1 << 20) + 1,
    });
    script.commit("room", 1);

    assert_eq!(script.close_code(peer), Some(3008));
    assert!(script.fanouts.is_empty());
}

#[test]
fn unsent_bytes_that_wait_past_the_write_deadline_close_with_3009() {
    let mut script = Script::new();
    let peer = script.connect();

    script.handle(Input::Backlog { peer, bytes: 10 });
    script.pass(Duration::from_millis(9_900));
    script.handle(Input::Backlog { peer, bytes: 20 });
    assert_eq!(script.close_code(peer), None);
    script.pass(Duration::from_millis(200));

    assert_eq!(script.close_code(peer), Some(3009));
}

#[test]
fn a_peer_that_drains_in_time_starts_afresh() {
    let mut script = Script::new();
    let peer = script.connect();

    for _ in 0..5 {
        script.handle(Input::Backlog { peer, bytes: 10 });
        script.pass(Duration::from_secs(4));
        script.handle(Input::Drained { peer });
    }

    assert_eq!(script.close_code(peer), None);
}
