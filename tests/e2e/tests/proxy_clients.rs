//! Published clients of Toxiproxy drive the proxy, and what they set is measured by plain sockets.

use steadfast_e2e::{binaries, namespaces, proxy_clients};

#[test]
fn the_client_for_node_drives_the_proxy_through_all_calls_and_toxics() {
    let program = binaries::gateway().unwrap();

    let outcome = proxy_clients::run_node(&program);

    outcome.unwrap();
}

#[test]
fn the_client_for_python_drives_the_proxy_through_all_calls_and_toxics() {
    if let Some(reason) = namespaces::unavailable() {
        println!("SKIP: port 8474 of the client needs a network namespace: {reason}");
    }
    namespaces::run_task(env!("CARGO_BIN_EXE_steadfast-e2e"), "proxy-python").unwrap();
}
