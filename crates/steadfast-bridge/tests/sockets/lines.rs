//! Programs that send one JSON object per line.

use serde_json::{Value, json};
use steadfast_bridge::{Key, Policy};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use super::lab::{KEY, Lab, PATIENCE, secret};

#[tokio::test]
async fn several_programs_call_with_their_own_ids_and_without_a_login() {
    let lab = Lab::start().await;
    let (mut a, mut b) = (lab.program().await, lab.program().await);

    a.write("\n  {\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"pool.query\"}\r\n")
        .await;
    b.write("{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"system.info\"}\n")
        .await;

    let (pools, info) = (a.next().await.unwrap(), b.next().await.unwrap());
    assert_eq!(
        (&pools["id"], &pools["result"][0]["name"]),
        (&json!("x"), &json!("tank"))
    );
    assert_eq!(info["result"]["hostname"], "truenas");
    let sessions = a.call("auth.sessions", &json!([])).await;
    assert_eq!(sessions["result"].as_array().unwrap().len(), 1);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_script_that_closes_its_output_receives_its_replies_and_then_the_end() {
    let lab = Lab::start().await;
    let mut program = lab.program().await;
    for _ in 0..3 {
        program.send("pool.query", &json!([])).await;
    }
    // The last line has no line break.
    program
        .write(r#"{"jsonrpc":"2.0","id":9,"method":"core.ping"}"#)
        .await;
    program.writer.shutdown().await.unwrap();

    let mut ids = Vec::new();
    while let Some(reply) = program.next().await {
        ids.push(reply["id"].as_u64().unwrap());
    }

    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3, 9]);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn calls_of_a_program_that_has_ended_are_withdrawn() {
    let policy = Policy {
        in_flight_max: 2,
        reserved_for_others: 1,
        ..Policy::DEFAULT
    };
    let lab = Lab::with(policy, None, Key::Fixed(secret(KEY))).await;
    let mut watcher = lab.program().await;
    watcher.until(|it| it["state"] == "connected").await;
    lab.nas.control("hold-calls").await;
    let mut program = lab.program().await;
    for number in 0..5 {
        let name = json!([{"name": format!("tank/{number}")}]);
        program.send("pool.dataset.create", &name).await;
    }
    watcher
        .until(|it| it["in_flight"] == 1 && it["queued"] == 4)
        .await;

    drop(program);
    watcher
        .until(|it| it["programs"] == 1 && it["queued"] == 0)
        .await;
    lab.nas.control("release-calls").await;
    watcher.until(|it| it["in_flight"] == 0).await;

    assert_eq!(lab.nas.journal("pool.dataset.create").await.len(), 1);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_line_above_64_kib_ends_its_connection_with_an_error_and_no_other() {
    let lab = Lab::start().await;
    let (mut program, mut other) = (lab.program().await, lab.program().await);

    program.write(&"[".repeat((64 << 10) + 2)).await;

    let error = program.next().await.unwrap();
    assert_eq!(
        (&error["id"], &error["error"]["code"]),
        (&Value::Null, &json!(-32_700))
    );
    assert_eq!(program.next().await, None);
    assert_eq!(other.call("core.ping", &json!([])).await["result"], "pong");
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_line_of_exactly_64_kib_is_permitted_without_its_line_break() {
    let lab = Lab::start().await;
    for (bytes, end, is_permitted) in [
        (64 << 10, "\n", true),
        (64 << 10, "\r\n", true),
        ((64 << 10) + 1, "\n", false),
    ] {
        let mut program = lab.program().await;
        let request = r#"{"jsonrpc":"2.0","id":1,"method":"bridge.status""#;
        let blanks = " ".repeat(bytes - request.len() - 1);
        // In two parts, so that the bridge has the whole line without its end for some time.
        program.write(&format!("{request}{blanks}}}")).await;
        tokio::task::yield_now().await;
        // Fails if the bridge has closed the connection because of the first part.
        let _ = program.writer.write_all(end.as_bytes()).await;

        let reply = program.next().await.unwrap();

        assert_eq!(
            reply["result"].is_object(),
            is_permitted,
            "{bytes}: {reply}"
        );
    }
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_program_that_floods_and_never_reads_is_disconnected_and_others_are_served() {
    let policy = Policy {
        send_bytes_max: 64 << 10,
        ..Policy::DEFAULT
    };
    let lab = Lab::with(policy, None, Key::Fixed(secret(KEY))).await;
    let (mut flood, mut other) = (lab.program().await, lab.program().await);
    let line = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"core.set_options\"}\n".repeat(100);

    let flooded = async {
        // Fails once the bridge has closed the connection.
        while flood.writer.write_all(line.as_bytes()).await.is_ok() {}
    };
    timeout(PATIENCE, flooded).await.expect("disconnected");

    assert_eq!(other.call("core.ping", &json!([])).await["result"], "pong");
    other.until(|it| it["programs"] == 1).await;
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn connections_above_the_limit_are_closed_at_once_and_the_others_are_served() {
    let policy = Policy {
        programs_max: 2,
        ..Policy::DEFAULT
    };
    let lab = Lab::with(policy, None, Key::Fixed(secret(KEY))).await;
    let (mut a, mut b) = (lab.program().await, lab.program().await);
    for program in [&mut a, &mut b] {
        program.call("core.ping", &json!([])).await;
    }

    let mut third = lab.program().await;

    // It has sent nothing, and does not wait for the first byte.
    let reason = third.next().await.unwrap();
    assert_eq!(reason["error"]["data"]["outcome"], "not_sent");
    assert_eq!(
        reason["error"]["message"],
        "The call was not sent: too many programs are connected"
    );
    assert_eq!(third.next().await, None);
    drop(a);
    b.until(|it| it["programs"] == 1).await;
    let mut next = lab.program().await;
    assert_eq!(next.call("core.ping", &json!([])).await["result"], "pong");
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_flood_of_calls_does_not_delay_another_program() {
    let lab = Lab::start().await;
    let (mut flood, mut other) = (lab.program().await, lab.program().await);
    other.until(|it| it["state"] == "connected").await;
    lab.nas.control("hold-calls").await;
    for _ in 0..120 {
        flood.send("pool.query", &json!([])).await;
    }
    // 8 in flight, 100 wait, 12 rejected.
    other
        .until(|it| it["in_flight"] == 8 && it["queued"] == 100)
        .await;

    let id = other.send("system.info", &json!([])).await;
    other.until(|it| it["in_flight"] == 9).await;
    lab.nas.control("release-calls").await;

    assert_eq!(other.response(id).await["result"]["hostname"], "truenas");
    let mut codes = Vec::new();
    for _ in 0..120 {
        codes.push(flood.next().await.unwrap()["error"]["code"].clone());
    }
    codes.retain(|code| !code.is_null());
    assert_eq!(codes, vec![json!(-32_000); 12]);
    lab.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_key_ends_the_bridge_with_the_reason_and_programs_receive_it() {
    let lab = Lab::with(Policy::DEFAULT, None, Key::Fixed(secret("1-wrong"))).await;
    let mut program = lab.program().await;
    let id = program.send("pool.query", &json!([])).await;

    let reply = program.response(id).await;
    let ended = lab.ended().await.unwrap_err().to_string();

    assert_eq!(reply["error"]["data"]["outcome"], "not_sent");
    let text = reply["error"]["message"].as_str().unwrap();
    assert!(text.contains("the user or the API key is wrong"), "{text}");
    assert!(
        ended.contains("the user or the API key is wrong"),
        "{ended}"
    );
}

#[tokio::test]
async fn a_key_file_that_was_replaced_is_read_again_without_a_restart() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "1-old\n").unwrap();
    let lab = Lab::with(Policy::DEFAULT, None, Key::File(file.clone())).await;
    let mut program = lab.program().await;
    let is_rejected = |it: &Value| it["cause"].as_str().is_some_and(|it| it.contains("wrong"));
    program.until(is_rejected).await;

    std::fs::write(&file, format!("{KEY}\n")).unwrap();

    let pools = program.call("pool.query", &json!([])).await;
    assert_eq!(pools["result"][0]["name"], "tank");
    lab.stop().await.unwrap();
}
