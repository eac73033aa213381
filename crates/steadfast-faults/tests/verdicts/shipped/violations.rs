//! Violations of what the checks of the shipped scenarios name: each changes a healthy run in one way.

use std::time::Duration;

use steadfast_faults::ledger::event::{
    ClientEvent, EffectEvent, EventRecord, LossCause, MessageId, ProcessEvent, ProcessExit,
    RequestOutcome, RunEvent, RunPhase,
};
use steadfast_faults::scenario::plan::PlannedFault;
use steadfast_faults::topology::{Client, ClientActivity, ClientId, InstanceId};
use steadfast_machine::Instant;

use crate::run::{Before as _, EPOCH, MILLI, Run, hold_back};
use crate::subscribed;

/// A scenario or `*` for all, the id of a check, and a violation for which the check must fail.
type Break = (&'static str, &'static str, fn(&mut Run));

/// At least one for each comparison of each check.
pub(super) const BREAKS: &[Break] = &[
    ("*", "all-affected-clients-reconnected", stay_disconnected),
    ("*", "all-clients-connected-at-end", stay_disconnected),
    ("*", "all-disconnects-and-stalls-attributed", disconnect),
    ("*", "all-disconnects-and-stalls-attributed", stall),
    ("*", "all-disconnects-attributed", disconnect),
    ("*", "all-stalls-attributed", stall),
    ("*", "no-silent-clients", be_silent),
    ("*", "no-acknowledged-message-lost", lose_message),
    ("*", "no-duplicates", deliver_twice),
    ("*", "no-reordering", deliver_out_of_order),
    ("*", "no-unexpected-deliveries", deliver_foreign),
    ("*", "no-gap-and-no-epoch-change", report_gap),
    ("*", "no-gap-and-no-epoch-change", change_epoch),
    ("*", "no-gap-and-no-epoch-change", reuse_offset),
    ("*", "recovery-bounded", stay_disconnected_after_fault),
    ("*", "no-reconnect-storm", storm),
    ("*", "connected-within-2s", connect_late),
    ("gateway-kill", "delivered-at-sender-stop", deliver_late),
    ("gateway-freeze", "freeze-detected", notice_nothing),
    ("gateway-freeze", "detection-bounded", |run| {
        detect_late(run, "freeze");
    }),
    (
        "gateway-term",
        "every-connection-closed-with-a-code",
        |run| {
            change_cause(run, LossCause::Fin);
        },
    ),
    ("gateway-term", "noticed-at-once", |run| {
        detect_late(run, "term");
    }),
    (
        "idle-proxy",
        "pings-of-the-client-hold-idle-connections",
        |run| {
            cut(run, "pinging");
        },
    ),
    ("idle-proxy", "nothing-but-the-kills-ended-one", |run| {
        cut(run, "idle");
    }),
    ("idle-proxy", "without-pings-the-balancer-cuts", |run| {
        keep_connections(run, "mute");
    }),
    ("idle-proxy", "cut-after-the-idle-time", |run| {
        keep_connections(run, "mute");
        cut(run, "mute");
    }),
    (
        "idle-proxy",
        "clients-of-the-other-gateway-stay-connected",
        disconnect_all_at_kill,
    ),
    ("idle-proxy", "balanced-over-both-gateways", unbalance),
    ("link-blackhole", "every-busy-client-noticed", |run| {
        keep_connections(run, "busy");
    }),
    ("link-blackhole", "every-receiving-client-noticed", |run| {
        keep_connections(run, "news");
    }),
    ("link-blackhole", "every-idle-client-noticed", |run| {
        keep_connections(run, "idle");
    }),
    ("link-blackhole", "noticed-in-time-by-steadfast", |run| {
        detect_late(run, "both");
    }),
    ("link-blackhole", "noticed-in-time-by-steadfast", |run| {
        detect_late(run, "in");
    }),
    ("link-blackhole", "noticed-in-time-by-all", |run| {
        detect_late(run, "out");
    }),
    ("link-flap", "interruption-seen", notice_nothing),
    (
        "link-flap",
        "stalls-end-soon-after-the-link-is-back",
        stall_after_heal,
    ),
    ("link-reset", "noticed-within-1s", |run| {
        detect_late(run, "reset");
    }),
    ("link-reset", "seen-as-a-reset", |run| {
        change_cause(run, LossCause::Fin);
    }),
    ("link-reset", "connected-again-within-2s", |run| {
        let (client, lost) = run.victim();
        attempt_in_vain(run, client, lost);
    }),
    ("link-slow", "no-client-disconnected", disconnect),
    ("link-slow", "no-client-stalled", stall),
    (
        "truenas-field-report",
        "every-broken-connection-noticed",
        |run| {
            keep_connections(run, "writers");
        },
    ),
    (
        "truenas-field-report",
        "a-frozen-connection-noticed",
        |run| {
            keep_connections(run, "readers");
        },
    ),
    ("truenas-field-report", "noticed-in-time", |run| {
        detect_late(run, "out");
    }),
    ("*", "nothing-but-a-fault-ended-a-connection", disconnect),
    ("truenas-calls", "some-writes-not-sent", send_all),
    ("truenas-idle", "pings-hold-idle-connections", |run| {
        cut(run, "idle");
    }),
    ("truenas-idle", "nothing-ended-one", |run| {
        cut(run, "idle");
    }),
    ("truenas-idle", "nothing-but-the-reset-ended-one", |run| {
        cut(run, "reset");
    }),
    ("truenas-idle", "every-call-has-its-reply", lose_reply),
    ("truenas-idle", "without-pings-the-proxy-cuts", |run| {
        keep_connections(run, "mute");
    }),
    ("truenas-idle", "cut-after-the-idle-time", |run| {
        keep_connections(run, "mute");
        cut(run, "mute");
    }),
    (
        "truenas-idle",
        "all-reset-clients-reconnected",
        stay_disconnected_after_reset,
    ),
    ("truenas-field-report", "connected-again-within-2s", |run| {
        let readers = of_load(run, "readers");
        let of_reader = |(client, _): &(ClientId, Instant)| readers.contains(client);
        let (client, lost) = run.losses().find(of_reader).unwrap();
        attempt_in_vain(run, client, lost);
    }),
    (
        "truenas-idle",
        "reset-clients-recover-in-time",
        stay_disconnected_after_reset,
    ),
    ("*", "calls-settled-within-1s", settle_late),
    (
        "*",
        "writes-executed-without-a-reply",
        execute_nothing_unknown,
    ),
    ("*", "no-write-executed-twice", |run| {
        execute_again(run, RequestOutcome::Lost);
    }),
    ("*", "not-sent-is-not-executed", |run| {
        execute_again(run, RequestOutcome::NotSent);
    }),
    ("*", "acknowledged-is-executed", execute_nothing),
    ("*", "no-process-restarted", |run| {
        let (instance, at) = (InstanceId(0), run.begin(RunPhase::Quiet));
        let event = ProcessEvent::Exited(ProcessExit::Code(1));
        run.push(at, RunEvent::Process { instance, event });
    }),
];

