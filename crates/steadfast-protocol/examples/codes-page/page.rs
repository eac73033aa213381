//! Renders the table of codes as the reference page.

use steadfast_protocol::codes::{Advice, CloseCode, DisconnectCode, ErrorCode, UnsubscribeCode};

/// What stands above the tables.
const HEAD: &str = "\
# Codes

Every number with which Steadfast refuses, ends or interrupts something, the text that travels with it, and what a client does about it.

This page is rendered from the one table in `steadfast-protocol`.
After a change of the table run `cargo run -p steadfast-protocol --example codes-page`.

The ranges decide what a client does, so a code that is not listed here gets its advice from its range.
A reason or message may end in `; retry_in=12s`: the number of seconds after which to come back, at most an hour.
";

const ERRORS: &str = "
## Error codes in replies

A command was refused, and the connection goes on.
Applications have 400 to 1999 to themselves; client libraries use numbers below 100 for what they find out alone, which may always be tried again.
A temporary error may be tried again whatever its number.
";

const DISCONNECTS: &str = "
## Disconnect codes

They travel in the close frame of a WebSocket connection, and as a disconnect push on transports without close codes.
3500 to 3999 and 4500 to 4999 mean not to come back; every other code from 3000 means to connect again.
Applications have 4000 to 4999 to themselves.
";

const UNSUBSCRIBES: &str = "
## Unsubscribe codes

A subscription ended, and the connection goes on.
2500 and above mean to subscribe again.
";

const CLOSES: &str = "
## Close codes of WebSocket

They come from WebSocket itself, not from the protocol inside.
1009 means not to come back, because the same message would be too large again; every other one means to connect again.
";

/// The whole page.
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
    let short = ["Code", "Reason", "Meaning", "What a client does"];
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
