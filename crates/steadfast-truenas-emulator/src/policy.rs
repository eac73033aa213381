//! The settings of an emulated server: its release, its accounts, how long calls and jobs take.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use steadfast_machine::{Seed, Timestamp};

use crate::assurance::AssuranceLevel;
use crate::version::ApiVersion;

/// The iterations of SCRAM on a real server.
const SCRAM_ITERATIONS: NonZeroU32 = NonZeroU32::new(500_000).expect("it is not zero");

/// The settings of a [`Middleware`](crate::Middleware).
#[derive(Clone, Debug)]
pub struct Policy {
    /// The newest version of the API; decides what depends on the release.
    pub release: ApiVersion,
    /// Who may log in.
    pub accounts: Vec<Account>,
    /// How long a call takes. Zero executes each call at once, so that a connection never has two of them.
    pub call_time: Duration,
    /// How long a job runs.
    pub job_time: Duration,
    /// The assurance level of all logins, which decides which mechanisms exist.
    pub assurance: AssuranceLevel,
    /// The greatest age of a session: 30 days at the default assurance level.
    pub session_age_max: Duration,
    /// How long a session lasts without a message of its client; `None` is without a limit.
    pub session_idle_max: Option<Duration>,
    /// Whether releases that have SCRAM offer it.
    pub offers_scram: bool,
    /// The iterations with which SCRAM derives its keys: 500,000 on a real server.
    pub scram_iterations: NonZeroU32,
    /// The hash of the certificate, to which a client can bind SCRAM; `None` without TLS. A [`Server`](crate::Server)
    /// with a certificate sets it.
    pub certificate_hash: Option<Vec<u8>>,
    /// How long a token is valid that no client has used: 600 s unless the user has another preference.
    pub token_lifetime: Duration,
    /// Cuts a connection after this time without a byte from the server, as nginx did for 60 s before release 27.
    pub idle_cut: Option<Duration>,
    /// URLs of the other controller: logins return `REDIRECT` at first, as on the standby of a pair. Empty without a
    /// pair.
    pub redirect: Vec<String>,
    /// The addresses that may connect; all others are closed with 1008. `None` permits all.
    pub allowed_addresses: Option<Vec<IpAddr>>,
    /// Whether the last event of a job is sent twice, as a real server sometimes does.
    pub repeats_last_job_event: bool,
    /// The identity of the boot of the operating system, for `GET /api/boot_id`.
    pub boot_id: String,
    /// The wall-clock time at the start of the driver's clock.
    pub started_at: Timestamp,
    /// Determines random delays, tokens and identities.
    pub seed: Seed,
}

impl Policy {
    /// Returns the settings of a real server at its default assurance level, with calls of 10 ms and jobs of 1 s.
    pub fn of_release(release: ApiVersion, accounts: Vec<Account>) -> Self {
        Self {
            release,
            accounts,
            call_time: Duration::from_millis(10),
            job_time: Duration::from_secs(1),
            assurance: AssuranceLevel::Level1,
            session_age_max: AssuranceLevel::Level1.session_age_max(),
            session_idle_max: AssuranceLevel::Level1.session_idle_max(),
            offers_scram: true,
            scram_iterations: SCRAM_ITERATIONS,
            certificate_hash: None,
            token_lifetime: Duration::from_mins(10),
            idle_cut: None,
            redirect: Vec::new(),
            allowed_addresses: None,
            repeats_last_job_event: false,
            boot_id: "5b6f9f1e-6a53-4a6b-9d0a-2f1f3f0b8c11".to_owned(),
            started_at: Timestamp::from_millis(0),
            seed: Seed::new(0),
        }
    }

    /// Returns the same settings at another assurance level, with its ages of sessions.
    #[must_use]
    pub fn at_assurance(self, level: AssuranceLevel) -> Self {
        Self {
            assurance: level,
            session_age_max: level.session_age_max(),
            session_idle_max: level.session_idle_max(),
            ..self
        }
    }
}

/// A user of the emulated server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The name of the user.
    pub username: String,
    /// The password; `None` if the user has none.
    pub password: Option<String>,
    /// The one-time password that a login with a password requires in addition; a real one changes every 30 s.
    pub otp: Option<String>,
    /// The API key, `ID-SECRET`.
    pub api_key: Option<String>,
    /// Whether a login with valid credentials succeeds.
    pub state: AccountState,
}

/// Whether a login with valid credentials succeeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountState {
    /// The login succeeds.
    Usable,
    /// The credentials are expired: `EXPIRED`.
    Expired,
    /// The user has no access to the API: `DENIED`.
    NoApiAccess,
}
