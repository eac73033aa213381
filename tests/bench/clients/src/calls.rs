//! Calls over one connection, with a fixed number of calls in flight.
//!
//! All libraries send the same command, the gateway's publication with an idempotency key, and each reply is parsed and
//! checked. A library is used by one task for each call in flight, as in an application; the bare loop has one task.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use load::job::{Job, Library, Report, Workload};
use serde::{Deserialize, Serialize};
use steadfast::centrifuge::Acknowledgement;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The method of a publication with an idempotency key.
pub(crate) const METHOD: &str = steadfast_protocol::idempotent::METHOD;

/// A channel without subscribers.
const CHANNEL: &str = "calls";

/// 126 bytes, so that the JSON string has 128.
const DATA: &str = "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345";

/// Maximum time to open a session.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// The argument of a call.
#[derive(Debug, Serialize)]
pub(crate) struct Argument<'a> {
    channel: &'static str,
    data: &'static str,
    idempotency_key: &'a str,
}

impl<'a> Argument<'a> {
    pub(crate) const fn new(key: &'a str) -> Self {
        Self {
            channel: CHANNEL,
            data: DATA,
            idempotency_key: key,
        }
    }
}

/// The result of a call.
#[derive(Deserialize)]
struct CallResult {
    offset: u64,
    duplicate: bool,
}

/// Checks the result of a call: every key is new, so none may be a duplicate.
pub(crate) fn check(result: &[u8]) -> Result<()> {
    let result: CallResult = serde_json::from_slice(result)?;
    ensure!(
        result.offset > 0 && !result.duplicate,
        "invalid result of a call"
    );
    Ok(())
}

/// Counts the calls of all tasks.
#[derive(Debug, Default)]
pub(crate) struct CallCounter {
    started: AtomicU64,
    completed: AtomicU64,
}

impl CallCounter {
    pub(crate) fn next_number(&self) -> u64 {
        self.started.fetch_add(1, Ordering::Relaxed)
    }

    /// Returns the idempotency key of call `number`, unique in a run. Each run starts a new gateway, which has no keys.
    #[expect(
        clippy::unused_self,
        reason = "the counter assigns the numbers that the keys contain"
    )]
    pub(crate) fn key(&self, number: u64) -> String {
        format!("{number:016x}")
    }

    pub(crate) fn completed(&self) {
        self.completed.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }
}

pub(crate) async fn run(job: Job) -> Result<()> {
    let Workload::Calls {
        in_flight,
        warm_up_ms,
        time_ms,
    } = job.workload
    else {
        bail!("the job has no calls");
    };
    let counter = Arc::new(CallCounter::default());
    let mut callers = callers(job, in_flight, &counter).await?;
    let measured = async {
        tokio::time::sleep(Duration::from_millis(warm_up_ms)).await;
        crate::report(&Report::Ready)?;
        crate::wait_for_line()?;
        let (start, before) = (Instant::now(), counter.count());
        tokio::time::sleep(Duration::from_millis(time_ms)).await;
        let calls = counter.count() - before;
        ensure!(calls > 0, "no call was completed");
        let elapsed_ns = u64::try_from(start.elapsed().as_nanos())?;
        crate::report(&Report::CallsCompleted { calls, elapsed_ns })
    };
    tokio::select! {
        measured = measured => measured,
        ended = callers.join_next() => {
            ended.context("no callers")?.context("a caller failed")?
        }
    }
}

async fn callers(
    job: Job,
    in_flight: u32,
    counter: &Arc<CallCounter>,
) -> Result<JoinSet<Result<()>>> {
    let mut callers = JoinSet::new();
    match job.library {
        Library::Bare => {
            let socket = crate::bare::open(job.port, None).await?;
            let counter = Arc::clone(counter);
            callers.spawn(async move { crate::bare::run_calls(socket, in_flight, &counter).await });
        }
        Library::Steadfast | Library::SteadfastPublish => {
            let client = crate::steadfast(job.port)?;
            client.ready(READY_TIMEOUT).await?;
            for _ in 0..in_flight {
                let (client, counter) = (client.clone(), Arc::clone(counter));
                if job.library == Library::Steadfast {
                    callers.spawn(async move { call_steadfast(&client, &counter).await });
                } else {
                    callers.spawn(async move { publish_steadfast(&client, &counter).await });
                }
            }
        }
        Library::Centrifuge => {
            let client = crate::centrifuge(job.port)?;
            timeout(READY_TIMEOUT, client.ready(None)).await??;
            for _ in 0..in_flight {
                let (client, counter) = (client.clone(), Arc::clone(counter));
                callers.spawn(async move { call_centrifuge(&client, &counter).await });
            }
        }
    }
    Ok(callers)
}

async fn call_steadfast(
    client: &steadfast::centrifuge::Client,
    counter: &CallCounter,
) -> Result<()> {
    loop {
        let key = counter.key(counter.next_number());
        check(&client.rpc(METHOD, &Argument::new(&key)).await?)?;
        counter.completed();
    }
}

/// Publishes through the client's outbox, which generates the idempotency keys.
async fn publish_steadfast(
    client: &steadfast::centrifuge::Client,
    counter: &CallCounter,
) -> Result<()> {
    loop {
        let outcome = client.publish(CHANNEL, &DATA)?.await;
        let Ok(Acknowledgement {
            duplicate: false, ..
        }) = outcome
        else {
            bail!("publication not acknowledged: {outcome:?}");
        };
        counter.completed();
    }
}

async fn call_centrifuge(client: &centrifuge::Client, counter: &CallCounter) -> Result<()> {
    loop {
        let key = counter.key(counter.next_number());
        let argument = serde_json::to_vec(&Argument::new(&key))?;
        check(&client.rpc(METHOD, argument).await?.data)?;
        counter.completed();
    }
}
