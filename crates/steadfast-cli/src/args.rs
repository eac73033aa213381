//! What was typed. What it means is decided by the commands.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::exit::Failure;

const EXAMPLES: &str = "\
Examples:
  steadfast serve                        serve on http://127.0.0.1:8000, store in ./steadfast-data
  PORT=8001 steadfast serve              the same on another port
  steadfast serve --memory               store nothing on disk
  steadfast serve --config FILE          settings from a file
  steadfast serve --print-config         all settings in force

Exit codes:
  0 done   1 failed   2 wrong arguments or configuration   3 port in use   4 data directory not usable";

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
}

/// The arguments of `serve`. Each stands above the environment, which stands above the file.
#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// Settings from this TOML file [environment: STEADFAST_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Where to listen [default: 127.0.0.1; environment: STEADFAST_ADDRESS]
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<IpAddr>,
    /// The port; 0 takes any free one [default: 8000; environment: PORT]
    #[arg(long)]
    pub(crate) port: Option<u16>,
    /// Event loops; 0 takes one for each processor [default: 0]
    #[arg(long, value_name = "COUNT")]
    pub(crate) cores: Option<u16>,
    /// Store in this directory [default: steadfast-data; environment: STEADFAST_DATA]
    #[arg(long, value_name = "DIR", conflicts_with = "memory")]
    pub(crate) data: Option<PathBuf>,
    /// Store in memory: everything is gone when the process ends
    #[arg(long)]
    pub(crate) memory: bool,
    /// Print all settings in force as a configuration file, and end
    #[arg(long)]
    pub(crate) print_config: bool,
}

/// Reads the command line.
///
/// # Errors
///
/// When it cannot be understood, or only asks for help: the text and the code to end with.
pub(crate) fn parse() -> Result<Arguments, Failure> {
    Arguments::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Failure::told(error.render()),
        _ => Failure::usage_styled(error.render()),
    })
}
