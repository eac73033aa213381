//! How many calls may be in flight on a connection, when its peer rejects those that it has too many of.
//!
//! A peer that limits the calls in flight does not say how many it permits, and may count calls that the client no longer
//! waits for. So the window is learnt: a rejection halves it, and pauses all calls for a moment; while the peer continues to
//! reject calls the pauses double. A window whose calls have all had a reply grows by one call, up to the limit of the
//! session. Nothing is learnt for the next connection.

use std::time::Duration;

use steadfast_machine::Instant;

/// The first pause after a rejection.
const PAUSE_MIN: Duration = Duration::from_millis(50);
/// The longest pause: the peer executes nothing at all, and is asked this often.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// The number of calls that may be in flight.
#[derive(Debug)]
pub(super) struct Window {
    max: usize,
    size: usize,
    /// Replies since the size changed.
    replies: usize,
    /// The length of the next pause.
    next_pause: Duration,
    paused_until: Option<Instant>,
}

impl Window {
    pub(super) const fn new(max: usize) -> Self {
        Self {
            max,
            size: max,
            replies: 0,
            next_pause: PAUSE_MIN,
            paused_until: None,
        }
    }

    /// Whether another call may be sent when so many are in flight.
    pub(super) fn has_space(&self, now: Instant, in_flight: usize) -> bool {
        in_flight < self.size && self.paused_until.is_none_or(|until| now >= until)
    }

    /// The peer executed a call, or rejected it for another reason.
    pub(super) const fn on_reply(&mut self) {
        self.next_pause = PAUSE_MIN;
        self.replies = self.replies.saturating_add(1);
        if self.replies >= self.size && self.size < self.max {
            self.size += 1;
            self.replies = 0;
        }
    }

    /// The peer has too many calls; so many were in flight, the rejected one included. Of calls that were sent at the same
    /// time several are rejected: what is rejected during a pause changes nothing.
    pub(super) fn on_rejected(
        &mut self,
        now: Instant,
        in_flight: usize,
        add_jitter: impl FnOnce(Duration) -> Duration,
    ) {
        if self.paused_until.is_some_and(|until| now < until) {
            return;
        }
        self.size = self.size.min(in_flight).div_euclid(2).max(1);
        self.replies = 0;
        self.paused_until = Some(now + add_jitter(self.next_pause));
        self.next_pause = self.next_pause.saturating_mul(2).min(PAUSE_MAX);
    }

    /// The end of the pause.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) {
        self.paused_until = self.paused_until.filter(|until| now < *until);
    }

    /// The next connection may be to a peer with another limit.
    pub(super) const fn on_connection_lost(&mut self) {
        *self = Self::new(self.max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Instant {
        Instant::from_nanos(millis * 1_000_000)
    }

    fn reject(window: &mut Window, now: Instant, in_flight: usize) {
        window.on_rejected(now, in_flight, |pause| pause);
    }

    #[test]
    fn a_rejection_halves_the_window_once_for_calls_that_were_sent_together() {
        let mut window = Window::new(1_000);
        for in_flight in (21..=40).rev() {
            reject(&mut window, at(0), in_flight);
        }

        assert!(!window.has_space(at(49), 0));
        assert!(window.has_space(at(50), 19));
        assert!(!window.has_space(at(50), 20));
    }

    #[test]
    fn a_window_grows_by_one_call_when_all_its_calls_had_a_reply() {
        let mut window = Window::new(4);
        reject(&mut window, at(0), 4);
        window.tick(at(50));

        for (replies, size) in [(0, 2), (1, 2), (2, 3), (4, 3), (5, 4), (100, 4)] {
            let mut window = Window { ..window };
            for _ in 0..replies {
                window.on_reply();
            }
            assert!(window.has_space(at(50), size - 1), "{replies}");
            assert!(!window.has_space(at(50), size), "{replies}");
        }
    }

    #[test]
    fn pauses_double_up_to_the_longest_until_there_is_a_reply() {
        let mut window = Window::new(1);
        let mut now = at(0);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            reject(&mut window, now, 1);
            let until = window.deadline().expect("a pause");
            pauses.push((until - now).as_millis());
            now = until;
        }
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);

        window.on_reply();
        reject(&mut window, now, 1);
        assert_eq!(window.deadline(), Some(now + PAUSE_MIN));
        assert!(window.has_space(now + PAUSE_MIN, 0));
    }

    #[test]
    fn a_new_connection_has_the_whole_window() {
        let mut window = Window::new(8);
        reject(&mut window, at(0), 8);
        window.on_connection_lost();

        assert!(window.has_space(at(0), 7));
        assert_eq!(window.deadline(), None);
    }
}