/// The end of a connection, and the next one at once.
pub(super) fn lose_connection(run: &mut Run, client: ClientId, at: Instant, cause: LossCause) {
    let events = [
        ClientEvent::ConnectionLost(cause),
        ClientEvent::Connected,
        subscribed(EPOCH, true),
    ];
    for (after, event) in (0_u32..).zip(events) {
        push(run, at + after * MILLI, client, event);
    }
}

fn stay_disconnected(run: &mut Run) {
    let client = of_first_load(run);
    let quiet = run.begin(RunPhase::Quiet) + 100 * MILLI;
    run.silence(client, quiet);
    let lost = ClientEvent::ConnectionLost(LossCause::Timeout);
    push(run, quiet + MILLI, client, lost);
}

fn stay_disconnected_after_fault(run: &mut Run) {
    let (client, lost) = run.victim_of_first_load();
    run.silence(client, lost);
}

/// A client that was reset does not connect again.
fn stay_disconnected_after_reset(run: &mut Run) {
    let client = *of_load(run, "reset").first().unwrap();
    let (_, lost) = run.losses().find(|(id, _)| *id == client).unwrap();
    run.silence(client, lost);
}

/// Before the first fault, so that no fault explains it.
fn disconnect(run: &mut Run) {
    let client = of_first_load(run);
    let at = run.begin(RunPhase::Steps);
    lose_connection(run, client, at, LossCause::Fin);
}

