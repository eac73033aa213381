//! The books: what was asked, what was acknowledged, and what a reader found; and what must be true of the three.

use std::collections::{BTreeMap, BTreeSet};

use crate::records::{Failure, Name, fields};

/// A place: channel and offset.
type Place = (String, u64);

/// All that is known about one directory.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// Every record that the writer was about to ask for, with the hash of its payload.
    asked: BTreeMap<Name, String>,
    /// Asked and not answered when the writer was killed.
    unanswered: BTreeSet<Name>,
    /// Where each acknowledged record is.
    acknowledged: BTreeMap<Name, Place>,
    /// What the last reader found.
    found: BTreeMap<Place, Name>,
    epochs: BTreeMap<String, String>,
}

/// What one reader found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    records: BTreeMap<Place, Name>,
    hashes: BTreeMap<Name, String>,
    tops: BTreeMap<String, u64>,
    epochs: BTreeMap<String, String>,
}

impl Books {
    /// Keyed records of the cycle before of which nobody knows whether they were stored.
    pub(crate) fn open_questions(&mut self) -> Vec<Name> {
        let unanswered = std::mem::take(&mut self.unanswered);
        unanswered
            .into_iter()
            .filter(|name| name.is_keyed())
            .collect()
    }

    pub(crate) fn in_flight(&self) -> u64 {
        u64::try_from(self.unanswered.len()).unwrap_or(u64::MAX)
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
            Some("ask" | "repeat") => {
                let name = Name::parse(field("name")?).ok_or("not a name")?;
                self.asked.insert(name, field("hash")?.to_owned());
                self.unanswered.insert(name);
                Ok(())
            }
            Some("ack") => {
                let name = Name::parse(field("name")?).ok_or("not a name")?;
                let place = (name.channel(), field("offset")?.parse()?);
                let was_stored = self
                    .found
                    .values()
                    .any(|found| name.is_keyed() && *found == name);
                if was_stored != (field("duplicate")? == "true") {
                    return Err(format!("stored before: {was_stored}, yet: {line}").into());
                }
                if was_stored && self.found.get(&place) != Some(&name) {
                    return Err(format!("a repeat got another place: {line}").into());
                }
                self.unanswered.remove(&name);
                self.acknowledged.insert(name, place);
                self.keep_epoch(&name.channel(), field("epoch")?)
            }
            _ => Err(format!("the writer said: {line}").into()),
        }
    }

    /// Holds what was found against everything that is known, and takes it over.
    pub(crate) fn compare(&mut self, found: Found) -> Result<(), Failure> {
        for (name, place) in &self.acknowledged {
            if found.records.get(place) != Some(name) {
                return Err(format!("acknowledged record {name:?} is not at {place:?}").into());
            }
        }
        for (place, name) in &self.found {
            if found.records.get(place) != Some(name) {
                return Err(
                    format!("record {name:?} was at {place:?} before and is not any more").into(),
                );
            }
        }
        for (name, hash) in &found.hashes {
            if self.asked.get(name) != Some(hash) {
                return Err(format!("record {name:?} is not what was asked").into());
            }
        }
        for (channel, epoch) in &found.epochs {
            self.keep_epoch(channel, epoch)?;
        }
        self.found = found.records;
        Ok(())
    }

    /// A channel's epoch never changes: every start here is after a sync of all that was acknowledged.
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
                let top = self.tops.entry(channel.clone()).or_insert(0);
                if offset != *top + 1 {
                    return Err(format!("{channel} goes on with {offset} after {top}").into());
                }
                *top = offset;
                self.records.insert((channel, offset), name);
                match self.hashes.insert(name, field("hash")?.to_owned()) {
                    None => Ok(()),
                    Some(_) => Err(format!("{name:?} is there twice").into()),
                }
            }
            Some("channel") => {
                let (channel, top) = (field("channel")?, field("top")?);
                let seen = self.tops.get(channel).copied().unwrap_or_default();
                if top.parse() != Ok(seen) {
                    return Err(format!("{channel} has top {top} and ends with {seen}").into());
                }
                // A channel without a publication has no history that an epoch could vouch for.
                if seen > 0 {
                    self.epochs
                        .insert(channel.to_owned(), field("epoch")?.to_owned());
                }
                Ok(())
            }
            _ => Err(format!("the reader said: {line}").into()),
        }
    }
}
