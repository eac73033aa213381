//! A published client of TrueNAS uses the emulator, unmodified.

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
