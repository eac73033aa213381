//! The sessions in the world, as their applications use them: applications publish, read events, close and reconnect,
//! within bounds that are checked.

use std::time::Duration;

use steadfast_core::event::{DisconnectCause, SessionEvent};
use steadfast_core::io::{Input, PublicationId};

use crate::application::Application;
use crate::planted_bug::PlantedBug;
use crate::reference_model::Invariant;
use crate::settings::SessionParameters;
use crate::socket::PingTiming;
use crate::world::{World, WorldEvent};

impl World {
    /// Handles an event that a session reports about its connection.
    pub(crate) fn on_session_event(&mut self, index: usize, event: SessionEvent) {
        match event {
            SessionEvent::Connected { downtime, .. } => {
                self.totals.reconnects += u64::from(downtime.is_some());
            }
            SessionEvent::Lost {
                cause, detection, ..
            } => self.on_session_loss(index, &cause, detection),
            SessionEvent::Failed { cause } => {
                let details = format!("session {index} has failed: {cause:?}");
                self.reference_model
                    .report_violation(Invariant::SessionsReconnect, details);
            }
            SessionEvent::Attempting { .. }
            | SessionEvent::Waiting { .. }
            | SessionEvent::Ready { .. } => {}
            SessionEvent::Closed => self.session_closed(index),
        }
    }

    fn on_session_loss(&mut self, index: usize, cause: &DisconnectCause, detection: Duration) {
        match cause {
            DisconnectCause::PongTimeout(_) | DisconnectCause::WriteTimeout(_)
                if !self.has_faulted_connection(index) =>
            {
                let details = format!("session {index} closed a healthy connection: {cause:?}");
                self.reference_model
                    .report_violation(Invariant::HealthyPeersKept, details);
            }
            DisconnectCause::PongTimeout(_) => {
                self.totals.silences_detected += 1;
                let longest = self.silence_max(index);
                if detection > longest {
                    let details =
                        format!("session {index} detected a silent gateway after {detection:?}");
                    self.reference_model
                        .report_violation(Invariant::DeadPeersDetected, details);
                }
            }
            DisconnectCause::WriteTimeout(_) => self.totals.write_stalls_detected += 1,
            DisconnectCause::Protocol(text) => {
                let details = format!("session {index} received an invalid message: {text}");
                self.reference_model
                    .report_violation(Invariant::SessionsReconnect, details);
            }
            DisconnectCause::Dial(_)
            | DisconnectCause::LocalNetwork(_)
            | DisconnectCause::ConnectTimeout
            | DisconnectCause::ConnectRejected { .. }
            | DisconnectCause::Closed { .. }
            | DisconnectCause::ConnectionFailed(_)
            | DisconnectCause::AttemptsExhausted(_) => {}
        }
    }

    /// The longest time until this session detects a silent gateway.
    pub(crate) fn silence_max(&self, index: usize) -> Duration {
        let parameters = self.settings.sessions.get(index);
        parameters.map_or(Duration::ZERO, SessionParameters::silence_max)
    }

    pub(crate) fn check_queue_bounds(&mut self, index: usize) {
        let (Some(driver), Some(parameters)) =
            (self.drivers.get(index), self.settings.sessions.get(index))
        else {
            return;
        };
        let snapshot = driver.session.snapshot();
        let held = snapshot.queued + snapshot.in_flight;
        if held > parameters.outbox_len_max() {
            let details = format!("session {index} holds {held} publications");
            self.reference_model
                .report_violation(Invariant::QueuesBounded, details);
        }
    }

    /// Records a dial of a session and checks the number of its dials within a second.
    pub(crate) fn check_dial_rate(&mut self, index: usize) {
        let now = self.clock.now();
        let dials = self.drivers.get_mut(index).map(|it| it.record_dial(now));
        if let Some(dials) = dials.filter(|dials| *dials > DIALS_PER_SECOND_MAX) {
            let details = format!("session {index} dialled {dials} times within a second");
            self.reference_model
                .report_violation(Invariant::ReconnectRateBounded, details);
        }
    }

    /// Checks that every session is connected, given the time since the last fault.
    pub(crate) fn check_sessions(&mut self) {
        let time_since_fault = self.clock.now().saturating_since(self.last_fault_change_at);
        let slow =
            (self.drivers.iter().zip(&self.settings.sessions)).find(|(driver, parameters)| {
                let detection = parameters
                    .silence_max()
                    .max(self.settings.peer_silence_max(PingTiming::Delayed));
                let bound = detection
                    + parameters.attempt_time_max()
                    + parameters.reconnect_delay_max()
                    + CONNECT_TIME_MAX;
                time_since_fault > bound && !driver.is_connected()
            });
        if let Some((driver, _)) = slow {
            let details = format!(
                "not connected {time_since_fault:?} after the last fault: {}",
                driver.describe()
            );
            self.reference_model
                .report_violation(Invariant::SessionsReconnect, details);
        }
    }

