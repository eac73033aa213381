//! A published client of `TrueNAS` uses the emulator, unmodified.

use steadfast_e2e::{binaries, truenas_clients};

#[test]
fn the_client_for_python_logs_in_calls_subscribes_and_is_rejected_with_its_21st_call() {
    let program = binaries::gateway().unwrap();

    let outcome = truenas_clients::run(&program);

    outcome.unwrap();
}
