//! Checks of what a session does and reports: its losses, its queues and its dials are within the bounds of its policy.

use std::time::Duration;

use steadfast_core::event::{DisconnectCause, SessionSnapshot};

use crate::context::Context;
use crate::reference_model::Invariant;
use crate::settings::SessionParameters;
use crate::words;

/// The largest number of dials per second: delays are random, with a maximum that grows from at least 120 ms, and an
/// application requests few immediate reconnects.
const DIALS_PER_SECOND_MAX: usize = 25;

/// The longest time until this session detects a silent gateway.
pub(crate) fn silence_max(ctx: &Context, session: usize) -> Duration {
    let parameters = ctx.settings.sessions.get(session);
    parameters.map_or(Duration::ZERO, SessionParameters::silence_max)
}

/// Checks why and when a session has given up a connection.
pub(crate) fn check_loss(
    ctx: &mut Context,
    session: usize,
    cause: &DisconnectCause,
    detection: Duration,
    is_excused: bool,
) {
    match cause {
        DisconnectCause::PongTimeout(_)
        | DisconnectCause::PongMissing(_)
        | DisconnectCause::WriteTimeout(_)
            if !is_excused =>
        {
            let details = format!("session {session} closed a healthy connection: {cause}");
            ctx.report(Invariant::HealthyPeersKept, details);
        }
        DisconnectCause::PongTimeout(_) => {
            ctx.totals.silences_detected += 1;
            if detection > silence_max(ctx, session) {
                let time = words::seconds(detection);
                let details = format!("session {session} detected a silent gateway after {time}");
                ctx.report(Invariant::DeadPeersDetected, details);
            }
        }
        DisconnectCause::PongMissing(_) => ctx.totals.silences_detected += 1,
        DisconnectCause::WriteTimeout(_) => ctx.totals.write_stalls_detected += 1,
        DisconnectCause::Protocol(text) => {
            let details = format!("session {session} received an invalid message: {text}");
            ctx.report(Invariant::SessionsReconnect, details);
        }
        DisconnectCause::Dial { .. }
        | DisconnectCause::LocalNetwork(_)
        | DisconnectCause::ConnectTimeout
        | DisconnectCause::ConnectRejected { .. }
        | DisconnectCause::Closed { .. }
        | DisconnectCause::ConnectionFailed { .. }
        | DisconnectCause::AttemptsExhausted(_)
        | _ => {}
    }
}

/// No session may give up.
pub(crate) fn on_failed(ctx: &mut Context, session: usize, cause: &DisconnectCause) {
    let details = format!("session {session} has failed: {cause}");
    ctx.report(Invariant::SessionsReconnect, details);
}

pub(crate) fn check_queue_bounds(ctx: &mut Context, session: usize, snapshot: &SessionSnapshot) {
    let Some(parameters) = ctx.settings.sessions.get(session) else {
        return;
    };
    let held = snapshot.queued + snapshot.in_flight;
    if held > parameters.outbox_len_max() {
        let details = format!("session {session} holds {held} publications");
        ctx.report(Invariant::QueuesBounded, details);
    }
}

/// Checks the number of a session's dials within a second.
pub(crate) fn check_dial_rate(ctx: &mut Context, session: usize, dials: usize) {
    if dials > DIALS_PER_SECOND_MAX {
        let details = format!("session {session} dialled {dials} times within a second");
        ctx.report(Invariant::ReconnectRateBounded, details);
    }
}
