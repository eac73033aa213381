//! Unmodified SDKs over slow links, in network namespaces.

use steadfast_e2e::namespaces;

#[test]
fn clients_on_slow_links_recover_what_they_missed_and_keep_their_connection() {
    namespaces::run_task(env!("CARGO_BIN_EXE_steadfast-e2e"), "slow-links").unwrap();
}