/// A client that keeps its connection receives nothing for longer than any fault explains.
fn stall(run: &mut Run) {
    let client = run.unaffected_or_any();
    keep_connection(run, client);
    let (from, until) = (run.begin(RunPhase::Baseline), run.begin(RunPhase::Drain));
    hold_back(&mut run.records, client, from, until.before(MILLI));
}

fn stall_after_heal(run: &mut Run) {
    let fault = run.plan.faults().first().unwrap().clone();
    let clients = hit(run, &fault);
    let client = *clients
        .iter()
        .find(|id| !was_disconnected(run, **id))
        .unwrap();
    let from = run.begin(RunPhase::Steps) + fault.at;
    hold_back(
        &mut run.records,
        client,
        from,
        from + Duration::from_secs(6),
    );
}

/// A client that the last fault did not disconnect has no success once it is healed.
fn be_silent(run: &mut Run) {
    let last = run.plan.faults().iter().max_by_key(|it| it.heal_at);
    let last = last.unwrap();
    let steps = run.begin(RunPhase::Steps);
    let (injected, healed) = (steps + last.at, steps + last.heal_at);
    let clients = run.plan.topology().clients().iter();
    let connected = clients.filter(|client| {
        let mut losses = run.losses();
        !losses.any(|(id, at)| id == client.id && at >= injected)
    });
    let mut busy = connected.filter(|it| it.activity == ClientActivity::Full);
    let client = busy.next().unwrap().id;
    run.retain_events(client, |at, event| *at < healed || !event.is_success());
}

fn lose_message(run: &mut Run) {
    let (reader, lost) = run.early_message();
    run.retain_events(
        reader,
        |_, event| !matches!(event, ClientEvent::Delivered { message, .. } if *message == Some(lost)),
    );
}

fn deliver_twice(run: &mut Run) {
    let (reader, message) = run.early_message();
    let is_first = |record: &&EventRecord| {
        matches!(&record.event, RunEvent::Client { client, event: ClientEvent::Delivered { message: it, .. } }
            if *client == reader && *it == Some(message))
    };
    let first = run.records.iter().find(is_first).unwrap().clone();
    run.push(first.at + MILLI, first.event);
}

/// The first two deliveries of a client change places.
fn deliver_out_of_order(run: &mut Run) {
    let (reader, _) = run.early_message();
    let mut first: Option<(Option<MessageId>, u64)> = None;
    let mut second = None;
    for record in &run.records {
        if let RunEvent::Client {
            client,
            event: ClientEvent::Delivered { message, offset },
        } = &record.event
            && *client == reader
        {
            match first {
                None => first = Some((*message, *offset)),
                Some(_) if second.is_none() => second = Some((*message, *offset)),
                Some(_) => {}
            }
        }
    }
    let mut places = [second.unwrap(), first.unwrap()].into_iter();
    run.retain_events(reader, |_, event| {
        if let ClientEvent::Delivered { message, offset } = event
            && let Some(other) = places.next()
        {
            (*message, *offset) = other;
        }
        true
    });
}

fn deliver_foreign(run: &mut Run) {
    let event = ClientEvent::Delivered {
        message: None,
        offset: 100_000,
    };
    let (client, at) = (busy(run), run.begin(RunPhase::Quiet));
    push(run, at, client, event);
}

fn report_gap(run: &mut Run) {
    let (client, at) = (busy(run), run.begin(RunPhase::Quiet));
    push(run, at, client, subscribed(EPOCH, false));
}

fn change_epoch(run: &mut Run) {
    let (client, at) = (busy(run), run.begin(RunPhase::Quiet));
    push(run, at, client, subscribed("another", true));
}

/// The second publication of a client is acknowledged at the offset of the first.
fn reuse_offset(run: &mut Run) {
    let client = busy(run);
    let mut offset = None;
    let mut count = 0;
    run.retain_events(client, |_, event| {
        if let ClientEvent::Acknowledged {
            position: Some(it), ..
        } = event
        {
            count += 1;
            let first = *offset.get_or_insert(it.offset);
            if count == 2 {
                it.offset = first;
            }
        }
        true
    });
}

