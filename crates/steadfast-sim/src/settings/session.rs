//! What a seed decides about sessions of the client library, and about the applications that hold them.

use std::time::Duration;

use steadfast_core::policy::{
    BackoffSettings, LivenessSettings, OutboxSettings, SessionPolicy, SessionSettings,
};
use steadfast_machine::Generator;

use crate::mutation::Mutation;

/// Calls of a session that may be without an answer.
pub(crate) const CALLS_MAX: usize = 16;

/// What a session and its application are made of.
#[derive(Clone, Debug)]
pub(crate) struct SessionDraw {
    /// What the session is promised to keep to, whatever a mutation makes of its policy.
    settings: SessionSettings,
    /// Items that may wait for the application.
    pub(crate) buffer_len_max: usize,
    /// The longest time that the application takes between two looks.
    pub(crate) look_pause: Duration,
    /// Whether it closes the session on the way, and opens it again.
    pub(crate) closes: bool,
}

impl SessionDraw {
    pub(crate) fn draw(generator: &mut Generator) -> Self {
        let millis = Duration::from_millis;
        let liveness = LivenessSettings {
            idle: generator.between(millis(1_000), millis(3_000)),
            timeout: generator.between(millis(500), millis(2_000)),
            write_stall: generator.between(millis(500), millis(2_000)),
            grace: millis(500),
        };
        let backoff = BackoffSettings {
            floor: millis(20),
            base: generator.between(millis(50), millis(250)),
            cap: generator.between(millis(1_000), millis(3_000)),
            first_within: millis(200),
            spread: millis(500),
            stable_after: millis(1_000),
            hint_max: millis(5_000),
            attempts_max: None,
        };
        // Small, so that a long outage fills it.
        let messages_max = 4 << generator.below(6);
        let window = 1 << generator.below(6);
        let outbox = OutboxSettings {
            messages_max,
            bytes_max: 64 << 10,
            window,
            // One at a time in half of the runs.
            channel_window: if messages_max < 32 { 1 } else { window },
            answer_timeout: millis(2_000),
            // Beyond every run: what comes of it is shown by the tests of the session itself.
            key_window: millis(90_000),
            retry_after: millis(100),
        };
        let is_slow = generator.chance(1, 4);
        Self {
            settings: SessionSettings {
                endpoints: 1,
                name: "sim".to_owned(),
                token: String::new(),
                data: None,
                attempt_deadline: generator.between(millis(1_000), millis(3_000)),
                session_ttl: millis(30_000),
                close_deadline: millis(1_000),
                calls_max: CALLS_MAX,
                subscriptions_max: 16,
                backoff,
                liveness,
                outbox,
            },
            buffer_len_max: 4 << generator.below(5),
            look_pause: millis(if is_slow { 200 } else { 20 }),
            closes: generator.chance(1, 3),
        }
    }

    /// What the session is made with.
    pub(crate) fn policy(&self, mutation: Option<Mutation>) -> SessionPolicy {
        let mut settings = self.settings.clone();
        if mutation == Some(Mutation::NoLiveness) {
            let never = Duration::from_hours(24);
            settings.liveness = LivenessSettings {
                idle: never,
                timeout: never,
                write_stall: never,
                grace: never,
            };
        }
        if mutation == Some(Mutation::NoPause) {
            let moment = Duration::from_millis(1);
            settings.backoff = BackoffSettings {
                floor: moment,
                base: moment,
                cap: moment,
                first_within: moment,
                ..settings.backoff
            };
        }
        if mutation == Some(Mutation::SmallOutbox) {
            settings.outbox.messages_max /= 2;
        }
        SessionPolicy::new(settings).expect("the drawn settings are in range")
    }

    /// A gateway that says nothing any more is noticed within this time.
    pub(crate) fn silence_max(&self) -> Duration {
        self.settings.liveness.idle + self.settings.liveness.timeout
    }

    /// An attempt ends within this time, one way or the other.
    pub(crate) const fn attempt_max(&self) -> Duration {
        self.settings.attempt_deadline
    }

    /// From the close frame to the end.
    pub(crate) const fn close_max(&self) -> Duration {
        self.settings.close_deadline
    }

    /// The longest pause between two attempts at a gateway that asks for no patience.
    pub(crate) fn pause_max(&self) -> Duration {
        let backoff = &self.settings.backoff;
        backoff.floor + backoff.cap.max(backoff.spread)
    }

    /// Publications that may be queued or unanswered.
    pub(crate) const fn outbox_max(&self) -> usize {
        self.settings.outbox.messages_max
    }

    /// Whether nothing of a channel is under way behind another.
    pub(crate) const fn sends_one_at_a_time(&self) -> bool {
        self.settings.outbox.channel_window == 1
    }

    /// Bytes that they may take.
    pub(crate) const fn outbox_bytes_max(&self) -> usize {
        self.settings.outbox.bytes_max
    }
}
