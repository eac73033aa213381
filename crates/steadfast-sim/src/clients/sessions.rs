//! The sessions of a run, as their applications use them: applications publish, call, close and reopen.

use std::time::Duration;

use steadfast_core::dialect::centrifuge::Input;
use steadfast_core::io::MessageId;

use super::dial::Dial;
use super::driver::Driver;
use super::session_checks::silence_max;
use crate::context::Context;
use crate::event::clients::DriverEvent;
use crate::ids::{ClientIndex, ConnectionId};
use crate::network::Network;
use crate::planted_bug::PlantedBug;
use crate::reference_model::Invariant;
use crate::settings::SessionParameters;
use crate::words;

/// The time from a dial to the reply to the connect command on a connection without faults, with a margin.
const CONNECT_TIME_MAX: Duration = Duration::from_millis(500);

/// The sessions of a run.
#[derive(Debug)]
pub(crate) struct Sessions {
    drivers: Vec<Driver>,
}

impl Sessions {
    pub(crate) fn new(ctx: &mut Context) -> Self {
        let indices = 0..ctx.settings.sessions.len();
        Self {
            drivers: indices.filter_map(|it| Driver::new(ctx, it)).collect(),
        }
    }

    pub(crate) fn drivers(&self) -> &[Driver] {
        &self.drivers
    }

    pub(crate) fn driver_mut(&mut self, index: usize) -> Option<&mut Driver> {
        self.drivers.get_mut(index)
    }

    /// Handles an event of a session. Returns its dial if it dials.
    pub(crate) fn step(
        &mut self,
        ctx: &mut Context,
        network: &mut Network,
        session: usize,
        event: DriverEvent,
    ) -> Option<Dial> {
        let driver = self.drivers.get_mut(session)?;
        match event {
            DriverEvent::DialCompleted { attempt } => {
                let node = driver.dialled_node(attempt)?;
                let client = ClientIndex::Session(session);
                return Some(Dial { client, node });
            }
            DriverEvent::Tick => driver.tick(ctx, network),
            DriverEvent::ReportSendBuffer { connection } => {
                driver.report_send_buffer(ctx, network, connection);
            }
            DriverEvent::Publish => self.publish(ctx, network, session),
            DriverEvent::Close => self.close(ctx, network, session),
            DriverEvent::CheckClose => check_close(ctx, driver),
            DriverEvent::Open => {
                ctx.record_fault_change();
                driver.drive(ctx, network, Input::OpenRequested);
            }
            DriverEvent::Migrate => {
                driver.drive(ctx, network, Input::MigrateRequested { endpoint: None });
            }
            DriverEvent::CheckExpiry { publication } => {
                check_expiry(ctx, session, driver, publication);
            }
            DriverEvent::QueryPresence { channel } => {
                driver.query_until_exact(ctx, network, channel);
            }
            DriverEvent::StaleInput { number } => driver.deliver_stale_input(ctx, number),
            DriverEvent::ApplicationReads => driver.application_reads(ctx, network),
            DriverEvent::CheckSilence { connection } => {
                check_silence(ctx, network, session, driver, connection);
            }
        }
        None
    }

    fn publish(&mut self, ctx: &mut Context, network: &mut Network, session: usize) {
        let may_inject_faults = ctx.may_inject_faults();
        let Some(driver) = self.drivers.get_mut(session) else {
            return;
        };
        if driver.application.published() >= ctx.settings.publishes && !may_inject_faults {
            return;
        }
        ctx.totals.published += 1;
        let now = ctx.now();
        let mut publish = driver.application.publish(now, &mut ctx.generator);
        if let Some(ttl) = publish.ttl {
            let publication = publish.id;
            let latest = now + ttl + Duration::from_millis(1);
            ctx.schedule_session(latest, session, DriverEvent::CheckExpiry { publication });
        }
        if ctx.planted_bug == Some(PlantedBug::EarlyExpiry) {
            publish.ttl = publish.ttl.map(|ttl| ttl / 2);
        }
        driver.drive(ctx, network, Input::SendRequested(publish));
        if ctx.generator.chance(1, 32) {
            driver.drive(ctx, network, Input::ReconnectRequested);
        }
        if ctx.generator.chance(1, 8) {
            let call = driver.application.call(now, &mut ctx.generator);
            driver.drive(ctx, network, call);
        }
        let next = now + ctx.publish_interval();
        ctx.schedule_session(next, session, DriverEvent::Publish);
    }

