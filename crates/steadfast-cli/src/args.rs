//! What was typed. What it means is decided by the commands.

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::exit::Failure;

const EXAMPLES: &str = "\
Examples:
  steadfast serve                        serve on http://127.0.0.1:8000, store in ./steadfast-data
  PORT=8001 steadfast serve              the same on another port
  steadfast serve --memory               store nothing on disk
  steadfast serve --config FILE          settings from a file
  steadfast serve --print-config         all settings in force
  steadfast connect ws://127.0.0.1:8000  subscribe and publish by hand
  steadfast log verify DIR               look at a data directory without changing it
  steadfast sim --seeds 0..1000          crash the gateway in virtual time, a thousand times over
  steadfast lab run scenarios/gateway-kill.toml
                                         kill real gateways under real clients, and judge

Environment:
  PORT, STEADFAST_ADDRESS, STEADFAST_DATA, STEADFAST_CONFIG   as --port, --address, --data, --config
  STEADFAST_LOG   what is logged, for example debug           NO_COLOR   no colours

Exit codes:
  0 done   1 failed   2 wrong arguments or configuration   3 port in use   4 data directory not usable";

const CONNECT_EXAMPLES: &str = "\
Examples:
  steadfast connect ws://127.0.0.1:8000 --subscribe lobby
  steadfast connect http://127.0.0.1:8000 --publish lobby '{\"text\": \"hello\"}'

Once connected, type:
  some text or JSON      publish it to the channel named last
  /subscribe CHANNEL     /unsubscribe CHANNEL    /publish CHANNEL JSON
  /history CHANNEL       /presence CHANNEL       /quit";

const LOG_EXAMPLES: &str = "\
Examples:
  steadfast log verify steadfast-data         every byte is read, nothing is changed
  steadfast log verify steadfast-data --json  the same for programs
  steadfast log repair steadfast-data         new segments from what is valid; the damaged files are kept

Stop the gateway first: both refuse a directory in use. Damage that verify finds ends it with code 4.";

const SIM_EXAMPLES: &str = "\
Examples:
  steadfast sim --seeds 0..1000          a thousand runs, each with links that fail and power failures
  steadfast sim --seeds 17               one seed again
  steadfast sim --seeds 0..100 --break no-sync
                                         leave the sync out, and see which seeds notice

The command fails when a promise is broken, and also when too little went wrong to prove anything.";

const LAB_EXAMPLES: &str = "\
Examples:
  steadfast lab run scenarios/gateway-kill.toml                     carry it out and judge it
  steadfast lab run scenarios/gateway-kill.toml --profile extended  with more clients, for longer
  steadfast lab run scenarios/gateway-kill.toml -p clients=8 --seed 7
  steadfast lab run scenarios/gateway-kill.toml --placebo           break nothing: the verdict must notice
  steadfast lab check scenarios/gateway-kill.toml                   what it would do, without doing it

Exit codes of the lab:
  0 PASS   1 FAIL   2 INCONCLUSIVE, or wrong arguments   5 the scenario cannot be used here";

const DEMO_EXAMPLES: &str = "\
Examples:
  steadfast demo                the page on http://127.0.0.1:8000, its gateway on the next port
  PORT=9000 steadfast demo      the same on another port
  steadfast demo --painters 20  with more painters

Open the page, draw, kill the gateway with the button, and see who was out for how long.";

/// Keeps long-lived connections alive.
#[derive(Debug, Parser)]
#[command(name = "steadfast", version, after_help = EXAMPLES, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One command each.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve clients of the Centrifuge stream protocol over WebSocket
    #[command(after_help = EXAMPLES)]
    Serve(Serve),
    /// Talk to a gateway by hand: subscribe, publish, look
    #[command(after_help = CONNECT_EXAMPLES)]
    Connect(Connect),
    /// Look at a data directory, or rescue what is valid in a damaged one
    #[command(subcommand, after_help = LOG_EXAMPLES)]
    Log(Log),
    /// Run gateway, clients and a failing disk in virtual time, and check every promise
    #[command(after_help = SIM_EXAMPLES)]
    Sim(Sim),
    /// Draw on a shared canvas whose gateway you may kill
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(Demo),
    /// Break real processes under real clients, keep the books, and judge
    #[command(subcommand, after_help = LAB_EXAMPLES)]
    Lab(Lab),
}

/// The arguments of `serve`. Each stands above the environment, which stands above the file.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Settings from this TOML file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<IpAddr>,
    /// The port; 0 takes any free one [default: 8000]
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Event loops; 0 takes one for each processor [default: 0]
    #[arg(long, value_name = "COUNT")]
    pub(crate) cores: Option<u16>,
    /// Store in this directory [default: steadfast-data]
    #[arg(long, value_name = "DIR", conflicts_with = "memory")]
    pub(crate) data: Option<PathBuf>,
    /// Store in memory: everything is gone when the process ends
    #[arg(long)]
    pub(crate) memory: bool,
    /// Print all settings in force as a configuration file, and end
    #[arg(long)]
    pub(crate) print_config: bool,
    /// Print address and data directory as one JSON object instead of a text
    #[arg(long)]
    pub(crate) json: bool,
}