    pub(crate) fn schedule_application_read(&mut self, session: usize) {
        let longest = self
            .settings
            .sessions
            .get(session)
            .map_or(Duration::ZERO, |parameters| parameters.read_interval_max);
        let delay = self.generator.between(Duration::ZERO, longest);
        if let Some(driver) = self.drivers.get_mut(session)
            && !std::mem::replace(&mut driver.is_read_scheduled, true)
        {
            self.clock
                .schedule(delay, WorldEvent::ApplicationReads { session });
        }
    }

    /// The application reads some of its buffered events.
    pub(crate) fn application_reads(&mut self, index: usize) {
        let Some(driver) = self.drivers.get_mut(index) else {
            return;
        };
        driver.is_read_scheduled = false;
        for (id, items) in driver.application.read(&mut self.generator) {
            self.drive_session(index, Input::Consumed { id, items });
        }
        let has_unread = self
            .drivers
            .get(index)
            .is_some_and(|driver| driver.application.has_unread());
        if has_unread {
            self.schedule_application_read(index);
        }
    }

    pub(crate) fn publish_as_session(&mut self, session: usize) {
        let may_inject_faults = self.may_inject_faults();
        let Some(driver) = self.drivers.get_mut(session) else {
            return;
        };
        if driver.application.published() >= self.settings.publishes && !may_inject_faults {
            return;
        }
        self.totals.published += 1;
        let now = self.clock.now();
        let mut publish = driver.application.publish(now, &mut self.generator);
        if let Some(ttl) = publish.ttl {
            let publication = publish.id;
            let latest = ttl + Duration::from_millis(1);
            self.clock.schedule(
                latest,
                WorldEvent::CheckExpiry {
                    session,
                    publication,
                },
            );
        }
        if self.planted_bug == Some(PlantedBug::EarlyExpiry) {
            publish.ttl = publish.ttl.map(|ttl| ttl / 2);
        }
        self.drive_session(session, Input::PublishRequested(publish));
        if self.generator.chance(1, 32) {
            self.drive_session(session, Input::ReconnectRequested);
        }
        if self.generator.chance(1, 8) {
            self.call(session);
        }
        let delay = self.publish_interval();
        self.clock
            .schedule(delay, WorldEvent::SessionPublish { session });
    }

    /// Checks that a publication whose time to live has passed has an outcome, unless it may be in flight.
    pub(crate) fn check_expiry(&mut self, session: usize, publication: PublicationId) {
        let remaining = self.drivers.get(session).filter(|driver| {
            driver.application.is_pending(publication) && driver.session.snapshot().in_flight == 0
        });
        if remaining.is_some() {
            let details = format!(
                "{publication:?} of session {session} has no outcome after its time to live"
            );
            self.reference_model
                .report_violation(Invariant::OneOutcomePerPublication, details);
        }
    }

    fn call(&mut self, session: usize) {
        let now = self.clock.now();
        if let Some(driver) = self.drivers.get_mut(session) {
            let call = driver.application.call(now, &mut self.generator);
            self.drive_session(session, call);
        }
    }

    /// The application closes its session. Queued publications may still be sent for some time.
    pub(crate) fn close_session(&mut self, session: usize) {
        self.record_fault_change();
        let drain = match self.generator.below(3) {
            0 => Duration::ZERO,
            _ => self
                .generator
                .between(Duration::from_millis(1), Duration::from_millis(500)),
        };
        let Some(parameters) = self.settings.sessions.get(session) else {
            return;
        };
        let latest = drain + parameters.close_time_max() + Duration::from_millis(1);
        if let Some(driver) = self.drivers.get_mut(session) {
            driver.application.is_closing = true;
            self.clock
                .schedule(latest, WorldEvent::CheckClose { session });
            self.drive_session(session, Input::CloseRequested { drain });
        }
    }

    /// The session has ended; after a delay the application reopens it.
    fn session_closed(&mut self, session: usize) {
        self.totals.closes += 1;
        self.with_application(session, Application::closed);
        let delay = self
            .generator
            .between(Duration::ZERO, Duration::from_millis(500));
        self.clock
            .schedule(delay, WorldEvent::OpenSession { session });
    }

    pub(crate) fn check_close(&mut self, session: usize) {
        let remaining = self
            .drivers
            .get(session)
            .filter(|driver| driver.application.is_closing);
        if let Some(driver) = remaining {
            let details = driver.describe();
            self.reference_model
                .report_violation(Invariant::CloseCompletes, details);
        }
    }
}

/// The largest number of dials per second: delays are random, with a maximum that grows from at least 50 ms, and an
/// application requests few immediate reconnects.
const DIALS_PER_SECOND_MAX: usize = 25;

/// The time from a dial to the reply to the connect command on a connection without faults, with a margin.
const CONNECT_TIME_MAX: Duration = Duration::from_millis(500);
