//! Tests that no secret of a client is shown by debug output or errors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use steadfast::ReadinessCheck;
use steadfast::centrifuge::Client;

#[test]
fn debug_output_and_errors_show_no_token_header_value_query_or_proxy_password() {
    let url = "wss://example.test/path?key=SECRET-query";
    let builder = Client::builder(url)
        .unwrap()
        .token("SECRET-token")
        .header("Authorization", "SECRET-header")
        .proxy("http://me:SECRET-proxy@proxy.example.test:3128")
        .unwrap()
        .readiness(ReadinessCheck::new("/readyz?key=SECRET-check"));
    let shown = format!("{builder:?}");
    let (client, driver) = builder.build().unwrap();

    let shown = format!("{shown}\n{client:?}\n{driver:?}");

    assert!(!shown.contains("SECRET"), "{shown}");
    let encoded = STANDARD.encode("me:SECRET-proxy");
    assert!(!shown.contains(&encoded), "{shown}");
    assert!(shown.contains("Authorization") && shown.contains("wss://example.test/path"));
    let url_error = Client::builder("ws:///?key=SECRET").unwrap_err();
    let proxied = Client::builder(url).unwrap().proxy("http://me:SECRET/@a:b");
    for error in [url_error, proxied.unwrap_err()] {
        assert!(!error.to_string().contains("SECRET"), "{error}");
    }
}