/// The arguments of `connect`.
#[derive(Args, Debug)]
pub(crate) struct Connect {
    /// The gateway: ws://HOST:PORT, with a path unless it is /connection/websocket
    pub(crate) url: String,
    /// Subscribe to this channel; may be given several times
    #[arg(long, short, value_name = "CHANNEL")]
    pub(crate) subscribe: Vec<String>,
    /// Publish this once with a key of its own, wait for the acknowledgement, and end
    #[arg(long, short, num_args = 2, value_names = ["CHANNEL", "JSON"])]
    pub(crate) publish: Option<Vec<String>>,
    /// Print what comes as JSON, one object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `log` can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Log {
    /// Read every byte and tell each damage; change nothing
    #[command(after_help = LOG_EXAMPLES)]
    Verify(LogDirectory),
    /// Move what is valid to new segments, keep the damaged files, and change the channel epochs
    #[command(after_help = LOG_EXAMPLES)]
    Repair(LogDirectory),
}

/// The arguments of `log verify` and `log repair`.
#[derive(Args, Debug)]
pub(crate) struct LogDirectory {
    /// The data directory
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Print what was found or done as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The arguments of `sim`.
#[derive(Args, Debug)]
pub(crate) struct Sim {
    /// The seeds to run: A..B, without B, or one number
    #[arg(long, value_name = "A..B", default_value = "0..200")]
    pub(crate) seeds: String,
    /// Break a promise on purpose, for example no-sync or no-liveness; a wrong name lists all of them
    #[arg(long = "break", value_name = "PROMISE")]
    pub(crate) mutation: Option<String>,
    /// Print the outcome as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The arguments of `demo`.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// The port of the page; the gateway takes the next one [default: 8000]
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Clients that paint by themselves
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = painters)]
    pub(crate) painters: usize,
    /// Keep the gateway's log and the picture in this folder [default: steadfast-data/demo]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Nobody may kill the gateway from the page
    #[arg(long)]
    pub(crate) no_kill: bool,
}

/// Each painter has a row on the live page.
fn painters(text: &str) -> Result<usize, String> {
    const MAX: usize = 100;
    match text.parse() {
        Ok(count) if count <= MAX => Ok(count),
        Ok(_) | Err(_) => Err(format!("a number from 0 to {MAX}")),
    }
}

/// What the lab can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Lab {
    /// Carry a scenario out on real processes and judge it
    #[command(after_help = LAB_EXAMPLES)]
    Run(LabRun),
    /// Print what a scenario would do, and do nothing
    #[command(after_help = LAB_EXAMPLES)]
    Check(LabCheck),
    /// Become a program that dies with its parent; used by the lab itself
    #[command(hide = true)]
    Launch(Launch),
    /// Own clients of this library and do what standard input says; used by the lab itself
    #[command(hide = true)]
    Driver,
}

/// Which scenario, and with which values.
#[derive(Args, Debug)]
pub(crate) struct Chosen {
    /// The scenario
    pub(crate) file: PathBuf,
    /// Set a parameter of the scenario; may be given several times
    #[arg(long = "param", short, value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
    /// Take the values of this profile of the scenario; may be given several times
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Vec<String>,
    /// Draw the plan from this number [default: a new one each time]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

/// The arguments of `lab run`.
#[derive(Args, Debug)]
pub(crate) struct LabRun {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
    /// Keep the files of the run in here [default: steadfast-lab]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Start this program as the gateway [default: this one]
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) gateway: Option<PathBuf>,
    /// Where the drivers of client libraries of others are
    #[arg(long, value_name = "DIR", default_value = "tests/peers")]
    pub(crate) peers: PathBuf,
    /// Announce every fault and do none: shows that the verdict notices
    #[arg(long)]
    pub(crate) placebo: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The arguments of `lab check`.
#[derive(Args, Debug)]
pub(crate) struct LabCheck {
    #[command(flatten)]
    pub(crate) chosen: Chosen,
}

/// The arguments of `lab launch`.
#[derive(Args, Debug)]
pub(crate) struct Launch {
    /// Dies when this process does
    #[arg(long)]
    pub(crate) parent: u32,
    /// The program and its arguments
    #[arg(last = true)]
    pub(crate) command: Vec<OsString>,
}

/// Reads the command line.
///
/// # Errors
///
/// When it cannot be understood, or only asks for help: the text and the code to end with.
pub(crate) fn parse() -> Result<Arguments, Failure> {
    Arguments::try_parse().map_err(|error| {
        if error.use_stderr() {
            Failure::usage_styled(error.render())
        } else {
            Failure::told(error.render())
        }
    })
}