fn storm(run: &mut Run) {
    let (client, lost) = run.victim_of_first_load();
    for number in 0..21 {
        let at = lost + Duration::from_micros(number + 1);
        push(run, at, client, ClientEvent::AttemptFailed);
    }
}

fn connect_late(run: &mut Run) {
    let client = of_first_load(run);
    let late = Instant::START + Duration::from_millis(2_500);
    let mut changed = 0;
    for record in &mut run.records {
        if let RunEvent::Client {
            client: it,
            event: ClientEvent::Connected | ClientEvent::Subscribed(_),
        } = &record.event
            && *it == client
            && changed < 2
        {
            record.at = late + changed * MILLI;
            changed += 1;
        }
    }
}

/// All that a client receives after the first fault arrives when the senders have stopped.
fn deliver_late(run: &mut Run) {
    let (from, until) = (run.begin(RunPhase::Steps), run.begin(RunPhase::End));
    let client = run.unaffected_or_any();
    hold_back(&mut run.records, client, from, until.before(MILLI));
}

/// The faults are confirmed, and the clients behave as in the control run.
fn notice_nothing(run: &mut Run) {
    let mut records = run.control.clone().unwrap();
    let faults = run.records.iter();
    let faults = faults.filter(|it| matches!(it.event, RunEvent::Fault { .. }));
    records.extend(faults.cloned());
    run.records = records;
}

/// One client that the first fault of this step hits notices it later than the limit, and reconnects then.
fn detect_late(run: &mut Run, step: &str) {
    let fault = run.plan.faults().iter().find(|it| it.step == step).cloned();
    let fault = fault.unwrap();
    let client = *hit(run, &fault).first().unwrap();
    let injected = run.begin(RunPhase::Steps) + fault.at;
    let is_silence = !fault.action.ends_process() && fault.heal_at > fault.at;
    let late = injected + Duration::from_millis(if is_silence { 5_500 } else { 1_500 });
    let until = late.max(run.begin(RunPhase::Steps) + fault.heal_at) + 30 * MILLI;
    let mut cause = LossCause::Timeout;
    run.retain_events(client, |at, event| {
        if let ClientEvent::ConnectionLost(it) = event
            && *at >= injected
            && *at < until
        {
            cause = *it;
        }
        !is_of_connection(event) || *at < injected || *at > until
    });
    lose_connection(run, client, late, cause);
}

fn change_cause(run: &mut Run, cause: LossCause) {
    let (client, lost) = run.victim();
    run.retain_events(client, |at, event| {
        if let ClientEvent::ConnectionLost(it) = event
            && *at == lost
        {
            *it = cause;
        }
        true
    });
}

fn cut(run: &mut Run, load: &str) {
    let client = *of_load(run, load).first().unwrap();
    let at = run.begin(RunPhase::Baseline) + Duration::from_secs(1);
    lose_connection(run, client, at, LossCause::Fin);
}

/// The clients of a load never lose a connection.
fn keep_connections(run: &mut Run, load: &str) {
    for client in of_load(run, load) {
        keep_connection(run, client);
    }
}

fn keep_connection(run: &mut Run, client: ClientId) {
    let connected = run.begin(RunPhase::Baseline);
    run.retain_events(client, |at, event| {
        *at < connected || !is_of_connection(event)
    });
}

const fn is_of_connection(event: &ClientEvent) -> bool {
    matches!(
        event,
        ClientEvent::ConnectionLost(_)
            | ClientEvent::Attempting
            | ClientEvent::AttemptFailed
            | ClientEvent::Connected
            | ClientEvent::Subscribed(_)
    )
}

fn disconnect_all_at_kill(run: &mut Run) {
    let fault = run
        .plan
        .faults()
        .iter()
        .find(|it| it.step == "kill")
        .cloned();
    let at = run.begin(RunPhase::Steps) + fault.unwrap().at + 5 * MILLI;
    for client in of_load(run, "idle") {
        if !was_disconnected_at(run, client, at) {
            lose_connection(run, client, at, LossCause::Fin);
        }
    }
}

fn unbalance(run: &mut Run) {
    let fault = run.plan.faults().first().unwrap();
    let gateway = *fault.targets.first().unwrap();
    for record in &mut run.records {
        if let RunEvent::Process {
            instance,
            event: ProcessEvent::Connections(count),
        } = &mut record.event
            && *instance == gateway
        {
            *count = 3;
        }
    }
}

