//! The command line: commands, options and help texts. The commands interpret the values.

pub(crate) mod bridge;
pub(crate) mod call;
pub(crate) mod emulate;
pub(crate) mod proxy;
mod report_file;
mod tips;
mod values;

use std::ffi::OsString;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use self::proxy::Program;
pub(crate) use report_file::{ReportFile, ReportFormat};

use crate::exit::Failure;

const EXAMPLES: &str = "\
Examples:
  steadfast serve                         run the gateway on http://127.0.0.1:8000
  steadfast connect ws://127.0.0.1:8000   subscribe and publish from the terminal
  steadfast log verify DIR                check the log in a data directory
  steadfast sim                           simulate 200 runs with network and disk faults
  steadfast lab run scenarios/gateway-kill.toml
                                          kill real gateways under load and verify the guarantees
  steadfast proxy serve                   inject faults into the connections of any program
  steadfast call ws://127.0.0.1:9000 add '[1, 2]'
                                          call a method of a JSON-RPC server
  steadfast bridge wss://nas.example/api/current --user admin --key-file FILE
                                          share a session to a TrueNAS server between programs

Use `steadfast COMMAND --help` for the options and examples of a command.

Environment:
  STEADFAST_LOG   log filter, for example debug or steadfast_gateway=debug [default: info]
  NO_COLOR        disable colours

Exit codes:
  0  success
  1  failure
  2  invalid arguments or configuration
  3  port in use, or the socket (bridge)
  4  data directory cannot be used: locked, full, read-only, corrupt or missing
  5  the scenario or the stored run is invalid, or the scenario cannot run here (lab)
  6  a write or sync of the log failed (serve): start it again
  7  the lab itself failed: there is no verdict (lab)
  8  the call was not sent, and so not executed (call)
  9  the call was sent and has no reply: it may have been executed (call)
`lab run` also exits with 2 if its verdict is INCONCLUSIVE.";

const SERVE_EXAMPLES: &str = "\
Examples:
  steadfast serve                        listen on http://127.0.0.1:8000
  PORT=8001 steadfast serve              listen on another port
  steadfast serve --memory               keep all data in memory
  steadfast serve --config FILE          read the configuration from a file
  steadfast serve --print-config         print the effective configuration

Command-line arguments override environment variables, which override the configuration file.

Environment:
  PORT                same as --port
  STEADFAST_ADDRESS   same as --address
  STEADFAST_DATA      same as --data
  STEADFAST_CONFIG    same as --config
  STEADFAST_LOG       log filter, for example debug or steadfast_gateway=debug [default: info]
  NO_COLOR            disable colours

Signals:
  SIGTERM or SIGINT (Ctrl-C) shuts down gracefully: every connection is closed with a code
  that means reconnect. A second signal terminates the process immediately.

Exit codes:
  0  clean shutdown
  1  failure
  2  invalid arguments or configuration
  3  port in use
  4  data directory cannot be used: locked, full, read-only, corrupt or missing
  6  a write or sync of the log failed: start it again, which checks the log";

macro_rules! connect_input {
    () => {
        "  TEXT or JSON            publish it to the channel that was subscribed to last
  /subscribe CHANNEL      subscribe to a channel
  /unsubscribe CHANNEL    unsubscribe from a channel
  /publish CHANNEL TEXT   publish TEXT or JSON to a channel
  /history CHANNEL        print the last publications of a channel
  /presence CHANNEL       print the clients that are subscribed to a channel
  /help                   print these commands
  /quit                   wait for acknowledgements, disconnect and exit"
    };
}

/// The commands of `connect`, for `/help`.
pub(crate) const CONNECT_INPUT_HELP: &str = connect_input!();

