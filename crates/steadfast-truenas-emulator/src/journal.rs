//! The journal of executed calls: what a test compares with what a client believes.

use std::collections::VecDeque;

use serde_json::{Value, json};
use steadfast_machine::Timestamp;

use crate::io::ConnectionId;

/// The most entries that are kept; the oldest are forgotten.
const ENTRIES_MAX: usize = 10_000;

/// The executed calls, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    entries: VecDeque<JournalEntry>,
    next: u64,
}

/// A call that was executed or cancelled. Rejected calls have no entry.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalEntry {
    /// The number of the entry, from 0.
    pub number: u64,
    /// The number of the start of the middleware, from 1.
    pub start: u64,
    /// The connection of the caller.
    pub connection: ConnectionId,
    /// The name of the method.
    pub method: String,
    /// The parameters; those of `auth` methods are replaced by `null`, because they are secrets.
    pub params: Vec<Value>,
    /// When it was executed or cancelled.
    pub at: Timestamp,
    /// What became of it.
    pub state: CallState,
    /// Whether the reply was handed to the socket. The client may not have received it.
    pub reply_sent: bool,
}

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallState {
    /// It had its effect.
    Executed,
    /// It was executed and failed, without an effect.
    Failed,
    /// Its connection ended before it had an effect.
    Cancelled,
}

impl CallState {
    const fn name(self) -> &'static str {
        match self {
            Self::Executed => "executed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Journal {
    /// Returns the entries, oldest first.
    pub fn entries(&self) -> impl Iterator<Item = &JournalEntry> {
        self.entries.iter()
    }

    /// Returns the entries of one method, oldest first.
    pub fn of<'a>(&'a self, method: &'a str) -> impl Iterator<Item = &'a JournalEntry> {
        self.entries().filter(move |entry| entry.method == method)
    }

    /// Returns the entries as a JSON array.
    pub fn to_json(&self) -> Value {
        self.entries().map(JournalEntry::to_json).collect()
    }

    /// Adds an entry, and returns its number.
    pub(crate) fn add(&mut self, mut entry: JournalEntry) -> u64 {
        if entry.method.starts_with("auth.") {
            entry.params.fill(Value::Null);
        }
        entry.number = self.next;
        self.next += 1;
        if self.entries.len() == ENTRIES_MAX {
            self.entries.pop_front();
        }
        self.entries.push_back(entry);
        self.next - 1
    }

    /// Records that the reply of a call was sent, unless its entry is forgotten.
    pub(crate) fn reply_sent(&mut self, number: u64) {
        if let Some(entry) = self.entry(number) {
            entry.reply_sent = true;
        }
    }

    /// Records that a call failed.
    pub(crate) fn set_failed(&mut self, number: u64) {
        if let Some(entry) = self.entry(number) {
            entry.state = CallState::Failed;
        }
    }

    fn entry(&mut self, number: u64) -> Option<&mut JournalEntry> {
        let mut newest_first = self.entries.iter_mut().rev();
        newest_first.find(|entry| entry.number == number)
    }
}

impl JournalEntry {
    fn to_json(&self) -> Value {
        json!({
            "number": self.number,
            "start": self.start,
            "connection": self.connection.as_u64(),
            "method": self.method,
            "params": self.params,
            "at_ms": self.at.as_millis(),
            "state": self.state.name(),
            "reply_sent": self.reply_sent,
        })
    }
}
