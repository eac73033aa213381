//! The arguments of `bridge`, and its help.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use super::values;

pub(super) const EXAMPLES: &str = "\
Examples:
  steadfast bridge wss://nas.example/api/current --user admin --key-file FILE
        serve programs of this user on $XDG_RUNTIME_DIR/steadfast/bridge.sock
  steadfast bridge ws://127.0.0.1:6000/api/current --user admin --key-file FILE --socket nas.sock
        serve programs on another socket, here of the emulator: steadfast lab emulate truenas
  steadfast bridge URL --user admin --key-file FILE --listen 127.0.0.1:7000 --token-file TOKEN
        serve programs on a port of this machine too

Programs send one JSON object per line, or open a WebSocket over the socket, and need no login.
From a shell: steadfast call unix:$XDG_RUNTIME_DIR/steadfast/bridge.sock pool.query

Key:
  The API key is read from --key-file, --key-fd or STEADFAST_KEY, without the line break at its end.
  A key file is read again when the server has rejected the key. There is no option --key: all
  users of a machine can read the arguments of a command.

Errors of the bridge have a code, and in `data` the outcome and whether it may have been executed:
  -32000  too many calls of this program wait: not executed
  -32050  not sent: not executed
  -32051  the connection was lost after the call was sent: a write may have been executed
  -32052  there was no reply in time: a write may have been executed

Environment:
  STEADFAST_KEY     the API key, unless --key-file or --key-fd is used
  STEADFAST_LOG     log filter, for example debug or steadfast_bridge=debug [default: info]
  XDG_RUNTIME_DIR   has the folder of the socket, unless --socket is used
  NOTIFY_SOCKET     where systemd is notified that programs can connect

Signals:
  SIGTERM or SIGINT (Ctrl-C) ends the bridge: calls that were not sent are rejected, those in
  flight may take 5 s. A second signal terminates the process immediately.

Exit codes:
  0  ended by a signal
  1  failure, for example the server has rejected the key
  2  invalid arguments
  3  another bridge or program uses the socket, or the port is in use";

/// The arguments of `bridge`.
#[derive(Args, Debug)]
#[expect(clippy::doc_markdown, reason = "help texts are no Markdown")]
pub(crate) struct Bridge {
    /// URL of the server's API, for example wss://nas.example/api/current
    #[arg(value_name = "URL")]
    pub(crate) url: String,
    /// User that the API key belongs to
    #[arg(long, value_name = "NAME")]
    pub(crate) user: String,
    /// Read the API key from a file
    #[arg(long, value_name = "FILE", conflicts_with = "key_fd")]
    pub(crate) key_file: Option<PathBuf>,
    /// Read the API key from an open file descriptor, for example of a pipe
    #[arg(long, value_name = "NUMBER")]
    pub(crate) key_fd: Option<u32>,
    /// Unix socket for programs [default: $XDG_RUNTIME_DIR/steadfast/bridge.sock]
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Listen for WebSockets on a loopback address too; port 0 selects a free port
    #[arg(long, value_name = "IP:PORT", requires = "token_file")]
    pub(crate) listen: Option<SocketAddr>,
    /// File with the token that programs send to this address
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub(crate) token_file: Option<PathBuf>,
    /// Trust the certificates in this file too (PEM): of an authority, or of the server itself
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Time limit of each call, from its receipt to its reply
    #[arg(long, value_name = "SECONDS", default_value = "60", value_parser = values::seconds)]
    pub(crate) call_timeout: Duration,
    /// Most calls that are in flight at the server, of all programs
    #[arg(long, value_name = "COUNT", default_value = "10", value_parser = values::in_flight)]
    pub(crate) in_flight: usize,
    /// Most logins in a minute; the server permits 10 for an address, of all its programs
    #[arg(long, value_name = "COUNT", default_value = "9", value_parser = values::logins)]
    pub(crate) logins_per_minute: u32,
    /// Print the socket and the address as a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