const CONNECT_EXAMPLES: &str = concat!(
    "\
Examples:
  steadfast connect ws://127.0.0.1:8000 --subscribe lobby
  steadfast connect http://127.0.0.1:8000 --publish lobby '{\"text\": \"hello\"}'
  echo '{\"text\": \"hello\"}' | steadfast connect ws://127.0.0.1:8000 --subscribe lobby
  steadfast connect ws://127.0.0.1:8000 --subscribe lobby --json --wait 10 < /dev/null

Input:
",
    connect_input!(),
    "

JSON is published as it is. Text is published as a JSON string, unless it begins with {, [ or \":
then it is rejected as invalid JSON. To publish such text, quote it: '\"hello\"'
The end of the input (Ctrl-D, the end of a pipe) is the same as /quit: the command waits up to 10 s
for acknowledgements. Input from /dev/null does not end it: it prints events until a signal.

If the first connection fails, the command fails after one attempt. With --wait it retries for some
seconds, and on a terminal, without --publish, until it is interrupted. Later it always reconnects.

Results are printed on standard output, and the state of the connection on standard error.
Each publication has one line: \"acknowledged at offset 4 of lobby\", or with --json an object with
channel, offset, epoch and duplicate. With --json a failure is an object too: {\"event\":\"failed\",...}

Exit codes:
  0  every publication was acknowledged, also when Ctrl-C ended the command
  1  no connection, or a publication was not acknowledged or a line of a pipe was rejected
  2  invalid arguments"
);

const LOG_EXAMPLES: &str = "\
Examples:
  steadfast log verify steadfast-data            read all segments; changes nothing
  steadfast log verify steadfast-data --json     print the result as JSON
  steadfast log backup steadfast-data copy       copy the log and verify the copy
  steadfast log restore copy new-data            copy a backup to a new data directory
  steadfast log repair steadfast-data            copy all valid records to new segments
  steadfast log forget steadfast-data news chat  remove the channels `news` and `chat`

`verify` and `backup` work while a gateway uses the directory. Stop the gateway before `repair`
and `forget`, and before you start another one in a restored directory.

Exit codes:
  0  the log is intact, or the command has succeeded
  2  invalid arguments
  4  the log is corrupt or missing, a copy is incomplete, or a directory cannot be used";

const SIM_EXAMPLES: &str = "\
Examples:
  steadfast sim                          200 runs, each with network faults and power failures
  steadfast sim --seeds 17 --verbose     run one seed again, and print all counts
  steadfast sim --seeds 0..100 --engine memory
                                         gateways that keep all data in memory
  steadfast sim --seeds 0..20 --plant no-sync
                                         plant a bug that skips every sync: the verdict is FAIL
  steadfast sim --world calls            200 runs of TrueNAS clients and a server that fails

Exit codes:
  0  PASS: all invariants hold
  1  FAIL: an invariant is violated, or INCONCLUSIVE: of several seeds, too few had each kind of fault
  2  invalid arguments";

const LAB_EXAMPLES: &str = "\
Examples:
  steadfast lab run scenarios/gateway-kill.toml
                                    run the scenario and print the verdict
  steadfast lab run scenarios/gateway-kill.toml --profile extended
                                    use more clients and a longer run
  steadfast lab run scenarios/gateway-kill.toml -p clients=8 --seed 7
                                    set a parameter and the seed
  steadfast lab run scenarios/gateway-kill.toml -p kinds=steadfast,centrifuge
                                    select the client libraries
  steadfast lab run scenarios/gateway-kill.toml --placebo
                                    inject no fault; the verdict must be INCONCLUSIVE
  steadfast lab run scenarios/gateway-kill.toml --report lab.xml --report lab.html
                                    write the report as JUnit and as a page too
  steadfast lab check scenarios/gateway-kill.toml
                                    print the fault plan, the parameters and what it needs
  steadfast lab heal                undo what a crashed run left, which the next run does too
  steadfast lab report steadfast-lab/gateway-kill-7-1
                                    evaluate and render a stored run again
  steadfast lab emulate truenas     serve an emulated TrueNAS, for tests of its clients

Exit codes:
  0  PASS, or the plan was printed
  1  FAIL
  2  INCONCLUSIVE, or invalid arguments
  5  the scenario or the stored run is invalid, or the scenario cannot run here
  7  the lab itself failed: there is no verdict, its report could not be written, or
     not everything could be undone
  130  a signal ended the run early; its faults are undone and its processes have ended";

const DEMO_EXAMPLES: &str = "\
Examples:
  steadfast demo                page on http://127.0.0.1:8000
  steadfast demo --port 9000    page on another port, as with PORT=9000
  steadfast demo --painters 20  start 20 painting clients

Open the page, draw, and press \"Kill the gateway\".
The page shows how long each client was disconnected.
Other clients connect to the same port, for example: steadfast connect ws://127.0.0.1:8000

Exit codes:
  0  clean shutdown
  1  failure, for example of the gateway to start, or a second signal
  2  invalid arguments
  3  port in use
  4  another demo uses the directory";

/// Durable WebSocket pub/sub gateway, with tools to operate and test it
#[derive(Debug, Parser)]
#[command(name = "steadfast", version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the gateway
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Serve),
    /// Subscribe and publish from the terminal
    #[command(after_help = CONNECT_EXAMPLES)]
    Connect(Connect),
    /// Call a method of a server that speaks JSON-RPC 2.0 over WebSocket
    #[command(after_help = call::EXAMPLES)]
    Call(call::Call),
    /// Share one resilient session to a TrueNAS server between programs of this machine
    #[command(after_help = bridge::EXAMPLES)]
    Bridge(bridge::Bridge),
    /// Check, back up, restore or repair the log in a data directory, or remove channels from it
    #[command(subcommand, after_help = LOG_EXAMPLES)]
    Log(Log),
    /// Test gateway and clients in a deterministic simulation with network and disk faults
    #[command(after_help = SIM_EXAMPLES)]
    Sim(Sim),
    /// Run a shared drawing canvas whose gateway you can kill
    #[command(after_help = DEMO_EXAMPLES)]
    Demo(Demo),
    /// Inject faults into real gateways, or into services of your own, and verify the guarantees
    #[command(subcommand, after_help = LAB_EXAMPLES)]
    Lab(Lab),
    /// Inject faults into the connections of any program, as Toxiproxy does
    Proxy(proxy::Proxy),
}

/// The arguments of `serve`. They override the environment, which overrides the configuration file.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// IP address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "IP", value_parser = values::address)]
    pub(crate) address: Option<IpAddr>,
    /// Port to listen on; 0 selects a free port [default: 8000]
    #[arg(long, value_parser = values::port)]
    pub(crate) port: Option<u16>,
    /// Number of shards (event loops); 0 starts one per processor [default: 0]
    #[arg(long, value_name = "COUNT")]
    pub(crate) shards: Option<u16>,
    /// Data directory [default: steadfast-data]
    #[arg(long, value_name = "DIR", conflicts_with = "memory")]
    pub(crate) data: Option<PathBuf>,
    /// Keep all data in memory; it is lost when the process exits
    #[arg(long)]
    pub(crate) memory: bool,
    /// Print the effective configuration as TOML and exit
    #[arg(long)]
    pub(crate) print_config: bool,
    /// Print the address, the WebSocket URL and the data directory as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The arguments of `connect`.
#[derive(Args, Debug)]
pub(crate) struct Connect {
    /// URL of the gateway, with the scheme ws, wss, http or https; the path defaults to
    /// /connection/websocket
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Subscribe to a channel; can be repeated
    #[arg(long, short, value_name = "CHANNEL", value_parser = values::channel)]
    pub(crate) subscribe: Vec<String>,
    /// Publish one message with a generated idempotency key, wait for the acknowledgement, and exit
    #[arg(long, short, num_args = 2, value_names = ["CHANNEL", "JSON"], allow_negative_numbers = true)]
    pub(crate) publish: Option<Vec<String>>,
    /// Retry the first connection for so long [default: one attempt; on a terminal, no limit]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) wait: Option<u64>,
    /// Print events and results as JSON, one object per line
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Log {
    /// Check all segments for corruption; changes nothing, also while a gateway runs
    #[command(after_help = LOG_EXAMPLES)]
    Verify(LogDirectory),
    /// Copy the log to a new directory and verify the copy, also while a gateway runs
    #[command(after_help = LOG_EXAMPLES)]
    Backup(LogBackup),
    /// Copy a backup to a new data directory, whose channel epochs change at the first start
    #[command(after_help = LOG_EXAMPLES)]
    Restore(LogRestore),
    /// Copy all valid records to new segments, keep the damaged files, change all channel epochs
    #[command(after_help = LOG_EXAMPLES)]
    Repair(LogDirectory),
    /// Remove channels with their messages and idempotency keys
    #[command(after_help = LOG_EXAMPLES)]
    Forget(LogForget),
}

/// The arguments of `log verify` and `log repair`.
#[derive(Args, Debug)]
pub(crate) struct LogDirectory {
    /// Data directory of the log
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Print the result as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The arguments of `log backup`.
#[derive(Args, Debug)]
pub(crate) struct LogBackup {
    /// Data directory of the log
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Directory of the backup; must not exist, or be empty
    #[arg(value_name = "TARGET")]
    pub(crate) target: PathBuf,
    /// Print the result as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The arguments of `log restore`.
#[derive(Args, Debug)]
pub(crate) struct LogRestore {
    /// Directory of the backup
    #[arg(value_name = "BACKUP")]
    pub(crate) backup: PathBuf,
    /// New data directory; must not exist, or be empty
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Print the result as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The arguments of `log forget`.
#[derive(Args, Debug)]
pub(crate) struct LogForget {
    /// Data directory of a stopped gateway
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Channels to remove
    #[arg(value_name = "CHANNEL", required = true)]
    pub(crate) channels: Vec<String>,
    /// Print the result as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The arguments of `sim`.
#[derive(Args, Debug)]
pub(crate) struct Sim {
    /// Seeds to run: a range that excludes B, or one number
    #[arg(long, value_name = "A..B", default_value = "0..200")]
    pub(crate) seeds: String,
    /// Plant a bug, for example no-sync or no-liveness; an unknown name lists all of them
    #[arg(long, value_name = "NAME")]
    pub(crate) plant: Option<String>,
    /// What is simulated: gateway, with its clients; or calls, of TrueNAS clients to a server that fails
    #[arg(long, value_name = "NAME", default_value = "gateway")]
    pub(crate) world: String,
    /// The engine of the gateways: log, on a disk that fails, or memory, which a restart empties
    #[arg(long, value_name = "NAME", default_value = "log")]
    pub(crate) engine: String,
    /// Print all counts instead of a summary
    #[arg(long, short)]
    pub(crate) verbose: bool,
    /// Print the result as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The arguments of `demo`.
#[derive(Args, Debug)]
pub(crate) struct Demo {
    /// Port for the page and for clients of the gateway; 0 selects a free port [default: 8000]
    #[arg(long, value_parser = values::port)]
    pub(crate) port: Option<u16>,
    /// Number of clients that paint automatically, 0 to 100
    #[arg(long, value_name = "COUNT", default_value_t = 5, value_parser = painters)]
    pub(crate) painters: usize,
    /// Directory for the gateway's log and the picture, for one demo at a time [default: steadfast-data/demo]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Disable the button that kills the gateway
    #[arg(long)]
    pub(crate) no_kill: bool,
}

/// Parses the number of painters; it is limited because each painter has a row on the page.
fn painters(text: &str) -> Result<usize, String> {
    const MAX: usize = 100;
    match text.parse() {
        Ok(count) if count <= MAX => Ok(count),
        Ok(_) | Err(_) => Err(format!("must be between 0 and {MAX}")),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Lab {
    /// Inject faults into real gateways, or into services of your own, and verify the guarantees
    #[command(after_help = LAB_EXAMPLES)]
    Run(LabRun),
    /// Print the fault plan of a scenario without running it
    #[command(after_help = LAB_EXAMPLES)]
    Check(LabCheck),
    /// Undo what runs left that ended early: suspended processes, network namespaces and rules
    #[command(after_help = LAB_EXAMPLES)]
    Heal(LabHeal),
    /// Evaluate a stored run with the checks of this version, and render it again
    #[command(after_help = LAB_EXAMPLES)]
    Report(LabReport),
    /// Run a server that behaves as another product does, for the tests of its clients
    #[command(subcommand)]
    Emulate(emulate::Emulate),
    /// Execute a program that is killed when its parent process terminates; used by the lab itself
    #[command(hide = true)]
    Launch(Launch),
    /// Run clients by commands on stdin, as the lab does; docs/reference/driver-protocol.md describes the lines
    #[command(hide = true)]
    Driver {
        /// What the clients speak
        #[arg(value_enum, default_value_t = LabDriver::Steadfast)]
        name: LabDriver,
    },
}

/// What the clients of `lab driver` speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LabDriver {
    /// The Centrifuge client protocol, with the library of this project
    Steadfast,
    /// Messages that a WebSocket server returns
    WebsocketEcho,
    /// Numbered messages of a WebSocket server
    WebsocketSubscribe,
    /// HTTP requests over a connection that stays open
    HttpPoll,
    /// JSON-RPC 2.0 calls over a WebSocket
    Jsonrpc,
    /// Calls of methods of the TrueNAS emulator
    Truenas,
}

impl LabDriver {
    /// The name on the command line, which is also that of the client kind.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Steadfast => "steadfast",
            Self::WebsocketEcho => "websocket-echo",
            Self::WebsocketSubscribe => "websocket-subscribe",
            Self::HttpPoll => "http-poll",
            Self::Jsonrpc => "jsonrpc",
            Self::Truenas => "truenas",
        }
    }
}

/// A scenario and the values of its parameters.
#[derive(Args, Debug)]
pub(crate) struct ScenarioArgs {
    /// Scenario file (TOML)
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Set a parameter of the scenario; can be repeated
    #[arg(long = "param", short, value_name = "NAME=VALUE")]
    pub(crate) params: Vec<String>,
    /// Apply a profile of the scenario; can be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Vec<String>,
    /// Seed of the fault plan [default: that of the scenario, otherwise random]
    #[arg(long)]
    pub(crate) seed: Option<u64>,
}

/// The drivers of third-party clients in a clone of the project.
pub(crate) const DRIVERS_DEFAULT: &str = "tests/third-party";

/// The arguments of `lab run`.
#[derive(Args, Debug)]
pub(crate) struct LabRun {
    #[command(flatten)]
    pub(crate) scenario: ScenarioArgs,
    /// Parent of the run's directory [default: steadfast-lab]
    #[arg(long, value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// Gateway program to test [default: this program]
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) gateway: Option<PathBuf>,
    /// Directory with the drivers of third-party clients
    #[arg(long, value_name = "DIR", default_value = DRIVERS_DEFAULT)]
    pub(crate) drivers: PathBuf,
    /// Report all faults without injecting them; the verdict must be INCONCLUSIVE
    #[arg(long)]
    pub(crate) placebo: bool,
    /// Run in the namespaces of this process and in this directory; used by the lab itself
    #[arg(long, value_name = "DIR", hide = true)]
    pub(crate) isolated: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: ReportArgs,
}

/// Where the report of a run goes.
#[derive(Args, Debug)]
pub(crate) struct ReportArgs {
    /// Write the report to this file too: .html, .xml (JUnit), .json or .txt; can be repeated
    #[arg(long, value_name = "FILE", value_parser = report_file::report_file)]
    pub(crate) report: Vec<ReportFile>,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// The arguments of `lab heal`.
#[derive(Args, Debug)]
pub(crate) struct LabHeal {
    /// Directory of a run, or the parent of several [default: steadfast-lab]
    #[arg(value_name = "DIR")]
    pub(crate) folder: Option<PathBuf>,
}

/// The arguments of `lab report`.
#[derive(Args, Debug)]
pub(crate) struct LabReport {
    /// Directory of a run, which `lab run` prints
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) output: ReportArgs,
}

/// The arguments of `lab check`.
#[derive(Args, Debug)]
pub(crate) struct LabCheck {
    #[command(flatten)]
    pub(crate) scenario: ScenarioArgs,
}

/// The arguments of `lab launch`.
#[derive(Args, Debug)]
pub(crate) struct Launch {
    /// Id of the process whose termination kills the program
    #[arg(long)]
    pub(crate) parent: u32,
    /// Program to execute, with its arguments
    #[arg(last = true)]
    pub(crate) command: Vec<OsString>,
}

/// Reads the command line.
///
/// # Errors
///
/// When the command line is invalid, or requests help or the version: the text and the exit code.
pub(crate) fn parse(program: Program, words: Vec<OsString>) -> Result<Arguments, Failure> {
    if let Some(version) = program.version(&words) {
        return Err(Failure::help(version.into()));
    }
    Arguments::try_parse_from(program.translate(words)).map_err(|error| {
        if error.use_stderr() {
            Failure::usage_styled(tips::add(error).render())
        } else {
            Failure::help(error.render())
        }
    })
}
