//! The assurance levels of logins: how long a session lasts, and which mechanisms exist.

use std::time::Duration;

/// The level that an administrator has configured for all logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AssuranceLevel {
    /// `LEVEL_1`, the default: sessions of 30 days.
    Level1,
    /// `LEVEL_2`: a password and a one-time password, sessions of 12 hours, of 30 minutes without a message.
    Level2,
    /// `LEVEL_3`: sessions of 13 minutes, of 15 minutes without a message. A real server has no mechanism for it yet;
    /// here the mechanisms are those of `LEVEL_2`.
    Level3,
}

impl AssuranceLevel {
    /// Returns the name, for example `LEVEL_1`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Level1 => "LEVEL_1",
            Self::Level2 => "LEVEL_2",
            Self::Level3 => "LEVEL_3",
        }
    }

    /// Returns the greatest age of a session.
    pub const fn session_age_max(self) -> Duration {
        match self {
            Self::Level1 => Duration::from_hours(30 * 24),
            Self::Level2 => Duration::from_hours(12),
            Self::Level3 => Duration::from_mins(13),
        }
    }

    /// Returns how long a session lasts without a message of its client; `None` is without a limit.
    pub const fn session_idle_max(self) -> Option<Duration> {
        match self {
            Self::Level1 => None,
            Self::Level2 => Some(Duration::from_mins(30)),
            Self::Level3 => Some(Duration::from_mins(15)),
        }
    }

    /// Whether a password together with a one-time password is the only way to log in.
    pub(crate) const fn requires_otp(self) -> bool {
        match self {
            Self::Level1 => false,
            Self::Level2 | Self::Level3 => true,
        }
    }

    /// The level that a successful login reports; there are two of them.
    pub(crate) const fn authenticator(self) -> &'static str {
        match self {
            Self::Level1 => "LEVEL_1",
            Self::Level2 | Self::Level3 => "LEVEL_2",
        }
    }
}
