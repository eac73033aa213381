//! Stores of others behind one thread that commits everything that waits as one group, as the gateway's log does.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Context, Result};

use super::{Engine, Item};

/// The same bounds as the gateway's writer has.
const MESSAGES_MAX: usize = 1024;
const GROUP_MAX: usize = 8192;

/// Size of the floor's file; writes start again at its beginning when it is full, so that all are overwrites.
const FLOOR_BYTES: u64 = 64 << 20;

/// A thread that makes groups durable.
pub(crate) struct Committer {
    asked: SyncSender<Vec<Item>>,
    durable: Receiver<Result<Vec<u16>>>,
}

impl Committer {
    fn start(mut commit: impl FnMut(&[Item]) -> Result<()> + Send + 'static) -> Self {
        let (asked, inbox) = sync_channel::<Vec<Item>>(MESSAGES_MAX);
        let (outbox, durable) = sync_channel(MESSAGES_MAX);
        std::thread::spawn(move || {
            while let Ok(mut group) = inbox.recv() {
                while group.len() < GROUP_MAX
                    && let Ok(more) = inbox.try_recv()
                {
                    group.extend(more);
                }
                let writers = group.iter().map(|item| item.writer).collect();
                if outbox.send(commit(&group).map(|()| writers)).is_err() {
                    return;
                }
            }
        });
        Self { asked, durable }
    }
}

impl Engine for Committer {
    fn submit(&mut self, batch: Vec<Item>) -> Result<()> {
        self.asked.send(batch).context("the committer is gone")
    }

    fn acknowledged(&mut self, writers: &mut Vec<u16>) -> Result<()> {
        writers.extend(self.durable.recv().context("the committer is gone")??);
        Ok(())
    }
}

pub(crate) fn fjall(directory: &Path) -> Result<Committer> {
    let database = fjall::Database::builder(directory).open()?;
    let records = database.keyspace("records", fjall::KeyspaceCreateOptions::default)?;
    let mut keys = Keys::default();
    Ok(Committer::start(move |group| {
        let mut batch = database
            .batch()
            .durability(Some(fjall::PersistMode::SyncData));
        for item in group {
            batch.insert(&records, keys.next(item.writer), &*item.payload);
        }
        Ok(batch.commit()?)
    }))
}

pub(crate) fn redb(directory: &Path) -> Result<Committer> {
    const RECORDS: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("records");
    let database = redb::Database::create(directory.join("records.redb"))?;
    let mut keys = Keys::default();
    Ok(Committer::start(move |group| {
        // Its default durability is a sync at each commit.
        let transaction = database.begin_write()?;
        {
            let mut records = transaction.open_table(RECORDS)?;
            for item in group {
                records.insert(keys.next(item.writer).as_slice(), &*item.payload)?;
            }
        }
        Ok(transaction.commit()?)
    }))
}

pub(crate) fn floor(directory: &Path) -> Result<Committer> {
    let file = File::create_new(directory.join("floor"))?;
    let zeros = vec![0; 1 << 20];
    for at in (0..FLOOR_BYTES).step_by(zeros.len()) {
        file.write_all_at(&zeros, at)?;
    }
    file.sync_all()?;
    let mut at = 0;
    Ok(Committer::start(move |group| {
        let mut bytes = Vec::with_capacity(group.iter().map(|item| item.payload.len()).sum());
        for item in group {
            bytes.extend_from_slice(&item.payload);
        }
        let len = u64::try_from(bytes.len())?;
        if at + len > FLOOR_BYTES {
            at = 0;
        }
        file.write_all_at(&bytes, at)?;
        at += len;
        Ok(file.sync_data()?)
    }))
}

/// Keys in the order of the writer's records: the writer, then a number that grows.
#[derive(Default)]
struct Keys {
    next: Vec<u64>,
}

impl Keys {
    fn next(&mut self, writer: u16) -> [u8; 10] {
        let index = usize::from(writer);
        if self.next.len() <= index {
            self.next.resize(index + 1, 0);
        }
        let mut key = [0; 10];
        let (prefix, number) = key.split_at_mut(2);
        prefix.copy_from_slice(&writer.to_be_bytes());
        if let Some(next) = self.next.get_mut(index) {
            *next += 1;
            number.copy_from_slice(&next.to_be_bytes());
        }
        key
    }
}
