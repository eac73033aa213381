//! Published clients of TrueNAS use the emulator, directly and over a bridge.

use steadfast_e2e::bridge_kills::{self, Kill};
use steadfast_e2e::{binaries, truenas_clients};

#[test]
fn the_client_for_python_logs_in_calls_subscribes_and_is_rejected_with_its_21st_call() {
    let program = binaries::gateway().unwrap();

    let outcome = truenas_clients::run(&program);

    outcome.unwrap();
}

#[test]
fn the_client_for_python_uses_a_bridge_as_if_it_were_the_server() {
    let program = binaries::gateway().unwrap();
    let folder = tempfile::tempdir().unwrap();

    let outcome = truenas_clients::run_over_bridge(&program, folder.path());

    outcome.unwrap();
}

#[test]
fn ten_restarts_of_the_server_cost_one_login_each_and_every_call_of_three_programs_has_a_true_outcome()
 {
    let program = binaries::gateway().unwrap();
    let folder = tempfile::tempdir().unwrap();

    let mut kills = [Kill::Server; 11];
    // Whatever the restarts have interrupted, one call was executed and has no reply.
    kills[5] = Kill::Reply;

    let outcome = bridge_kills::run(&program, folder.path(), &kills);

    outcome.unwrap();
}

#[test]
fn ten_kills_of_the_bridge_cost_one_login_each_and_every_call_of_three_programs_has_a_true_outcome()
{
    let program = binaries::gateway().unwrap();
    let folder = tempfile::tempdir().unwrap();
    // The server permits 10 logins in a minute, and begins its count again when it restarts.
    let mut kills = [Kill::Bridge; 11];
    kills[5] = Kill::Server;

    let outcome = bridge_kills::run(&program, folder.path(), &kills);

    outcome.unwrap();
}
