//! Every command and sample of the documents works as written.

use steadfast_e2e::{documents, namespaces};

#[test]
fn every_command_and_sample_of_the_documents_works() {
    namespaces::run_task(env!("CARGO_BIN_EXE_steadfast-e2e"), "documents").unwrap();
}

#[test]
fn the_readme_shows_the_example_of_the_client_library() {
    documents::check_example().unwrap();
}
