//! `steadfast call` over a bridge: the same words and exit codes as over a connection of its own.

use crate::lab::{Lab, ended, program};

#[test]
fn a_result_and_an_error_of_the_server_have_their_exit_codes() {
    let lab = Lab::start();

    let ping = ended(&lab.call("core.ping --raw"));
    let unknown = ended(&lab.call("no.method --json"));

    assert_eq!(ping, (Some(0), "pong\n".to_owned(), String::new()));
    assert_eq!(unknown.0, Some(1));
    assert!(
        unknown
            .1
            .contains(r#""outcome":"error","error":{"code":-32601"#),
        "{unknown:?}"
    );
}

#[test]
fn a_call_whose_reply_is_lost_may_have_been_executed() {
    let lab = Lab::start();
    lab.control("lose-reply/pool.dataset.create");

    let (code, stdout, stderr) =
        ended(&lab.call("pool.dataset.create [{\"name\":\"tank/a\"}] --json"));

    assert_eq!(code, Some(9), "{stderr}");
    assert!(stdout.contains(r#""outcome":"maybe-executed""#), "{stdout}");
    assert!(
        stderr.contains("The connection to the server was lost"),
        "{stderr}"
    );
    let found =
        ended(&lab.call("pool.dataset.query [[[\"id\",\"=\",\"tank/a\"]],{\"count\":true}]"));
    assert_eq!(found.1, "1\n");
}

#[test]
fn without_a_bridge_a_call_was_not_sent() {
    let folder = tempfile::tempdir().unwrap();

    let output = program()
        .current_dir(folder.path())
        .args(["call", "unix:nas.sock", "core.ping"])
        .output()
        .unwrap();

    let (code, _, stderr) = ended(&output);
    assert_eq!(code, Some(8), "{stderr}");
    assert!(stderr.contains("no bridge at nas.sock"), "{stderr}");
}

#[test]
fn a_login_has_no_effect_on_a_call_over_a_bridge() {
    let lab = Lab::start();

    let (code, _, stderr) = ended(&lab.call("core.ping --login auth.login"));

    assert_eq!(code, Some(2), "{stderr}");
}
