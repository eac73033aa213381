//! The lines on standard output: responses and events.

use std::io::{self, Write as _};

use serde_json::{Value, json};

/// The driver reads commands.
pub(super) fn ready() {
    write(&json!({ "event": "ready" }));
}

/// A command was executed.
pub(super) fn done(id: u64) {
    write(&json!({ "id": id, "ok": {} }));
}

/// A command failed.
pub(super) fn error(id: u64, kind: &str, message: &str) {
    write(&json!({ "id": id, "error": { "kind": kind, "message": message } }));
}

/// Something happened to a client.
pub(super) fn event(client: &str, event: &str) {
    write(&json!({ "event": event, "client": client }));
}

/// An attempt to connect failed.
pub(super) fn attempt_failed(client: &str, reason: &str) {
    write(&json!({ "event": "attempt_failed", "client": client, "reason": reason }));
}

/// A connection ended.
pub(super) fn lost(client: &str, cause: &str) {
    write(&json!({ "event": "lost", "client": client, "cause": cause }));
}

/// A client does not connect any more.
pub(super) fn gave_up(client: &str) {
    let reason = "gave up";
    write(&json!({ "event": "disconnected", "client": client, "code": 0, "reason": reason }));
}

fn write(line: &Value) {
    let mut output = io::stdout().lock();
    // The lab has ended when it does not read any more, and then the input ends too.
    let _ = writeln!(output, "{line}").and_then(|()| output.flush());
}
