//! Calls over one connection, a fixed number of them unanswered at a time.
//!
//! All libraries send the same command, the gateway's publication with a key, and each answer is parsed and checked. A
//! library gets a task for each call in flight, as an application would have; the bare loop needs none.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use load::order::{Library, Order, Word, Work};
use serde::{Deserialize, Serialize};
use steadfast::Delivery;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The method of a publication with a key.
pub(crate) const METHOD: &str = steadfast_protocol::idempotent::METHOD;

/// A channel without subscribers.
const CHANNEL: &str = "calls";

/// 126 bytes, so that the JSON string has 128.
const DATA: &str = "012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345";

/// A session that does not stand after this time has failed.
const READY_TIMEOUT: Duration = Duration::from_secs(10);

/// What a call asks.
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

/// What it is told.
#[derive(Deserialize)]
struct Answer {
    offset: u64,
    duplicate: bool,
}

/// Checks an answer: every key is new, so nothing may be a duplicate.
pub(crate) fn check(answer: &[u8]) -> Result<()> {
    let answer: Answer = serde_json::from_slice(answer)?;
    ensure!(answer.offset > 0 && !answer.duplicate, "a wrong answer");
    Ok(())
}

/// Counts calls, for all who call.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    begun: AtomicU64,
    answered: AtomicU64,
}

impl Pace {
    pub(crate) fn next_number(&self) -> u64 {
        self.begun.fetch_add(1, Ordering::Relaxed)
    }

    /// A key that no other call has; the gateway that could remember an older one is started for each run.
    #[expect(
        clippy::unused_self,
        reason = "a pace has the numbers that keys are made of"
    )]
    pub(crate) fn key(&self, number: u64) -> String {
        format!("{number:016x}")
    }

    pub(crate) fn answered(&self) {
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

pub(crate) async fn run(order: Order) -> Result<()> {
    let Work::Calls {
        in_flight,
        warm_up_ms,
        time_ms,
    } = order.work
    else {
        bail!("no calls are ordered");
    };
    let pace = Arc::new(Pace::default());
    let mut callers = callers(order, in_flight, &pace).await?;
    let measured = async {
        tokio::time::sleep(Duration::from_millis(warm_up_ms)).await;
        crate::say(&Word::Ready)?;
        crate::wait_for_line()?;
        let (start, before) = (Instant::now(), pace.count());
        tokio::time::sleep(Duration::from_millis(time_ms)).await;
        let calls = pace.count() - before;
        ensure!(calls > 0, "nothing was answered");
        let elapsed_ns = u64::try_from(start.elapsed().as_nanos())?;
        crate::say(&Word::Called { calls, elapsed_ns })
    };
    tokio::select! {
        measured = measured => measured,
        ended = callers.join_next() => {
            ended.context("nobody calls")?.context("a caller broke")?
        }
    }
}

async fn callers(order: Order, in_flight: u32, pace: &Arc<Pace>) -> Result<JoinSet<Result<()>>> {
    let mut callers = JoinSet::new();
    match order.library {
        Library::Bare => {
            let socket = crate::bare::open(order.port, None).await?;
            let pace = Arc::clone(pace);
            callers.spawn(async move { crate::bare::call_on(socket, in_flight, &pace).await });
        }
        Library::Steadfast | Library::SteadfastPublish => {
            let client = crate::steadfast(order.port)?;
            ensure!(client.ready(READY_TIMEOUT).await, "no session");
            for _ in 0..in_flight {
                let (client, pace) = (client.clone(), Arc::clone(pace));
                if order.library == Library::Steadfast {
                    callers.spawn(async move { call_steadfast(&client, &pace).await });
                } else {
                    callers.spawn(async move { publish_steadfast(&client, &pace).await });
                }
            }
        }
        Library::Centrifuge => {
            let client = crate::centrifuge(order.port)?;
            timeout(READY_TIMEOUT, client.ready(None)).await??;
            for _ in 0..in_flight {
                let (client, pace) = (client.clone(), Arc::clone(pace));
                callers.spawn(async move { call_centrifuge(&client, &pace).await });
            }
        }
    }
    Ok(callers)
}

async fn call_steadfast(client: &steadfast::Client, pace: &Pace) -> Result<()> {
    loop {
        let key = pace.key(pace.next_number());
        check(&client.rpc(METHOD, &Argument::new(&key)).await?)?;
        pace.answered();
    }
}

/// The client makes keys of its own here.
async fn publish_steadfast(client: &steadfast::Client, pace: &Pace) -> Result<()> {
    loop {
        let delivery = client.publish(CHANNEL, &DATA)?.await;
        let Delivery::Acknowledged {
            duplicate: false, ..
        } = delivery
        else {
            bail!("not delivered: {delivery:?}");
        };
        pace.answered();
    }
}

async fn call_centrifuge(client: &centrifuge::Client, pace: &Pace) -> Result<()> {
    loop {
        let key = pace.key(pace.next_number());
        let argument = serde_json::to_vec(&Argument::new(&key))?;
        check(&client.rpc(METHOD, argument).await?.data)?;
        pace.answered();
    }
}
