//! Effect logs: the files in which services write a line for each request that they execute.
//!
//! A line is a JSON object whose field `key` is the key of the request; other fields are ignored. A line without an end is
//! what a crash in the middle of a write leaves: it does not count, since its key may be incomplete.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde_json::Value;
use steadfast_faults::ledger::event::MessageId;
use steadfast_faults::topology::ClientId;
use steadfast_machine::convert;
use thiserror::Error;

/// The longest line.
const LINE_BYTES_MAX: usize = 64 << 10;
/// Requests of one run whose executions are counted.
const REQUESTS_MAX: usize = 8_000_000;

/// Why an effect log could not be read.
#[derive(Debug, Error)]
pub(crate) enum EffectLogError {
    #[error("it cannot be read: {0}; the service must create it when it starts")]
    Io(#[from] io::Error),
    #[error("line {0} is not a JSON object with the text `key`")]
    Invalid(u64),
    #[error("line {0} has more than {LINE_BYTES_MAX} bytes")]
    TooLong(u64),
    #[error("it names more than {REQUESTS_MAX} requests")]
    TooMany,
}

/// The content of an effect log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EffectLog {
    /// The number of lines that have an end.
    pub(crate) lines: u64,
    /// Lines whose key is not of this run.
    pub(crate) foreign: u64,
    /// Whether the last line has no end.
    pub(crate) is_torn: bool,
    /// How often each request was executed.
    pub(crate) executions: BTreeMap<MessageId, u32>,
}

impl EffectLog {
    /// Reads a file; keys of this run begin with `prefix`.
    pub(crate) fn read(path: &Path, prefix: &str) -> Result<Self, EffectLogError> {
        Self::read_lines(File::open(path)?, prefix)
    }

    fn read_lines(file: impl io::Read, prefix: &str) -> Result<Self, EffectLogError> {
        let mut log = Self::default();
        let mut file = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let limit = convert::to_u64(LINE_BYTES_MAX + 1);
            let length = file.by_ref().take(limit).read_until(b'\n', &mut line)?;
            if length == 0 {
                return Ok(log);
            }
            let number = log.lines + 1;
            if line.last() != Some(&b'\n') {
                if length > LINE_BYTES_MAX {
                    return Err(EffectLogError::TooLong(number));
                }
                log.is_torn = true;
                return Ok(log);
            }
            let value: Option<Value> = serde_json::from_slice(&line).ok();
            let key = value.as_ref().and_then(|value| value.get("key")?.as_str());
            log.count(prefix, key.ok_or(EffectLogError::Invalid(number))?)?;
        }
    }

    fn count(&mut self, prefix: &str, key: &str) -> Result<(), EffectLogError> {
        self.lines += 1;
        let Some(request) = request(prefix, key) else {
            self.foreign += 1;
            return Ok(());
        };
        if self.executions.len() >= REQUESTS_MAX && !self.executions.contains_key(&request) {
            return Err(EffectLogError::TooMany);
        }
        let count = self.executions.entry(request).or_default();
        *count = count.saturating_add(1);
        Ok(())
    }
}

/// The key of a request: the same each time it is sent, and unique across runs.
pub(crate) fn key(prefix: &str, request: MessageId) -> String {
    format!("{prefix}-{}-{}", request.publisher.0, request.sequence)
}

/// The request of a key; `None` if the key is not of this run.
fn request(prefix: &str, key: &str) -> Option<MessageId> {
    let (client, sequence) = key
        .strip_prefix(prefix)?
        .strip_prefix('-')?
        .split_once('-')?;
    let request = MessageId {
        publisher: ClientId(client.parse().ok()?),
        sequence: sequence.parse().ok()?,
    };
    (self::key(prefix, request) == key).then_some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_are_counted_by_key_and_those_of_other_runs_apart() {
        let log = read(
            "{\"key\": \"a-1-2\"}\n{\"key\": \"a-1-2\", \"at\": 3}\n{\"key\": \"b-1-2\"}\n{\"key\": \"a-1-02\"}\n{\"key\": \"a-1-20\"}\n",
        )
        .unwrap();

        assert_eq!(log.lines, 5);
        assert_eq!(log.foreign, 2);
        assert!(!log.is_torn);
        let executions: Vec<_> = log.executions.into_iter().collect();
        assert_eq!(executions, [(request_id(2), 2), (request_id(20), 1)]);
    }

    #[test]
    fn a_line_without_an_end_does_not_count() {
        let log = read("{\"key\": \"a-1-1\"}\n{\"key\": \"a-1-2\"}").unwrap();

        assert_eq!((log.lines, log.is_torn), (1, true));
        assert_eq!(log.executions.len(), 1);
    }

    #[test]
    fn lines_of_another_form_are_named() {
        let long = format!("{{\"key\": \"{}\"}}\n", "x".repeat(LINE_BYTES_MAX));
        for (text, message) in [
            (
                "{\"key\": \"a-1-1\"}\na-1-2\n",
                "line 2 is not a JSON object with the text `key`",
            ),
            (
                "{\"key\": 7}\n",
                "line 1 is not a JSON object with the text `key`",
            ),
            (&long, "line 1 has more than 65536 bytes"),
        ] {
            assert_eq!(read(text).unwrap_err().to_string(), message);
        }
    }

    fn read(text: &str) -> Result<EffectLog, EffectLogError> {
        EffectLog::read_lines(text.as_bytes(), "a")
    }

    fn request_id(sequence: u64) -> MessageId {
        MessageId {
            publisher: ClientId(1),
            sequence,
        }
    }
}
