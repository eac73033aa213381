//! Every command and sample of the documents works as written, and so do the services among the examples.

use steadfast_e2e::{binaries, documents, examples, namespaces};

#[test]
fn every_command_and_sample_of_the_documents_works() {
    namespaces::run_task(env!("CARGO_BIN_EXE_steadfast-e2e"), "documents").unwrap();
}

#[test]
fn the_pages_about_emulated_servers_work() {
    namespaces::run_task(env!("CARGO_BIN_EXE_steadfast-e2e"), "emulated").unwrap();
}

#[test]
fn the_documented_service_passes_and_its_planted_bug_fails_the_named_check() {
    namespaces::run_task(env!("CARGO_BIN_EXE_steadfast-e2e"), "own-service").unwrap();
}

#[test]
fn the_readme_shows_the_example_of_the_client_library() {
    documents::check_example().unwrap();
}

#[test]
fn the_web_service_of_the_examples_survives_a_kill_of_its_gateway() {
    let gateway = binaries::gateway().unwrap();

    let outcome = examples::run_web_service(gateway);

    outcome.unwrap();
}

#[test]
fn the_worker_of_the_examples_completes_its_jobs_over_a_kill_of_its_gateway() {
    let gateway = binaries::gateway().unwrap();

    let outcome = examples::run_worker(gateway);

    outcome.unwrap();
}
