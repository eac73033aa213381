//! One connection: its session, its options, its calls and its subscriptions.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use serde_json::Value;
use steadfast_machine::Instant;

use crate::io::ConnectionId;
use crate::scram::Exchange;
use crate::version::ApiVersion;

#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) address: IpAddr,
    pub(crate) version: ApiVersion,
    pub(crate) session: Option<Session>,
    /// A login whose second step is awaited.
    pub(crate) pending_login: Option<PendingLogin>,
    pub(crate) options: Options,
    /// Calls that hold a permit.
    pub(crate) running: usize,
    /// Calls that wait for a permit.
    pub(crate) waiting: VecDeque<Call>,
    /// Names of collections by the ids of the subscriptions.
    pub(crate) subscriptions: BTreeMap<String, String>,
    /// When the server sent its last byte.
    pub(crate) last_sent: Instant,
}

/// A successful login.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) username: String,
    pub(crate) since: Instant,
    /// When the last message of the client arrived.
    pub(crate) active_at: Instant,
    /// A test has let it expire.
    pub(crate) is_expired: bool,
}

/// A login between its two steps.
#[derive(Clone, Debug)]
pub(crate) enum PendingLogin {
    /// A one-time password is awaited.
    Otp(AwaitsOtp),
    /// The last message of a SCRAM exchange is awaited.
    Scram(Box<AwaitsScram>),
}

/// A login that needs a one-time password.
#[derive(Clone, Debug)]
pub(crate) struct AwaitsOtp {
    pub(crate) username: String,
    pub(crate) login_options: Value,
}

/// A login whose client has to prove that it knows its API key.
#[derive(Clone, Debug)]
pub(crate) struct AwaitsScram {
    pub(crate) username: String,
    pub(crate) exchange: Exchange,
}

/// The options of `core.set_options`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    pub(crate) legacy_jobs: bool,
    pub(crate) private_methods: bool,
    pub(crate) py_exceptions: bool,
}

/// A call that was admitted.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) connection: ConnectionId,
    /// `None` for a notification.
    pub(crate) id: Option<Value>,
    pub(crate) method: String,
    pub(crate) params: Vec<Value>,
    /// The user at the start of the call; `None` without a login.
    pub(crate) username: Option<String>,
    /// The number of its entry in the journal, once it is executed.
    pub(crate) entry: Option<u64>,
}

impl Connection {
    pub(crate) const fn new(address: IpAddr, version: ApiVersion, now: Instant) -> Self {
        Self {
            address,
            version,
            session: None,
            pending_login: None,
            options: Options {
                legacy_jobs: true,
                private_methods: false,
                py_exceptions: false,
            },
            running: 0,
            waiting: VecDeque::new(),
            subscriptions: BTreeMap::new(),
            last_sent: now,
        }
    }

    /// The number of calls that run or wait.
    pub(crate) fn open_calls(&self) -> usize {
        self.running + self.waiting.len()
    }

    pub(crate) fn username(&self) -> Option<&str> {
        self.session.as_ref().map(|it| it.username.as_str())
    }

    /// Whether one of the subscriptions is to this collection, or to all.
    pub(crate) fn receives(&self, collection: &str) -> bool {
        let mut names = self.subscriptions.values();
        names.any(|name| name == "*" || name == collection)
    }
}
