//! Sessions that recover after their server was killed and receive everything that was published after its restart.
//!
//! Nothing here retries: the library and its defaults determine when to dial again and from which position to resume.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use load::job::{Job, Library, RECOVERY_CHANNEL, Report, now_ns};
use steadfast::SessionEvent;
use steadfast::centrifuge::{Item, SubscriptionEvent};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Maximum time until all sessions have recovered.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Signals that a session is subscribed for the first time.
type SubscribedSignal = mpsc::Sender<()>;

/// The recovery of one session.
struct Recovery {
    at_ns: u64,
    attempts: u32,
}

/// The publications that one session has received.
struct Progress {
    offset: u64,
    last_offset: u64,
    resumed_at_ns: Option<u64>,
}

impl Progress {
    fn start(offset: u64, publications: u32) -> Self {
        Self {
            offset,
            last_offset: offset + u64::from(publications),
            resumed_at_ns: None,
        }
    }

    fn on_resumed(&mut self) {
        self.resumed_at_ns.get_or_insert_with(now_ns);
    }

    fn on_publication(&mut self, offset: u64) -> Result<()> {
        ensure!(
            offset == self.offset + 1,
            "offset {offset} received after {}",
            self.offset
        );
        self.offset = offset;
        Ok(())
    }

    /// Returns the time of the resumption once all publications are received.
    fn recovered_at_ns(&self) -> Option<u64> {
        self.resumed_at_ns
            .filter(|_| self.offset == self.last_offset)
    }
}

pub(crate) async fn run(job: Job, sessions: u32, publications: u32) -> Result<()> {
    let mut recoveries = JoinSet::new();
    let (subscribed, mut subscribed_signals) = mpsc::channel(64);
    for _ in 0..sessions {
        let subscribed = subscribed.clone();
        match job.library {
            Library::Steadfast => {
                recoveries.spawn(steadfast(job.port, publications, subscribed));
            }
            Library::Centrifuge => {
                recoveries.spawn(centrifuge(job.port, publications, subscribed));
            }
            Library::Bare | Library::SteadfastPublish => return crate::unsupported(job),
        }
    }
    drop(subscribed);
    for _ in 0..sessions {
        if subscribed_signals.recv().await.is_none() {
            // All tasks have ended early; the error of the first task is returned.
            recoveries.join_next().await.context("no sessions")???;
        }
    }
    crate::report(&Report::Ready)?;
    let (mut at_ns, mut attempts) = (Vec::new(), Vec::new());
    let all = async {
        while let Some(recovery) = recoveries.join_next().await {
            let recovery = recovery??;
            at_ns.push(recovery.at_ns);
            attempts.push(recovery.attempts);
        }
        anyhow::Ok(())
    };
    timeout(TIMEOUT, all)
        .await
        .context("timed out after 120 s waiting for all sessions to recover")??;
    crate::report(&Report::Recovered { at_ns, attempts })
}

async fn steadfast(port: u16, publications: u32, subscribed: SubscribedSignal) -> Result<Recovery> {
    let client = crate::steadfast(port)?;
    let mut subscription = client.subscribe(RECOVERY_CHANNEL);
    let Some(SubscriptionEvent::Subscribed { position }) = subscription.next().await else {
        bail!("the subscription did not become active");
    };
    let mut events = client.events();
    let mut progress = Progress::start(position.offset, publications);
    subscribed.send(()).await?;
    drop(subscribed);
    let at_ns = loop {
        match subscription
            .next()
            .await
            .context("the subscription ended")?
        {
            SubscriptionEvent::Resumed { .. } => progress.on_resumed(),
            SubscriptionEvent::Item(Item::Publication(publication)) => {
                progress.on_publication(publication.offset)?
            }
            SubscriptionEvent::Item(_) => {}
            lost @ (SubscriptionEvent::Subscribed { .. }
            | SubscriptionEvent::Gap { .. }
            | SubscriptionEvent::Unsubscribed { .. }
            | _) => {
                bail!("publications lost: {lost:?}")
            }
        }
        if let Some(at_ns) = progress.recovered_at_ns() {
            break at_ns;
        }
    };
    let mut attempts = 0;
    while let Ok(event) = events.try_recv() {
        attempts += u32::from(matches!(event, SessionEvent::Attempting { .. }));
    }
    Ok(Recovery { at_ns, attempts })
}

/// An event of a subscription of the official client.
enum CentrifugeEvent {
    Subscribed { offset: u64, recovered: bool },
    Publication(u64),
}

async fn centrifuge(
    port: u16,
    publications: u32,
    subscribed: SubscribedSignal,
) -> Result<Recovery> {
    let client = crate::centrifuge(port)?;
    let (sender, mut events) = mpsc::channel(1024);
    let publication_sender = sender.clone();
    // A handler cannot report a full queue. A publication that does not fit is detected below as missing.
    let subscription = client
        .new_subscription(RECOVERY_CHANNEL)
        .recoverable(true)
        .positioned(true)
        .on_subscribed(move |_, event| {
            let offset = event.stream_position.map_or(0, |position| position.offset);
            let recovered = event.recovered;
            drop(sender.try_send(CentrifugeEvent::Subscribed { offset, recovered }));
        })
        .on_publication(move |_, event| {
            drop(
                publication_sender.try_send(CentrifugeEvent::Publication(event.publication.offset)),
            );
        })
        .build()?;
    subscription.subscribe();
    let Some(CentrifugeEvent::Subscribed { offset, .. }) = events.recv().await else {
        bail!("the subscription did not become active");
    };
    let mut progress = Progress::start(offset, publications);
    let failed_before = client.statistics().reconnect_attempts;
    subscribed.send(()).await?;
    drop(subscribed);
    let at_ns = loop {
        match events.recv().await.context("the subscription ended")? {
            CentrifugeEvent::Subscribed { recovered, .. } => {
                ensure!(recovered, "the subscription was not recovered");
                progress.on_resumed();
            }
            CentrifugeEvent::Publication(offset) => progress.on_publication(offset)?,
        }
        if let Some(at_ns) = progress.recovered_at_ns() {
            break at_ns;
        }
    };
    let failed = client.statistics().reconnect_attempts - failed_before;
    Ok(Recovery {
        at_ns,
        attempts: u32::try_from(failed)? + 1,
    })
}
