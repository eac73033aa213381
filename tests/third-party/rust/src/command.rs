//! One command line from the harness and its response. This module parses lines and does not use the client.

use std::error::Error;

use centrifuge::StreamPosition;
use serde_json::{Value, json};

/// The outcome of a command: the result, or an error in the format that the README describes.
pub(crate) type Response = Result<Value, Value>;

/// One parsed command line.
#[derive(Debug)]
pub(crate) struct Command(Value);

impl Command {
    /// Parses one line.
    ///
    /// # Errors
    ///
    /// When the line is not JSON.
    pub(crate) fn parse(line: &str) -> Result<Self, Box<dyn Error + Send + Sync>> {
        Ok(Self(serde_json::from_str(line)?))
    }

    /// The command's name.
    pub(crate) fn name(&self) -> &str {
        self.text("do")
    }

    /// The name of the client.
    pub(crate) fn client(&self) -> &str {
        self.text("client")
    }

    /// The string in this field; empty when absent.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }

    /// The boolean in this field; false when absent.
    pub(crate) fn flag(&self, field: &str) -> bool {
        self.0[field].as_bool().unwrap_or_default()
    }

    /// The integer in this field; 0 when absent.
    pub(crate) fn number(&self, field: &str) -> i64 {
        self.0[field].as_i64().unwrap_or_default()
    }

    /// The payload, as JSON text.
    pub(crate) fn data(&self) -> String {
        self.0["data"].to_string()
    }

    /// The position to continue from, if any.
    pub(crate) fn since(&self) -> Option<StreamPosition> {
        let since = self.0.get("since")?;
        let offset = since["offset"].as_u64()?;
        Some(StreamPosition::new(offset, since["epoch"].as_str()?))
    }

    /// The response line of this command.
    pub(crate) fn response_line(&self, response: Response) -> Value {
        match response {
            Ok(ok) => json!({"id": self.0["id"], "ok": ok}),
            Err(error) => json!({"id": self.0["id"], "error": error}),
        }
    }
}
