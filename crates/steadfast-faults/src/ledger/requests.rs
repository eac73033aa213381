//! Requests: the outcome of each as its client knows it, its latency, and how often it was executed.
//!
//! A client knows of each request that the server replied, that it was not sent, or neither: then it may have been
//! executed. The effect logs of the services say how often it really was. They are merged over all instances by the key of
//! the request, since another instance may have executed it again.

use std::collections::{BTreeMap, BTreeSet};

use steadfast_machine::{Instant, convert};

use crate::ledger::event::{ClientEvent, EffectEvent, MessageId, RequestOutcome, RunPhase};
use crate::ledger::faults::FaultStats;
use crate::ledger::timeline::Timeline;
use crate::samples::Sample;
use crate::topology::{Client, ClientId, FaultId, InstanceId};

/// What a client knows of a request at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RequestClass {
    /// The server replied that it was executed.
    Ok,
    /// The server replied with an error of the application.
    Error,
    /// It was not sent, so it was certainly not executed.
    NotSent,
    /// It was sent, and there is no reply: it may have been executed.
    MaybeExecuted,
}

/// A request and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number: the client counts its requests from 1.
    pub sequence: u64,
    /// When it was passed to the driver for the first time.
    pub sent: Instant,
    /// When its outcome was final, if that was before the end of the run.
    pub settled: Option<Instant>,
    /// What its client knows of it.
    pub class: RequestClass,
    /// From the instant at which it was due until the reply; censored without a reply. `None` if it was not sent.
    pub latency: Option<Sample>,
    /// From the last send until the reply; censored without a reply. `None` if it was not sent.
    pub service: Option<Sample>,
    /// From the end of the connection on which it was in flight until its outcome, if it has no reply. Zero if the client
    /// reported the outcome first.
    pub settling: Option<Sample>,
    /// The fault of its server that was in effect while it had no outcome; if there are several, the one that was injected
    /// last.
    pub fault: Option<FaultId>,
    /// How often it was executed; `None` if its service has no effect log.
    pub executions: Option<u32>,
}

/// The requests of one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestStats {
    /// All requests, in the order of their sequences.
    pub requests: Vec<Request>,
    /// Requests that were passed to the driver at least once, counted as events.
    pub sent: u64,
    /// Sends after the first, of any request.
    pub resends: u64,
    /// Requests that were first sent during the baseline.
    pub in_baseline: u64,
    /// Executions of requests that the client never sent.
    pub executed_unsent: u64,
    /// Events that cannot follow each other, for example two outcomes of a request; the first five.
    pub contradictions: Vec<String>,
}

impl RequestStats {
    /// The number of requests of a class.
    pub fn of_class(&self, class: RequestClass) -> u64 {
        self.count(|it| it.class == class)
    }

    /// The number of requests of a class, or of all classes, that were executed.
    pub fn executed(&self, class: Option<RequestClass>) -> u64 {
        let is_counted = |it: &Request| class.is_none_or(|class| it.class == class);
        self.count(|it| is_counted(it) && it.executions.is_some_and(|count| count > 0))
    }

    /// The number of requests that were executed more than once.
    pub fn executed_twice(&self) -> u64 {
        self.count(|it| it.executions.is_some_and(|count| count > 1))
    }

    /// The number of requests that the server reported as executed, and did not execute.
    pub fn ok_not_executed(&self) -> u64 {
        self.count(|it| it.class == RequestClass::Ok && it.executions == Some(0))
    }

    fn count(&self, is_counted: impl Fn(&Request) -> bool) -> u64 {
        convert::to_u64(self.requests.iter().filter(|it| is_counted(it)).count())
    }
}

/// The merged effect logs of all services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EffectLogs {
    /// How often each request was executed, over all instances.
    executions: BTreeMap<MessageId, u32>,
    /// The instances whose effect log was read.
    instances: BTreeSet<InstanceId>,
    /// Lines whose key is not of this run.
    pub foreign: u64,
}

impl EffectLogs {
    pub(super) fn collect(timeline: &Timeline<'_>) -> Self {
        let mut logs = Self::default();
        for event in &timeline.effects {
            match event {
                EffectEvent::Read {
                    instance, foreign, ..
                } => {
                    logs.instances.insert(*instance);
                    logs.foreign = logs.foreign.saturating_add(*foreign);
                }
                EffectEvent::Executed { request, count } => {
                    let total = logs.executions.entry(*request).or_default();
                    *total = total.saturating_add(*count);
                }
            }
        }
        logs
    }

    /// Whether at least one effect log was read.
    pub fn was_read(&self) -> bool {
        !self.instances.is_empty()
    }

    fn of(&self, client: ClientId) -> impl Iterator<Item = (MessageId, u32)> + '_ {
        let id = |sequence| MessageId {
            publisher: client,
            sequence,
        };
        let range = self.executions.range(id(0)..=id(u64::MAX));
        range.map(|(id, count)| (*id, *count))
    }
}

/// A request in the order of its events.
#[derive(Clone, Copy, Debug)]
struct Progress {
    intended: Instant,
    first_sent: Instant,
    last_sent: Instant,
    settled: Option<(Instant, RequestOutcome)>,
}

