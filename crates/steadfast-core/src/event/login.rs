//! Why a client is not logged in.

use std::fmt;

/// Why the login of a connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginErrorKind {
    /// The server does not accept the user or the secret.
    Credentials,
    /// The credentials were valid, and have expired.
    Expired,
    /// The user is known, and may not use this interface.
    Denied,
    /// The server requires a second factor, which a program does not have.
    SecondFactor,
    /// The server offers no method of login that the client may use.
    Mechanism,
    /// The server did not prove that it knows the secret, or violated the login's protocol.
    Server,
    /// The server executes no more logins for now.
    Busy,
    /// Another server has to be asked.
    Redirected,
    /// The server did not reply in time.
    TimedOut,
    /// The server gave another reason.
    Other,
}

impl fmt::Display for LoginErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Credentials => "the credentials are not accepted",
            Self::Expired => "the credentials have expired",
            Self::Denied => "the user has no access",
            Self::SecondFactor => "a second factor is required",
            Self::Mechanism => "no permitted method of login",
            Self::Server => "the server is not trusted",
            Self::Busy => "the server executes no more logins for now",
            Self::Redirected => "redirected to another server",
            Self::TimedOut => "no reply in time",
            Self::Other => "rejected by the server",
        })
    }
}