/// An attempt that does not end.
fn attempt_in_vain(run: &mut Run, client: ClientId, lost: Instant) {
    run.silence(client, lost);
    push(run, lost + MILLI, client, ClientEvent::Attempting);
}

fn push(run: &mut Run, at: Instant, client: ClientId, event: ClientEvent) {
    run.push(at, RunEvent::Client { client, event });
}

fn of_load(run: &Run, load: &str) -> Vec<ClientId> {
    let clients = run.plan.topology().clients().iter();
    clients
        .filter(|it| it.load == load)
        .map(|it| it.id)
        .collect()
}

/// The requests in flight have their outcome after the client has waited.
fn settle_late(run: &mut Run) {
    for record in &mut run.records {
        if let RunEvent::Client { event, .. } = &mut record.event
            && let ClientEvent::Settled { outcome, .. } = event
            && *outcome == RequestOutcome::Lost
        {
            record.at = record.at + Duration::from_millis(1_100);
        }
    }
}

/// What was not sent has a reply instead.
fn send_all(run: &mut Run) {
    for record in &mut run.records {
        if let RunEvent::Client { event, .. } = &mut record.event
            && let ClientEvent::Settled { outcome, .. } = event
            && *outcome == RequestOutcome::NotSent
        {
            *outcome = RequestOutcome::Ok;
        }
    }
}

/// An idle client waits in vain for the reply to its first call.
fn lose_reply(run: &mut Run) {
    let client = *of_load(run, "idle").first().unwrap();
    let mut is_first = true;
    run.retain_events(client, |_, event| {
        if let ClientEvent::Settled { outcome, .. } = event
            && std::mem::take(&mut is_first)
        {
            *outcome = RequestOutcome::Lost;
        }
        true
    });
}

/// A request with this outcome is executed once more.
fn execute_again(run: &mut Run, with: RequestOutcome) {
    let request = settled(run, with)[0];
    let executed = EffectEvent::Executed { request, count: 1 };
    let at = run.begin(RunPhase::End) + Duration::from_secs(1);
    run.push(at, RunEvent::Effects(executed));
}

/// The requests with this outcome.
fn settled(run: &Run, with: RequestOutcome) -> Vec<MessageId> {
    let found = run.records.iter().filter_map(|record| {
        if let RunEvent::Client { client, event } = &record.event
            && let ClientEvent::Settled { sequence, outcome } = event
            && *outcome == with
        {
            return Some(MessageId {
                publisher: *client,
                sequence: *sequence,
            });
        }
        None
    });
    found.collect()
}

fn execute_nothing(run: &mut Run) {
    run.records.retain(|record| {
        !matches!(
            record.event,
            RunEvent::Effects(EffectEvent::Executed { .. })
        )
    });
}

/// Without a reply, nothing was executed.
fn execute_nothing_unknown(run: &mut Run) {
    let lost = settled(run, RequestOutcome::Lost);
    run.records.retain(|record| {
        !matches!(&record.event, RunEvent::Effects(EffectEvent::Executed { request, .. })
            if lost.contains(request))
    });
}

fn of_first_load(run: &Run) -> ClientId {
    run.plan.topology().clients().first().unwrap().id
}

/// A client that publishes and receives.
fn busy(run: &Run) -> ClientId {
    let mut clients = run.plan.topology().clients().iter();
    let is_busy = |it: &&Client| it.activity == ClientActivity::Full;
    clients.find(is_busy).unwrap().id
}

/// The clients that a fault of the plan hits directly.
fn hit(run: &Run, fault: &PlannedFault) -> Vec<ClientId> {
    let clients = run.plan.topology().clients().iter();
    let hit = clients.filter(|it| fault.hits(it) && fault.targets.contains(&it.instance));
    hit.map(|it| it.id).collect()
}

fn was_disconnected(run: &Run, client: ClientId) -> bool {
    run.losses().any(|(it, _)| it == client)
}

fn was_disconnected_at(run: &Run, client: ClientId, at: Instant) -> bool {
    run.losses().any(|lost| lost == (client, at))
}
