//! Tests that no secret of a client is shown by debug output or errors.

use steadfast::centrifuge::Client;

#[test]
fn debug_output_shows_neither_token_nor_header_value_nor_query() {
    let url = "wss://example.test/path?key=SECRET-query";
    let builder = Client::builder(url)
        .unwrap()
        .token("SECRET-token")
        .header("Authorization", "SECRET-header");
    let shown = format!("{builder:?}");
    let (client, driver) = builder.build().unwrap();

    let shown = format!("{shown}\n{client:?}\n{driver:?}");

    assert!(!shown.contains("SECRET"), "{shown}");
    assert!(shown.contains("Authorization") && shown.contains("wss://example.test/path"));
    let error = Client::builder("ws:///?key=SECRET")
        .unwrap_err()
        .to_string();
    assert!(!error.contains("SECRET"), "{error}");
}
