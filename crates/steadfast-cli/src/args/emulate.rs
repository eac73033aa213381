//! The command line of `steadfast lab emulate`: servers of other products, for the tests of their clients.

use std::net::{IpAddr, SocketAddr};

use clap::{Args, Subcommand, ValueEnum};
use steadfast_truenas_emulator::{AccountState, ApiVersion};

use super::values;

const EXAMPLES: &str = "\
Examples:
  steadfast lab emulate truenas
        serve the API on ws://127.0.0.1:6000/api/current
  steadfast lab emulate truenas --release v25.04.2 --idle-cut 60
        as a release that cuts connections on which the server sends nothing for 60 s
  steadfast lab emulate truenas --call-time 500 --job-time 10000
        with slow calls and jobs

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
    #[arg(long, value_name = "NAME", default_value = "admin")]
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
    /// URL of the other controller, to which logins are redirected; can be repeated [default: none]
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
    /// Greatest age of a session, in seconds: 30 days
    #[arg(long, value_name = "SECONDS", default_value_t = 2_592_000)]
    pub(crate) session_age: u64,
    /// Cut connections on which the server has sent nothing for this long, in seconds [default: never]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) idle_cut: Option<u64>,
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

/// The API key of the emulated user, in the form of a real one.
const API_KEY: &str = "1-steadfast0emulator0key0of0sixty0four0characters0for0tests0only00";

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
