//! The sessions in the world, as their applications see them: they publish, look at what came, and must come back.

use std::time::Duration;

use steadfast_core::event::{Cause, Event as SessionEvent};
use steadfast_core::io::{Input, PublicationId};

use crate::application::Application;
use crate::mutation::Mutation;
use crate::reference::Promise;
use crate::settings::SessionDraw;
use crate::socket::Pings;
use crate::world::{Event, World};

impl World {
    /// What a session tells its application about itself.
    pub(crate) fn note_session(&mut self, index: usize, event: SessionEvent) {
        match event {
            SessionEvent::Connected { downtime, .. } => {
                self.totals.reconnects += u64::from(downtime.is_some());
            }
            SessionEvent::Lost {
                cause, detection, ..
            } => self.note_loss(index, &cause, detection),
            SessionEvent::Failed { cause } => {
                let seen = format!("session {index} gave up: {cause:?}");
                self.reference
                    .break_promise(Promise::SessionsComeBack, seen);
            }
            SessionEvent::Attempting { .. }
            | SessionEvent::Waiting { .. }
            | SessionEvent::Ready { .. } => {}
            SessionEvent::Closed => self.session_closed(index),
        }
    }

    fn note_loss(&mut self, index: usize, cause: &Cause, detection: Duration) {
        match cause {
            Cause::Silence(_) | Cause::WriteStall(_) if !self.is_line_harmed(index) => {
                let seen = format!("session {index} gave up a healthy link: {cause:?}");
                self.reference
                    .break_promise(Promise::AHealthyPeerIsKept, seen);
            }
            Cause::Silence(_) => {
                self.totals.silences_noticed += 1;
                let longest = self.silence_max(index);
                if detection > longest {
                    let seen = format!("session {index} noticed after {detection:?}");
                    self.reference
                        .break_promise(Promise::ADeadPeerIsNoticed, seen);
                }
            }
            Cause::WriteStall(_) => self.totals.stalls_noticed += 1,
            Cause::Protocol(text) => {
                let seen = format!("session {index} does not understand the gateway: {text}");
                self.reference
                    .break_promise(Promise::SessionsComeBack, seen);
            }
            Cause::Dial(_)
            | Cause::LocalNetwork(_)
            | Cause::AttemptTimeout
            | Cause::Refused { .. }
            | Cause::Closed { .. }
            | Cause::Broken(_)
            | Cause::AttemptsExhausted(_) => {}
        }
    }

    /// A gateway that says nothing any more is noticed by this session within this time.
    pub(crate) fn silence_max(&self, index: usize) -> Duration {
        let draw = self.settings.sessions.get(index);
        draw.map_or(Duration::ZERO, SessionDraw::silence_max)
    }

    pub(crate) fn judge_bounds(&mut self, index: usize) {
        let (Some(driver), Some(draw)) =
            (self.drivers.get(index), self.settings.sessions.get(index))
        else {
            return;
        };
        let snapshot = driver.session.snapshot();
        let held = snapshot.queued + snapshot.unanswered;
        if held > draw.outbox_max() {
            let seen = format!("session {index} holds {held} publications");
            self.reference
                .break_promise(Promise::QueuesKeepTheirBounds, seen);
        }
    }

    /// A session that dials dials no more than a second allows.
    pub(crate) fn judge_pace(&mut self, index: usize) {
        let now = self.clock.now();
        let dials = self.drivers.get_mut(index).map(|it| it.dials_with(now));
        if let Some(dials) = dials.filter(|dials| *dials > DIALS_PER_SECOND_MAX) {
            let seen = format!("session {index} dialled {dials} times within a second");
            self.reference.break_promise(Promise::NobodyHammers, seen);
        }
    }

    /// Whoever is not connected although nothing went wrong for so long.
    pub(crate) fn judge_sessions(&mut self) {
        let quiet = self.clock.now().saturating_since(self.trouble_at);
        let slow = (self.drivers.iter().zip(&self.settings.sessions)).find(|(driver, draw)| {
            let noticed = draw
                .silence_max()
                .max(self.settings.peer_silence_max(Pings::Behind));
            let bound = noticed + draw.attempt_max() + draw.pause_max() + CONNECT_MAX;
            quiet > bound && !driver.is_connected()
        });
        if let Some((driver, _)) = slow {
            let seen = format!("{quiet:?} after the last fault: {}", driver.describe());
            self.reference
                .break_promise(Promise::SessionsComeBack, seen);
        }
    }

