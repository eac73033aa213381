//! What the API of TrueNAS adds to [`jsonrpc`](super::jsonrpc): its login, errors with numbers, values that JSON has no
//! form for, and jobs.
//!
//! - **The login** uses the strongest mechanism that the server offers: SCRAM-SHA-512 for an API key, which never sends the
//!   secret and in which the server proves that it knows it; otherwise the key itself, with the user name; the method of old
//!   releases only if the server has no other. See [`TrueNasLogin`].
//! - **Never a weaker one than before:** once a server has offered SCRAM, a later connection that offers less is refused,
//!   unless [`TrueNasLogin::permit_weaker_mechanism`] says otherwise. A login by SCRAM that fails is not tried in another
//!   way.
//! - **Outcomes have types:** [`LoginErrorKind`](crate::event::LoginErrorKind). A rate limit is waited for; a redirect is
//!   followed, a few times in a row.
//! - **No options are set:** with those of the server (`core.set_options`), a job replies with its id at once in each release,
//!   so that it is known before the connection can be lost.
//! - [`ApiError`] is an error with its number, its reason and what is wrong with which attribute.
//! - [`collection`] has the changes of a collection.
//! - [`extended_json`] has times, sets and addresses as the API writes them.
//! - [`jobs`] follows a job from its call to its end, also over lost connections and restarts of the server.

pub mod collection;
mod errors;
pub mod extended_json;
pub mod jobs;
mod login;
mod outcome;
mod scram;

pub use errors::{ApiError, Errno, InvalidAttribute};
pub use login::TrueNasLogin;
pub use outcome::is_unauthenticated;

use std::time::Duration;

use crate::login_budget::LoginBudgetSettings;

/// The limit on the logins of a process at one server: it permits 20 calls of a method in 60 s for one address, and this
/// leaves two for other programs there.
pub const LOGIN_BUDGET: LoginBudgetSettings = LoginBudgetSettings::new(18, Duration::from_mins(1));

/// The largest message that the server accepts before the login, in characters.
pub const LOGIN_MESSAGE_BYTES_MAX: usize = 8_192;

/// The largest message that the server accepts after the login, in characters.
pub const MESSAGE_BYTES_MAX: usize = 65_536;

/// The code of the error with which the server says that a connection has too many calls; see
/// [`JsonRpcSettings::too_many_calls`](super::jsonrpc::JsonRpcSettings::too_many_calls).
pub const TOO_MANY_CALLS: i64 = -32_000;

/// The most calls of a connection that the server executes and keeps waiting; it rejects a further one.
pub const CALLS_IN_FLIGHT_MAX: usize = 20;
