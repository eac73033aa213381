//! Invalid arguments: each is rejected before anything is connected, with what to write.

use crate::program::{call, command, ended, with_input};

/// Nothing listens there; a connection would be a timeout and another exit code.
const URL: &str = "ws://127.0.0.1:9";

#[test]
fn one_value_as_params_shows_the_array() {
    let run = call(URL, "add 5 --json");

    let line = "{\"outcome\":\"invalid\",\"reason\":\"invalid params: they must be an array or an object\"}\n";
    let lines = [
        "error: invalid params: they must be an array or an object",
        "For one value as the only param: '[5]'",
    ];
    assert_eq!(run, ended(2, line, &lines));
}

#[test]
fn invalid_params_of_standard_input_are_not_repeated() {
    let run = with_input(command(URL, "add -"), "secret");

    let lines = [
        "error: invalid params in standard input: not JSON: expected value at line 1 column 1",
        "For example: '[1, \"a\"]' or '{\"name\": \"a\"}'",
    ];
    assert_eq!(run, ended(2, "", &lines));
}

#[test]
fn an_invalid_argument_is_reported_with_what_may_be_written() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, "no certificate").unwrap();
    for (url, arguments, expected) in [
        ("ftp://a", "add", "unsupported URL scheme `ftp`"),
        ("ws://user:pw@a", "add", "credentials in the URL"),
        (URL, "add --timeout 0", "must be above 0 and at most 86400"),
        (
            URL,
            "add --class safe",
            "[possible values: read, idempotent, write]",
        ),
        (URL, "add --key-file a", "--login <METHOD>"),
        (URL, "add --raw --json", "cannot be used with '--json'"),
        (
            URL,
            "add @/no/such/file",
            "cannot read the params in /no/such/file: ",
        ),
        (
            URL,
            &format!("add --ca {}", file.display()),
            "--ca requires a file in PEM format",
        ),
        (
            URL,
            "add --ca /no/such/file",
            "cannot read the certificates in /no/such/file: ",
        ),
    ] {
        let run = call(url, arguments);

        assert_eq!(run.code, Some(2), "{arguments}: {run:?}");
        assert!(run.stderr.contains(expected), "{arguments}: {run:?}");
        assert!(!run.stderr.contains("pw@"), "{run:?}");
    }
    assert_eq!(call(URL, "").code, Some(2));
}
