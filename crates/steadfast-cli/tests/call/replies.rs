//! Replies of the server: results on standard output, errors with what to do about them.

use crate::program::{call, command, ended, finish, with_input};
use crate::server::replying;

#[test]
fn params_are_sent_as_they_were_written_and_the_result_is_one_line() {
    let server = replying("\"result\":{\"sum\":\n[1e400, 3]}");

    let run = call(&server.url, "add [1e400,2]");

    assert_eq!(run, ended(0, "{\"sum\": [1e400, 3]}\n", &[]));
    let (path, request) = server.finish();
    assert_eq!(path, "/");
    assert_eq!(
        request,
        r#"{"jsonrpc":"2.0","id":1,"method":"add","params":[1e400,2]}"#
    );
}

#[test]
fn params_are_read_from_standard_input_and_from_a_file_and_are_optional() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("params.json");
    std::fs::write(&file, "{\"name\": \"a\"}\n").unwrap();
    let params = |request: &str| {
        let request: serde_json::Value = serde_json::from_str(request).unwrap();
        request.get("params").map(ToString::to_string)
    };

    let server = replying("\"result\":true");
    let run = with_input(command(&server.url, "create -"), "{\"name\": \"a\"}\n");
    assert_eq!(run, ended(0, "true\n", &[]));
    let sent = params(&server.finish().1);
    assert_eq!(sent.as_deref(), Some("{\"name\":\"a\"}"));

    let server = replying("\"result\":true");
    let run = call(&server.url, &format!("create @{}", file.display()));
    assert_eq!(run, ended(0, "true\n", &[]));
    assert_eq!(params(&server.finish().1), sent);

    let server = replying("\"result\":true");
    let run = call(&format!("{}/rpc?x=1", server.url), "create");
    assert_eq!(run, ended(0, "true\n", &[]));
    let (path, request) = server.finish();
    assert_eq!((path.as_str(), params(&request)), ("/rpc?x=1", None));
}

#[test]
fn a_string_is_printed_without_quotes_with_raw_and_all_outcomes_are_objects_with_json() {
    let server = replying(r#""result":"a \"b\"""#);
    assert_eq!(
        call(&server.url, "status --raw"),
        ended(0, "a \"b\"\n", &[])
    );

    let server = replying(r#""result":"a \"b\"""#);
    let line = "{\"outcome\":\"result\",\"result\":\"a \\\"b\\\"\"}\n";
    assert_eq!(call(&server.url, "status --json"), ended(0, line, &[]));
}

#[test]
fn a_method_that_the_server_does_not_have_is_named() {
    let server = replying(r#""error":{"code":-32601,"message":"Method not found"}"#);

    let run = call(&server.url, "Status");

    let lines = [
        "error: the server has no method Status: Method not found (error -32601)",
        "Check the name of the method, also upper and lower case, and the URL.",
    ];
    assert_eq!(run, ended(1, "", &lines));
}

#[test]
fn rejected_params_are_distinguished_from_missing_ones() {
    let invalid = r#""error":{"code":-32602,"message":"Invalid params"}"#;

    let with = call(&replying(invalid).url, "add [1]");
    let without = call(&replying(invalid).url, "add");

    let lines = [
        "error: the server rejected the params of add: Invalid params (error -32602)",
        "Check number, order, names and types of the params.",
    ];
    assert_eq!(with, ended(1, "", &lines));
    let lines = [
        "error: the server rejected add without params: Invalid params (error -32602)",
        "Add the params as JSON: an array or an object.",
    ];
    assert_eq!(without, ended(1, "", &lines));
}

#[test]
fn the_data_of_an_error_is_shown_and_safe_for_a_terminal() {
    let error = r#""error":{"code":7,"message":"no \u001b[2J","data":{"at": [1e400]}}"#;

    let text = call(&replying(error).url, "add [1]");
    let json = call(&replying(error).url, "add [1] --json");

    let lines = [
        r"error: the server returned an error for add: no \u{1b}[2J (error 7)",
        r#"data: {"at": [1e400]}"#,
    ];
    assert_eq!(text, ended(1, "", &lines));
    let line = "{\"outcome\":\"error\",\"error\":{\"code\":7,\"message\":\"no \\u001b[2J\",\"data\":{\"at\": [1e400]}}}\n";
    assert_eq!(json, ended(1, line, &lines));
}

#[test]
fn a_reader_that_has_ended_is_no_failure() {
    let server = replying("\"result\":1");
    let mut child = command(&server.url, "add").spawn().unwrap();
    drop(child.stdout.take());

    assert_eq!(finish(child).code, Some(0));
}
