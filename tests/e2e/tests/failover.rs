//! The client library between two gateways, in network namespaces.

use steadfast_e2e::namespaces;

#[test]
fn a_client_is_on_the_second_gateway_in_time_and_on_the_first_again() {
    namespaces::run_task(env!("CARGO_BIN_EXE_steadfast-e2e"), "failover").unwrap();
}
