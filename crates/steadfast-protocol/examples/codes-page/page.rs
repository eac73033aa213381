//! Renders the table of codes as the reference page.

use steadfast_protocol::codes::{Advice, CloseCode, DisconnectCode, ErrorCode, UnsubscribeCode};

/// The introduction above the tables.
const HEAD: &str = "\
# Codes

All codes with which Steadfast rejects a command, ends a subscription or closes a connection, with their texts and the action of a client.

This page is generated from the table in `steadfast-protocol`.
After changing the table, run `cargo run -p steadfast-protocol --example codes-page`.

The range of a code determines the action of a client unless a table says otherwise; this also applies to codes that are not listed.
A reason or message may end in `; retry_in=12s`: the number of seconds after which to retry or reconnect, at most an hour.
";

const ERRORS: &str = "
## Error codes in replies

The command was rejected; the connection stays open.
400 to 1999 are reserved for applications; client libraries use numbers below 100 for errors that they detect themselves, which can always be retried.
A temporary error can be retried whatever its number.
";

const DISCONNECTS: &str = "
## Disconnect codes

They are sent in the close frame of a WebSocket connection, and as a disconnect push on transports without close codes.
On 3500 to 3999 and 4500 to 4999 a client does not reconnect; on every other code from 3000 it does.
4000 to 4999 are reserved for applications.
";

const UNSUBSCRIBES: &str = "
## Unsubscribe codes

The subscription ended; the connection stays open.
On 2500 and above a client resubscribes.
";

const CLOSES: &str = "
## Close codes of WebSocket

They are defined by WebSocket itself, not by the Centrifuge client protocol.
On 1009 a client does not reconnect, because the same message would be too large again; on every other code it does.
";

/// Returns the text of the page.
pub(crate) fn render() -> String {
    let errors = ErrorCode::ALL.iter().map(|row| {
        let reply = row.reply();
        vec![
            row.code().to_string(),
            row.reason().to_owned(),
            row.meaning().to_owned(),
            if row.is_temporary() { "yes" } else { "no" }.to_owned(),
            Advice::for_connect_error(&reply).to_string(),
            Advice::for_subscribe_error(&reply).to_string(),
            Advice::for_call_error(&reply).to_string(),
        ]
    });
    let disconnects = DisconnectCode::ALL
        .iter()
        .map(|row| short_row(row.code().into(), row.reason(), row.meaning(), row.advice()));
    let unsubscribes = UnsubscribeCode::ALL
        .iter()
        .map(|row| short_row(row.code(), row.reason(), row.meaning(), row.advice()));
    let closes = CloseCode::ALL
        .iter()
        .map(|row| short_row(row.code().into(), row.reason(), row.meaning(), row.advice()));
    let short = ["Code", "Reason", "Meaning", "Client action"];
    let long = [
        "Code",
        "Message",
        "Meaning",
        "Temporary",
        "On connect",
        "On subscribe",
        "On another call",
    ];
    [
        HEAD.to_owned(),
        ERRORS.to_owned(),
        table(&long, errors),
        DISCONNECTS.to_owned(),
        table(&short, disconnects),
        UNSUBSCRIBES.to_owned(),
        table(&short, unsubscribes),
        CLOSES.to_owned(),
        table(&short, closes),
    ]
    .concat()
}

fn short_row(code: u32, reason: &str, meaning: &str, advice: Advice) -> Vec<String> {
    vec![
        code.to_string(),
        reason.to_owned(),
        meaning.to_owned(),
        advice.to_string(),
    ]
}

fn table(columns: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let head: Vec<String> = columns.iter().copied().map(str::to_owned).collect();
    let rule = vec!["---".to_owned(); columns.len()];
    let rows: String = rows.map(|row| line(&row)).collect();
    format!("\n{}{}{rows}", line(&head), line(&rule))
}
