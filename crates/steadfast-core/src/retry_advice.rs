//! What the end of a connection, or a rejection, requires of the client: the only word that dialects and the link share.

use std::time::Duration;

/// What to do after a connection ended or something was rejected, and how soon.
///
/// ```
/// use std::time::Duration;
/// use steadfast_core::retry_advice::{Pace, RetryAdvice};
///
/// // For a close code that means "too many requests".
/// let advice = RetryAdvice::RETRY.at(Pace::Overloaded).after(Some(Duration::from_secs(30)));
/// # assert_eq!(advice.pace, Pace::Overloaded);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryAdvice {
    /// What has to change before the next attempt.
    pub action: Action,
    /// How soon the next attempt may follow.
    pub pace: Pace,
    /// The delay that the peer requested; it never shortens the client's own.
    pub retry_after: Option<Duration>,
}

/// What has to change before the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Nothing: the same may succeed later.
    Retry,
    /// The credentials are no longer valid.
    RenewCredentials,
    /// The peer has lost the state that positions refer to.
    DiscardPositions,
    /// No further attempt, until the application decides otherwise.
    GiveUp,
}

/// How soon the next attempt may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pace {
    /// After the usual backoff.
    Usual,
    /// As after a failed attempt, so that what repeats itself does not repeat quickly. The endpoint is not held down: the
    /// peer complains about the client, and another one would as well.
    Slowed,
    /// As after a failed attempt: the peer is overloaded, and its endpoint is held down.
    Overloaded,
    /// Spread over time: the peer goes away, and all its clients reconnect.
    GoingAway,
}

impl RetryAdvice {
    /// The same may succeed after the usual backoff.
    pub const RETRY: Self = Self {
        action: Action::Retry,
        pace: Pace::Usual,
        retry_after: None,
    };

    /// No further attempt, until the application decides otherwise.
    pub const GIVE_UP: Self = Self::RETRY.with(Action::GiveUp);

    /// The same pace with another action.
    #[must_use]
    pub const fn with(self, action: Action) -> Self {
        Self { action, ..self }
    }

    /// The same action at another pace.
    #[must_use]
    pub const fn at(self, pace: Pace) -> Self {
        Self { pace, ..self }
    }

    /// The same with the delay that the peer requested, if any.
    #[must_use]
    pub const fn after(self, retry_after: Option<Duration>) -> Self {
        Self {
            retry_after,
            ..self
        }
    }
}