    pub(crate) fn plan_look(&mut self, session: usize) {
        let longest = self
            .settings
            .sessions
            .get(session)
            .map_or(Duration::ZERO, |draw| draw.look_pause);
        let delay = self.generator.between(Duration::ZERO, longest);
        if let Some(driver) = self.drivers.get_mut(session)
            && !std::mem::replace(&mut driver.is_look_planned, true)
        {
            self.clock.plan(delay, Event::Look { session });
        }
    }

    /// The application takes some of what waits for it.
    pub(crate) fn application_looks(&mut self, index: usize) {
        let Some(driver) = self.drivers.get_mut(index) else {
            return;
        };
        driver.is_look_planned = false;
        for (id, items) in driver.application.take(&mut self.generator) {
            self.tell_session(index, Input::Taken { id, items });
        }
        let waits = self
            .drivers
            .get(index)
            .is_some_and(|driver| driver.application.has_waiting());
        if waits {
            self.plan_look(index);
        }
    }

    pub(crate) fn session_publish(&mut self, session: usize) {
        let is_faulty = self.is_faulty();
        let Some(driver) = self.drivers.get_mut(session) else {
            return;
        };
        if driver.application.published() >= self.settings.publishes && !is_faulty {
            return;
        }
        self.totals.published += 1;
        let now = self.clock.now();
        let mut publish = driver.application.publish(now, &mut self.generator);
        if let Some(ttl) = publish.ttl {
            let publication = publish.id;
            let latest = ttl + Duration::from_millis(1);
            self.clock.plan(
                latest,
                Event::JudgeExpiry {
                    session,
                    publication,
                },
            );
        }
        if self.mutation == Some(Mutation::Impatience) {
            publish.ttl = publish.ttl.map(|ttl| ttl / 2);
        }
        self.tell_session(session, Input::PublishRequested(publish));
        if self.generator.chance(1, 32) {
            self.tell_session(session, Input::Kicked);
        }
        if self.generator.chance(1, 8) {
            self.call(session);
        }
        let delay = self.publish_pause();
        self.clock.plan(delay, Event::SessionPublish { session });
    }

    /// A publication whose time is over may still wait for its answer, but for nothing else.
    pub(crate) fn judge_expiry(&mut self, session: usize, publication: PublicationId) {
        let lasts = self.drivers.get(session).filter(|driver| {
            driver.application.is_owed(publication) && driver.session.snapshot().unanswered == 0
        });
        if lasts.is_some() {
            let seen = format!("{publication:?} of session {session} outlives its time");
            self.reference
                .break_promise(Promise::EveryPublicationEndsOnce, seen);
        }
    }

    fn call(&mut self, session: usize) {
        let now = self.clock.now();
        if let Some(driver) = self.drivers.get_mut(session) {
            let call = driver.application.call(now, &mut self.generator);
            self.tell_session(session, call);
        }
    }

    /// The application has enough for now. What is queued may still go out for a while.
    pub(crate) fn close_session(&mut self, session: usize) {
        self.note_trouble();
        let drain = match self.generator.below(3) {
            0 => Duration::ZERO,
            _ => self
                .generator
                .between(Duration::from_millis(1), Duration::from_millis(500)),
        };
        let Some(draw) = self.settings.sessions.get(session) else {
            return;
        };
        let latest = drain + draw.close_max() + Duration::from_millis(1);
        if let Some(driver) = self.drivers.get_mut(session) {
            driver.application.is_closing = true;
            self.clock.plan(latest, Event::JudgeClose { session });
            self.tell_session(session, Input::CloseRequested { drain });
        }
    }

    /// The session has ended; after a while the application wants it again.
    fn session_closed(&mut self, session: usize) {
        self.totals.closes += 1;
        self.with_application(session, Application::closed);
        let delay = self
            .generator
            .between(Duration::ZERO, Duration::from_millis(500));
        self.clock.plan(delay, Event::OpenSession { session });
    }

    pub(crate) fn judge_close(&mut self, session: usize) {
        let lasts = self
            .drivers
            .get(session)
            .filter(|driver| driver.application.is_closing);
        if let Some(driver) = lasts {
            let seen = driver.describe();
            self.reference.break_promise(Promise::ACloseEnds, seen);
        }
    }
}

/// Pauses grow from 50 ms at least, and an application that knows better shortens few of them.
const DIALS_PER_SECOND_MAX: usize = 25;

/// From a dial to the answer to the connect command on a link without faults, and a little more.
const CONNECT_MAX: Duration = Duration::from_millis(500);
