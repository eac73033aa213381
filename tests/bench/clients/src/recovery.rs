//! Sessions that come back after their server was killed, with everything that was published meanwhile.
//!
//! Nothing here retries: when to dial again, and from where to go on, is left to the library and its defaults.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use load::order::{Library, Order, RECOVERY_CHANNEL, Word, now_ns};
use steadfast::{SessionEvent, SubscriptionEvent};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A session that has not come back by then never will.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Marks that a session stands for the first time.
type Started = mpsc::Sender<()>;

/// What became of a session.
struct Return {
    at_ns: u64,
    attempts: u32,
}

/// What one session has of its channel.
struct Ledger {
    at: u64,
    end: u64,
    resumed_at_ns: Option<u64>,
}

impl Ledger {
    fn start(at: u64, publications: u32) -> Self {
        Self {
            at,
            end: at + u64::from(publications),
            resumed_at_ns: None,
        }
    }

    fn resumed(&mut self) {
        self.resumed_at_ns.get_or_insert_with(now_ns);
    }

    fn publication(&mut self, offset: u64) -> Result<()> {
        ensure!(offset == self.at + 1, "{offset} came behind {}", self.at);
        self.at = offset;
        Ok(())
    }

    /// When it came back, once it has everything.
    fn done(&self) -> Option<u64> {
        self.resumed_at_ns.filter(|_| self.at == self.end)
    }
}

pub(crate) async fn run(order: Order, sessions: u32, publications: u32) -> Result<()> {
    let mut returns = JoinSet::new();
    let (started, mut starts) = mpsc::channel(64);
    for _ in 0..sessions {
        let started = started.clone();
        match order.library {
            Library::Steadfast => {
                returns.spawn(steadfast(order.port, publications, started));
            }
            Library::Centrifuge => {
                returns.spawn(centrifuge(order.port, publications, started));
            }
            Library::Bare | Library::SteadfastPublish => return crate::refuse(order),
        }
    }
    drop(started);
    for _ in 0..sessions {
        if starts.recv().await.is_none() {
            // Every task has ended early; the first one says why.
            returns.join_next().await.context("no session")???;
        }
    }
    crate::say(&Word::Ready)?;
    let (mut at_ns, mut attempts) = (Vec::new(), Vec::new());
    let all = async {
        while let Some(back) = returns.join_next().await {
            let back = back??;
            at_ns.push(back.at_ns);
            attempts.push(back.attempts);
        }
        anyhow::Ok(())
    };
    timeout(TIMEOUT, all)
        .await
        .context("not every session came back")??;
    crate::say(&Word::Back { at_ns, attempts })
}

async fn steadfast(port: u16, publications: u32, started: Started) -> Result<Return> {
    let client = crate::steadfast(port)?;
    let mut subscription = client.subscribe(RECOVERY_CHANNEL);
    let Some(SubscriptionEvent::Subscribed { position }) = subscription.next().await else {
        bail!("it did not start");
    };
    let mut events = client.events();
    let mut ledger = Ledger::start(position.offset, publications);
    started.send(()).await?;
    drop(started);
    let at_ns = loop {
        match subscription.next().await.context("it ended")? {
            SubscriptionEvent::Resumed { .. } => ledger.resumed(),
            SubscriptionEvent::Publication(publication) => {
                ledger.publication(publication.offset)?
            }
            SubscriptionEvent::Join(_) | SubscriptionEvent::Leave(_) => {}
            lost @ (SubscriptionEvent::Subscribed { .. }
            | SubscriptionEvent::Gap { .. }
            | SubscriptionEvent::Unsubscribed { .. }) => {
                bail!("lost: {lost:?}")
            }
        }
        if let Some(at_ns) = ledger.done() {
            break at_ns;
        }
    };
    let mut attempts = 0;
    while let Ok(event) = events.try_recv() {
        attempts += u32::from(matches!(event, SessionEvent::Attempting { .. }));
    }
    Ok(Return { at_ns, attempts })
}

/// What the official client tells of a subscription.
enum News {
    Subscribed { offset: u64, recovered: bool },
    Publication(u64),
}

async fn centrifuge(port: u16, publications: u32, started: Started) -> Result<Return> {
    let client = crate::centrifuge(port)?;
    let (tell, mut news) = mpsc::channel(1024);
    let tell_too = tell.clone();
    // A handler has nobody to report a full queue to: a publication that does not fit is missed below.
    let subscription = client
        .new_subscription(RECOVERY_CHANNEL)
        .recoverable(true)
        .positioned(true)
        .on_subscribed(move |_, it| {
            let offset = it.stream_position.map_or(0, |at| at.offset);
            let recovered = it.recovered;
            drop(tell.try_send(News::Subscribed { offset, recovered }));
        })
        .on_publication(move |_, it| {
            drop(tell_too.try_send(News::Publication(it.publication.offset)));
        })
        .build()?;
    subscription.subscribe();
    let Some(News::Subscribed { offset, .. }) = news.recv().await else {
        bail!("it did not start");
    };
    let mut ledger = Ledger::start(offset, publications);
    let failed_before = client.statistics().reconnect_attempts;
    started.send(()).await?;
    drop(started);
    let at_ns = loop {
        match news.recv().await.context("it ended")? {
            News::Subscribed { recovered, .. } => {
                ensure!(recovered, "it was not recovered");
                ledger.resumed();
            }
            News::Publication(offset) => ledger.publication(offset)?,
        }
        if let Some(at_ns) = ledger.done() {
            break at_ns;
        }
    };
    let failed = client.statistics().reconnect_attempts - failed_before;
    Ok(Return {
        at_ns,
        attempts: u32::try_from(failed)? + 1,
    })
}
