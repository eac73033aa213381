//! The third-party stores and the floor: one thread commits all queued records as one batch, as the gateway's log does.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use anyhow::{Context, Result};

use super::{Engine, Record};

/// The same numbers as in the gateway's log writer.
const MESSAGES_MAX: usize = 1024;
const BATCH_MAX: usize = 8192;

/// Size of the floor's file. At its end, writes continue at its start, so that every write overwrites old bytes.
const FLOOR_BYTES: u64 = 64 << 20;

/// A thread that makes batches durable.
pub(crate) struct Committer {
    requests: SyncSender<Vec<Record>>,
    durable: Receiver<Result<Vec<u16>>>,
}

impl Committer {
    fn start(mut commit: impl FnMut(&[Record]) -> Result<()> + Send + 'static) -> Self {
        let (requests, inbox) = sync_channel::<Vec<Record>>(MESSAGES_MAX);
        let (outbox, durable) = sync_channel(MESSAGES_MAX);
        std::thread::spawn(move || {
            while let Ok(mut batch) = inbox.recv() {
                while batch.len() < BATCH_MAX
                    && let Ok(more) = inbox.try_recv()
                {
                    batch.extend(more);
                }
                let writers = batch.iter().map(|record| record.writer).collect();
                if outbox.send(commit(&batch).map(|()| writers)).is_err() {
                    return;
                }
            }
        });
        Self { requests, durable }
    }
}

impl Engine for Committer {
    fn submit(&mut self, batch: Vec<Record>) -> Result<()> {
        self.requests
            .send(batch)
            .context("the committer thread has ended")
    }

    fn acknowledged(&mut self, writers: &mut Vec<u16>) -> Result<()> {
        writers.extend(
            self.durable
                .recv()
                .context("the committer thread has ended")??,
        );
        Ok(())
    }
}

pub(crate) fn fjall(directory: &Path) -> Result<Committer> {
    let database = fjall::Database::builder(directory).open()?;
    let records = database.keyspace("records", fjall::KeyspaceCreateOptions::default)?;
    let mut keys = Keys::default();
    Ok(Committer::start(move |batch_records| {
        let mut batch = database
            .batch()
            .durability(Some(fjall::PersistMode::SyncData));
        for record in batch_records {
            batch.insert(&records, keys.next(record.writer), &*record.payload);
        }
        Ok(batch.commit()?)
    }))
}

pub(crate) fn redb(directory: &Path) -> Result<Committer> {
    const RECORDS: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("records");
    let database = redb::Database::create(directory.join("records.redb"))?;
    let mut keys = Keys::default();
    Ok(Committer::start(move |batch_records| {
        // By default redb syncs at each commit.
        let transaction = database.begin_write()?;
        {
            let mut records = transaction.open_table(RECORDS)?;
            for record in batch_records {
                records.insert(keys.next(record.writer).as_slice(), &*record.payload)?;
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
    Ok(Committer::start(move |batch_records| {
        let mut bytes = Vec::with_capacity(
            batch_records
                .iter()
                .map(|record| record.payload.len())
                .sum(),
        );
        for record in batch_records {
            bytes.extend_from_slice(&record.payload);
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

/// Generates keys in the order of a writer's records: the writer, then an increasing number.
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
