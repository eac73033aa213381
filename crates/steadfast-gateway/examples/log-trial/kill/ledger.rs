//! The ledger: what was requested, what was acknowledged and what a reader found, and the invariants between the three.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_machine::convert;

use crate::records::{Failure, Name, fields};

/// A channel and an offset in it.
type Position = (String, u64);

/// All that is known about one directory.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Every record that the writer was about to request, with the hash of its payload.
    requested: BTreeMap<Name, String>,
    /// Records that were requested, but not acknowledged when the writer was killed.
    unacknowledged: BTreeSet<Name>,
    acknowledged: BTreeMap<Name, Position>,
    /// The records that the last reader found.
    found: BTreeMap<Position, Name>,
    epochs: BTreeMap<String, String>,
}

/// The records that one reader found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    records: BTreeMap<Position, Name>,
    hashes: BTreeMap<Name, String>,
    newest: BTreeMap<String, u64>,
    epochs: BTreeMap<String, String>,
}

impl Ledger {
    /// Removes the unacknowledged records of the previous cycle; returns those with an idempotency key.
    pub(crate) fn take_unresolved(&mut self) -> Vec<Name> {
        let unacknowledged = std::mem::take(&mut self.unacknowledged);
        unacknowledged
            .into_iter()
            .filter(|name| name.has_idempotency_key())
            .collect()
    }

    pub(crate) fn in_flight(&self) -> u64 {
        convert::to_u64(self.unacknowledged.len())
    }

    pub(crate) fn on_writer(&mut self, line: &str) -> Result<(), Failure> {
        let fields = fields(line);
        let field = |name: &str| {
            fields
                .get(name)
                .copied()
                .ok_or_else(|| format!("no {name} in: {line}"))
        };
        match line.split(' ').next() {
            Some("ready") => Ok(()),
            Some("request" | "repeat") => {
                let name = Name::parse(field("name")?).ok_or("not a name")?;
                self.requested.insert(name, field("hash")?.to_owned());
                self.unacknowledged.insert(name);
                Ok(())
            }
            Some("ack") => {
                let name = Name::parse(field("name")?).ok_or("not a name")?;
                let position = (name.channel(), field("offset")?.parse()?);
                let was_stored = self
                    .found
                    .values()
                    .any(|found| name.has_idempotency_key() && *found == name);
                if was_stored != (field("duplicate")? == "true") {
                    return Err(format!("stored before: {was_stored}, but: {line}").into());
                }
                if was_stored && self.found.get(&position) != Some(&name) {
                    return Err(format!("a repeated record got another position: {line}").into());
                }
                self.unacknowledged.remove(&name);
                self.acknowledged.insert(name, position);
                self.keep_epoch(&name.channel(), field("epoch")?)
            }
            _ => Err(format!("unexpected line of the writer: {line}").into()),
        }
    }

    /// Compares what a reader found with everything that is known, and stores what was found.
    pub(crate) fn compare(&mut self, found: Found) -> Result<(), Failure> {
        for (name, position) in &self.acknowledged {
            if found.records.get(position) != Some(name) {
                return Err(format!("acknowledged record {name:?} is not at {position:?}").into());
            }
        }
        for (position, name) in &self.found {
            if found.records.get(position) != Some(name) {
                return Err(format!(
                    "record {name:?} was at {position:?} before and is missing now"
                )
                .into());
            }
        }
        for (name, hash) in &found.hashes {
            if self.requested.get(name) != Some(hash) {
                return Err(format!("record {name:?} differs from the request").into());
            }
        }
        for (channel, epoch) in &found.epochs {
            self.keep_epoch(channel, epoch)?;
        }
        self.found = found.records;
        Ok(())
    }

    /// Checks that a channel's epoch never changes: each start follows a sync of everything that was acknowledged.
    fn keep_epoch(&mut self, channel: &str, epoch: &str) -> Result<(), Failure> {
        let known = self
            .epochs
            .entry(channel.to_owned())
            .or_insert_with(|| epoch.to_owned());
        if known == epoch {
            Ok(())
        } else {
            Err(format!("{channel} changed its epoch from {known} to {epoch}").into())
        }
    }
}

impl Found {
    pub(crate) fn on_reader(&mut self, line: &str) -> Result<(), Failure> {
        let fields = fields(line);
        let field = |name: &str| {
            fields
                .get(name)
                .copied()
                .ok_or_else(|| format!("no {name} in: {line}"))
        };
        match line.split(' ').next() {
            Some("opened") if field("epochs_changed")? == "false" => Ok(()),
            Some("record") => {
                let name = Name::parse(field("name")?).ok_or("a record without a name")?;
                let channel = field("channel")?.to_owned();
                let offset: u64 = field("offset")?.parse()?;
                let newest = self.newest.entry(channel.clone()).or_insert(0);
                if offset != *newest + 1 {
                    return Err(format!("{channel} continues with {offset} after {newest}").into());
                }
                *newest = offset;
                self.records.insert((channel, offset), name);
                match self.hashes.insert(name, field("hash")?.to_owned()) {
                    None => Ok(()),
                    Some(_) => Err(format!("{name:?} is stored twice").into()),
                }
            }
            Some("channel") => {
                let (channel, mark) = (field("channel")?, field("high_watermark")?);
                let seen = self.newest.get(channel).copied().unwrap_or_default();
                if mark.parse() != Ok(seen) {
                    return Err(format!(
                        "{channel} has high watermark {mark} and ends with {seen}"
                    )
                    .into());
                }
                // A channel without a publication has no history that an epoch could identify.
                if seen > 0 {
                    self.epochs
                        .insert(channel.to_owned(), field("epoch")?.to_owned());
                }
                Ok(())
            }
            _ => Err(format!("unexpected line of the reader: {line}").into()),
        }
    }
}