    /// The application closes its session. Queued publications may still be sent for some time.
    fn close(&mut self, ctx: &mut Context, network: &mut Network, session: usize) {
        ctx.record_fault_change();
        let drain = match ctx.generator.below(3) {
            0 => Duration::ZERO,
            _ => ctx.between(Duration::from_millis(1), Duration::from_millis(500)),
        };
        let (Some(driver), Some(parameters)) = (
            self.drivers.get_mut(session),
            ctx.settings.sessions.get(session),
        ) else {
            return;
        };
        let longest = drain + parameters.close_time_max() + Duration::from_millis(1);
        driver.application.is_closing = true;
        ctx.schedule_session(ctx.now() + longest, session, DriverEvent::CheckClose);
        driver.drive(ctx, network, Input::CloseRequested { drain });
    }

    /// Nothing arrives at a session any more, which must be detected in time.
    pub(crate) fn expect_detection(ctx: &mut Context, session: usize, connection: ConnectionId) {
        let latest = ctx.now() + silence_max(ctx, session);
        ctx.schedule_session(latest, session, DriverEvent::CheckSilence { connection });
    }

    /// Checks that every session is connected, given the time since the last fault.
    pub(crate) fn check_connected(&self, ctx: &mut Context) {
        let time_since_fault = ctx.time_since_fault();
        let peer_silence_max = ctx.settings.peer_silence_max() + ctx.settings.ping_delay_max();
        let mut sessions = self.drivers.iter().zip(&ctx.settings.sessions);
        let slow = sessions.find(|(driver, parameters)| {
            let detection = parameters.silence_max().max(peer_silence_max);
            let bound = detection
                + parameters.attempt_time_max()
                + parameters.reconnect_delay_max()
                + CONNECT_TIME_MAX;
            time_since_fault > bound && !driver.is_connected()
        });
        if let Some((driver, _)) = slow {
            let details = format!(
                "not connected {} after the last fault: {}",
                words::seconds(time_since_fault),
                driver.describe()
            );
            ctx.report(Invariant::SessionsReconnect, details);
        }
    }
}

/// Checks that a publication whose time to live has passed has an outcome, unless it may be in flight.
fn check_expiry(ctx: &mut Context, session: usize, driver: &Driver, publication: MessageId) {
    if driver.application.is_pending(publication) && driver.session.snapshot().in_flight == 0 {
        let number = publication.0;
        let details = format!(
            "publication {number} of session {session} has no outcome after its time to live"
        );
        ctx.report(Invariant::OneOutcomePerPublication, details);
    }
}

fn check_close(ctx: &mut Context, driver: &Driver) {
    if driver.application.is_closing {
        ctx.report(Invariant::CloseCompletes, driver.describe());
    }
}

/// Checks that a session has closed a connection that is silent for too long. A session that is being closed, or that
/// replaced the connection, waits for the close frame, with its own timeout.
fn check_silence(
    ctx: &mut Context,
    network: &Network,
    session: usize,
    driver: &Driver,
    connection: ConnectionId,
) {
    let is_open = network.client_end(connection) == Some(ClientIndex::Session(session));
    let close_time_max = ctx
        .settings
        .sessions
        .get(session)
        .map(SessionParameters::close_time_max);
    if let (Some(replaced_at), Some(limit)) = (driver.replaced_at(connection), close_time_max) {
        let latest = replaced_at + limit + Duration::from_millis(1);
        if ctx.now() < latest {
            return ctx.schedule_session(latest, session, DriverEvent::CheckSilence { connection });
        }
    }
    if is_open && !driver.application.is_closing {
        let details = format!("session {session} has not closed {connection}");
        ctx.report(Invariant::DeadPeersDetected, details);
    }
}
