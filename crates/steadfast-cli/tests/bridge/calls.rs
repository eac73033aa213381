//! `steadfast call` over a bridge: the same words and exit codes as over a connection of its own.

use std::os::unix::net::UnixStream;

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
fn a_call_to_the_socket_of_a_bridge_that_was_killed_was_not_sent() {
    let mut lab = Lab::start();
    lab.bridge.child.kill().unwrap();
    lab.bridge.child.wait().unwrap();

    let (code, _, stderr) = ended(&lab.call("core.ping"));

    assert_eq!(code, Some(8), "{stderr}");
}

#[test]
fn a_call_above_64_kib_was_not_sent() {
    let lab = Lab::start();
    let params = format!("[\"{}\"]", "x".repeat(64 << 10));

    let (code, _, stderr) = ended(&lab.call(&format!("core.ping {params}")));

    assert_eq!(code, Some(8), "{stderr}");
    assert!(stderr.contains("at most 65536 are accepted"), "{stderr}");
}

#[test]
fn a_call_that_waits_until_its_time_limit_was_not_sent_and_one_in_flight_may_have_been() {
    let mut lab = Lab::start();
    lab.control("hold-calls");
    let in_flight = ended(&lab.call("pool.dataset.create [{\"name\":\"tank/a\"}] --timeout 0.5"));
    lab.emulator.child.kill().unwrap();
    lab.emulator.child.wait().unwrap();
    lab.until(|status| status["state"] == "connecting");

    let waiting = ended(&lab.call("pool.dataset.create [{\"name\":\"tank/b\"}] --timeout 0.5"));

    assert_eq!(in_flight.0, Some(9), "{in_flight:?}");
    assert_eq!(waiting.0, Some(8), "{waiting:?}");
    assert!(
        waiting.2.contains("no connection to the server for 0.5 s"),
        "{waiting:?}"
    );
}

#[test]
fn a_call_that_is_one_program_too_many_was_not_sent() {
    let lab = Lab::start();
    let others: Vec<UnixStream> = (0..64)
        .map(|_| UnixStream::connect(&lab.socket).unwrap())
        .collect();

    let (code, _, stderr) = ended(&lab.call("core.ping"));

    assert_eq!(code, Some(8), "{stderr}");
    assert!(
        stderr.contains("too many programs are connected"),
        "{stderr}"
    );
    drop(others);
}

#[test]
fn a_login_has_no_effect_on_a_call_over_a_bridge() {
    let lab = Lab::start();

    let (code, _, stderr) = ended(&lab.call("core.ping --login auth.login"));

    assert_eq!(code, Some(2), "{stderr}");
}