/// The requests of one client.
pub(super) fn reconcile(
    client: &Client,
    timeline: &Timeline<'_>,
    faults: &[FaultStats],
    effects: &EffectLogs,
) -> RequestStats {
    let mut stats = RequestStats::default();
    let mut all = BTreeMap::new();
    for (at, event) in timeline.of_client(client.id) {
        if let Err(what) = read(&mut all, &mut stats, *at, event) {
            contradict(&mut stats, client, what);
        }
    }
    let losses: Vec<Instant> = timeline
        .of_client(client.id)
        .iter()
        .filter(|(_, event)| matches!(event, ClientEvent::ConnectionLost(_)))
        .map(|(at, _)| *at)
        .collect();
    let baseline = timeline.begin(RunPhase::Baseline)..timeline.begin(RunPhase::Steps);
    let has_effects = effects.instances.contains(&client.instance);
    let executed: BTreeMap<u64, u32> = effects
        .of(client.id)
        .map(|(id, count)| (id.sequence, count))
        .collect();
    stats.executed_unsent = executed
        .iter()
        .filter(|(sequence, _)| !all.contains_key(sequence))
        .map(|(_, count)| u64::from(*count))
        .sum();
    for (sequence, progress) in &all {
        stats.in_baseline += u64::from(baseline.contains(&Some(progress.first_sent)));
        let executions = executed.get(sequence).copied().unwrap_or_default();
        let lost = losses.iter().find(|at| **at >= progress.last_sent);
        stats.requests.push(Request {
            settling: lost.and_then(|lost| settling(progress, *lost, timeline.end())),
            fault: fault(client, faults, progress),
            executions: has_effects.then_some(executions),
            ..request(*sequence, progress, timeline.end())
        });
    }
    if let Some(last) = all.keys().last()
        && *last != convert::to_u64(all.len())
    {
        contradict(&mut stats, client, "sequences of requests have gaps");
    }
    stats
}

/// Adds an event to its request; an error if it cannot follow the events before it.
fn read(
    all: &mut BTreeMap<u64, Progress>,
    stats: &mut RequestStats,
    at: Instant,
    event: &ClientEvent,
) -> Result<(), &'static str> {
    if let ClientEvent::Requested { sequence, intended } = event {
        stats.sent += 1;
        let progress = Progress {
            intended: *intended,
            first_sent: at,
            last_sent: at,
            settled: None,
        };
        if all.insert(*sequence, progress).is_some() {
            return Err("a request was sent for the first time twice");
        }
    }
    if let ClientEvent::RequestedAgain { sequence } = event {
        stats.resends += 1;
        let request = all.get_mut(sequence);
        let request = request.ok_or("a request was sent again that was never sent")?;
        request.last_sent = at;
    }
    if let ClientEvent::Settled { sequence, outcome } = event {
        let request = all.get_mut(sequence);
        let request = request.ok_or("a request that was never sent has an outcome")?;
        if request.settled.is_some() {
            return Err("a request has two outcomes");
        }
        request.settled = Some((at, *outcome));
    }
    Ok(())
}

fn request(sequence: u64, progress: &Progress, end: Instant) -> Request {
    let settled = progress.settled.map(|(at, _)| at);
    let outcome = progress.settled.map(|(_, outcome)| outcome);
    let class = match outcome {
        Some(RequestOutcome::Ok) => RequestClass::Ok,
        Some(RequestOutcome::Error { .. }) => RequestClass::Error,
        Some(RequestOutcome::NotSent) => RequestClass::NotSent,
        Some(RequestOutcome::Lost | RequestOutcome::TimedOut) | None => RequestClass::MaybeExecuted,
    };
    let replied = settled.filter(|_| outcome.is_some_and(RequestOutcome::is_reply));
    let since = |from| {
        let was_sent = class != RequestClass::NotSent;
        was_sent.then(|| Sample::between(from, replied, settled.unwrap_or(end)))
    };
    Request {
        sequence,
        sent: progress.first_sent,
        settled,
        class,
        latency: since(progress.intended),
        service: since(progress.last_sent),
        settling: None,
        fault: None,
        executions: None,
    }
}

/// How long after the first loss since it was sent a request without a reply had its outcome.
fn settling(progress: &Progress, lost: Instant, end: Instant) -> Option<Sample> {
    match progress.settled {
        Some((at, RequestOutcome::Lost)) => Some(Sample::time(at.saturating_since(lost))),
        // Before the loss it had run into its own time limit.
        Some((at, RequestOutcome::TimedOut)) => {
            (at >= lost).then(|| Sample::time(at.saturating_since(lost)))
        }
        Some((_, RequestOutcome::Ok | RequestOutcome::Error { .. } | RequestOutcome::NotSent)) => {
            None
        }
        None => Some(Sample::between(lost, None, end)),
    }
}

fn fault(client: &Client, faults: &[FaultStats], progress: &Progress) -> Option<FaultId> {
    let settled = progress.settled.map(|(at, _)| at);
    let in_effect = faults.iter().filter(|fault| {
        let begun = fault
            .injected
            .is_some_and(|injected| settled.is_none_or(|settled| injected <= settled));
        let lasts = fault
            .healed
            .is_none_or(|healed| progress.intended <= healed);
        fault.is_effective() && fault.planned.hits(client) && begun && lasts
    });
    let last = in_effect.max_by_key(|fault| (fault.injected, fault.planned.id));
    last.map(|fault| fault.planned.id)
}

fn contradict(stats: &mut RequestStats, client: &Client, what: &str) {
    /// Enough to diagnose the harness.
    const KEPT: usize = 5;
    if stats.contradictions.len() < KEPT {
        stats
            .contradictions
            .push(format!("{}: {what}", client.name));
    }
}
