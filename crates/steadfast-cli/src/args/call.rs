//! The arguments of `call`, and its help.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::values;

pub(super) const EXAMPLES: &str = "\
Examples:
  steadfast call ws://127.0.0.1:9000 add '[1, 2]'
  steadfast call ws://127.0.0.1:9000 status --class read --raw
  echo '{\"name\": \"a\"}' | steadfast call ws://127.0.0.1:9000 create - --json
  STEADFAST_KEY=secret steadfast call ws://127.0.0.1:9000 status --login login

unix:PATH calls over the socket of `steadfast bridge`, which reconnects, logs in and decides what is
repeated: without --login, --ca, --class and --verbose. The time limit is at most that of the bridge.

PARAMS is a JSON array or object; without it none are sent. - reads it from standard input, and
@FILE from a file. One value that is neither goes into an array: '[5]'

The result is printed on standard output: indented on a terminal, otherwise on one line.
Messages are printed on standard error. While there is no connection, the command tries again
until the time limit. An invalid certificate, a refused login, or a server that has no WebSocket
at this URL ends it at once.

Key:
  --login sends the key as the only param of a login method, before the call. The key is read
  from --key-file, --key-fd or STEADFAST_KEY, without the line break at its end. There is no
  option --key: all users of a machine can read the arguments of a command.

With --json, one line has \"outcome\", and what belongs to it:
  result          result
  error           error: code, message, and data if the server sends any
  not-sent        reason, safe_to_repeat (true)
  maybe-executed  reason, safe_to_repeat (true if --class says so)
  invalid         reason

Environment:
  STEADFAST_KEY   the key of --login, unless --key-file or --key-fd is used

Exit codes:
  0  the server has returned a result
  1  the server has returned an error
  2  invalid arguments
  8  not executed: the call was not sent. It can be repeated.
  9  maybe executed: the call was sent, and has no reply. Check before you repeat a write.
Ctrl-C ends the command with 8 or 9.";

/// The arguments of `call`.
#[derive(Args, Debug)]
pub(crate) struct Call {
    /// URL of the server, with the scheme ws, wss, http or https; or unix: and the path of a bridge's socket
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// Name of the method
    #[arg(value_name = "METHOD", value_parser = values::method)]
    pub(crate) method: String,
    /// Params as JSON, - for standard input, or @FILE
    #[arg(value_name = "PARAMS", allow_negative_numbers = true)]
    pub(crate) params: Option<String>,
    /// Time limit for connecting, waiting and the reply
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = values::seconds)]
    pub(crate) timeout: Duration,
    /// What calling it twice does, which decides whether it may be sent again
    #[arg(long, value_enum, default_value_t = CallClass::Write)]
    pub(crate) class: CallClass,
    /// Trust the certificates in this file too (PEM): of an authority, or of the server itself
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Call this method with the key first
    #[arg(long, value_name = "METHOD", value_parser = values::method)]
    pub(crate) login: Option<String>,
    /// Read the key from a file
    #[arg(
        long,
        value_name = "FILE",
        requires = "login",
        conflicts_with = "key_fd"
    )]
    pub(crate) key_file: Option<PathBuf>,
    /// Read the key from an open file descriptor, for example of a pipe
    #[arg(long, value_name = "NUMBER", requires = "login")]
    pub(crate) key_fd: Option<u32>,
    /// Print a result that is a string without quotes
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
    /// Print the outcome as a JSON object on one line
    #[arg(long)]
    pub(crate) json: bool,
    /// Print each attempt to connect
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

/// What calling a method twice does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CallClass {
    /// It changes nothing: it is sent again after a lost connection
    Read,
    /// It has the same effect as once: it is sent again after a lost connection
    Idempotent,
    /// It may do harm: it is sent at most once
    Write,
}
