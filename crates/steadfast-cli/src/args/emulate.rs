//! The command line of `steadfast lab emulate`: servers of other products, for the tests of their clients.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use steadfast_truenas_emulator::{AccountState, ApiVersion, AssuranceLevel};

use super::values;

const EXAMPLES: &str = "\
Examples:
  steadfast lab emulate truenas
        serve the API on ws://127.0.0.1:6000/api/current
  steadfast lab emulate truenas --release v25.04.2 --idle-cut 60
        as a release that cuts connections on which the server sends nothing for 60 s
  steadfast lab emulate truenas --call-time 500 --job-time 10000
        with slow calls and jobs
  steadfast lab emulate truenas --tls-self-signed nas.pem
        with TLS; clients trust it with the certificate in nas.pem

What is emulated, and how a test controls it, is listed in docs/reference/truenas-emulator.md.

Exit codes:
  0  ended by a signal
  1  any other failure
  2  invalid arguments
  3  port in use";

/// What is emulated.
#[derive(Debug, Subcommand)]
pub(crate) enum Emulate {
    /// The WebSocket API of the TrueNAS middleware
    #[command(after_help = EXAMPLES)]
    Truenas(EmulateTruenas),
}

/// The arguments of `lab emulate truenas`.
#[derive(Args, Debug)]
pub(crate) struct EmulateTruenas {
    /// Address and port of the API; port 0 selects a free port
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:6000")]
    pub(crate) listen: SocketAddr,
    /// Newest version of the API, for example v25.10.0
    #[arg(long, value_name = "VERSION", default_value = "v26.0.0", value_parser = values::api_version)]
    pub(crate) release: ApiVersion,
    /// Name of the user
    #[arg(long, value_name = "NAME", default_value = USER)]
    pub(crate) user: String,
    /// Password of the user
    #[arg(long, default_value = "secret")]
    pub(crate) password: String,
    /// API key of the user
    #[arg(long, value_name = "KEY", default_value = API_KEY)]
    pub(crate) api_key: String,
    /// One-time password that a login with the password requires in addition [default: none]
    #[arg(long)]
    pub(crate) otp: Option<String>,
    /// What a login with valid credentials returns
    #[arg(long, value_enum, default_value_t = AccountStateArg::Usable)]
    pub(crate) account: AccountStateArg,
    /// URL of the other controller, to which logins are redirected at first; can be repeated [default: none]
    #[arg(long, value_name = "URL")]
    pub(crate) redirect: Vec<String>,
    /// Address that may connect; can be repeated [default: all]
    #[arg(long, value_name = "IP", value_parser = values::address)]
    pub(crate) allow: Vec<IpAddr>,
    /// How long a call takes, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10)]
    pub(crate) call_time: u64,
    /// How long a job runs, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    pub(crate) job_time: u64,
    /// Assurance level of logins: level-2 and level-3 accept only the password with a one-time password (--otp)
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = AssuranceArg::Level1)]
    pub(crate) assurance: AssuranceArg,
    /// Greatest age of a session, in seconds [default: that of the assurance level, 30 days]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) session_age: Option<u64>,
    /// Do not offer SCRAM, also from release v26.0.0 on
    #[arg(long)]
    pub(crate) no_scram: bool,
    /// Iterations of SCRAM
    #[arg(long, value_name = "NUMBER", default_value = "500000")]
    pub(crate) scram_iterations: NonZeroU32,
    /// Require TLS with a new certificate, and write the certificate to this file, so that clients can trust it
    #[arg(long, value_name = "FILE", conflicts_with = "tls_certificate")]
    pub(crate) tls_self_signed: Option<PathBuf>,
    /// Require TLS with the certificates in this PEM file, the server's own first
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// Key of the certificate, a PEM file
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,
    /// Cut connections on which the server has sent nothing for this long, in seconds [default: never]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) idle_cut: Option<u64>,
    /// Append a line with the key of each dataset tank/KEY that a client creates to this file [default: none]
    #[arg(long, value_name = "FILE")]
    pub(crate) effects: Option<PathBuf>,
    /// Send the last event of each job twice
    #[arg(long)]
    pub(crate) repeat_last_job_event: bool,
    /// Seed of delays, tokens and identities [default: random]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
    /// Print the address, the URL and the seed as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The name of the emulated user.
pub(crate) const USER: &str = "admin";
/// The API key of the emulated user, in the form of a real one.
pub(crate) const API_KEY: &str =
    "1-steadfast0emulator0key0of0sixty0four0characters0for0tests0only00";

/// What a login with valid credentials returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccountStateArg {
    /// Logins return SUCCESS
    Usable,
    /// Logins return EXPIRED
    Expired,
    /// Logins return DENIED
    NoApiAccess,
}

impl From<AccountStateArg> for AccountState {
    fn from(state: AccountStateArg) -> Self {
        match state {
            AccountStateArg::Usable => Self::Usable,
            AccountStateArg::Expired => Self::Expired,
            AccountStateArg::NoApiAccess => Self::NoApiAccess,
        }
    }
}

/// The assurance level of logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AssuranceArg {
    /// Sessions of 30 days
    #[value(name = "level-1")]
    Level1,
    /// A password with a one-time password; sessions of 12 hours, of 30 minutes without a message
    #[value(name = "level-2")]
    Level2,
    /// As level 2, with sessions of 13 minutes
    #[value(name = "level-3")]
    Level3,
}

impl From<AssuranceArg> for AssuranceLevel {
    fn from(level: AssuranceArg) -> Self {
        match level {
            AssuranceArg::Level1 => Self::Level1,
            AssuranceArg::Level2 => Self::Level2,
            AssuranceArg::Level3 => Self::Level3,
        }
    }
}
