//! Probes: whether an instance is ready, and whether it leads. Each attempt has a time limit.

mod exec;
mod http;
mod socket;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use steadfast_clock::Clock;
use steadfast_faults::scenario::model::{Probe as Model, ProbeKind};
use steadfast_faults::topology::InstanceId;

pub(super) use self::socket::Socket;
use super::grpc;
use super::output::Output;
use super::places::Places;
use crate::error::LabError;

/// The most bytes of a response that are read.
const RESPONSE_MAX: usize = 1 << 20;
/// In the system's text of an error: no process listens at the address.
const REFUSED: &str = "refused";

/// A probe of an instance, with the values of all placeholders.
#[derive(Clone, Debug)]
pub(crate) struct Probe {
    kind: Kind,
    /// The time between the end of one attempt and the next.
    pub(super) every: Duration,
    timeout: Duration,
}

#[derive(Clone, Debug)]
enum Kind {
    Http {
        address: SocketAddr,
        path: String,
        body: Option<String>,
    },
    Tcp {
        address: SocketAddr,
        exchange: Option<(String, String)>,
    },
    Grpc {
        address: SocketAddr,
        service: String,
    },
    Log(String),
    Exec(Vec<String>),
}

/// Why an attempt did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unsuccessful {
    /// The instance replied, and the reply is not the expected one.
    Negative(String),
    /// There was no reply in time.
    Silent(String),
}

impl Unsuccessful {
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Negative(reason) | Self::Silent(reason) => reason,
        }
    }
}

impl Probe {
    pub(super) fn new(model: &Model, id: InstanceId, places: &Places) -> Result<Self, LabError> {
        let text = |template| places.text(id, template);
        let address = |port: &str| places.socket_address(id, port);
        let kind = match &model.kind {
            ProbeKind::Http { port, path, body } => Kind::Http {
                address: address(port),
                path: text(path)?,
                body: body.as_ref().map(text).transpose()?,
            },
            ProbeKind::Tcp { port, exchange } => Kind::Tcp {
                address: address(port),
                exchange: match exchange {
                    Some(it) => Some((text(&it.send)?, text(&it.expect)?)),
                    None => None,
                },
            },
            ProbeKind::Grpc { port, service } => Kind::Grpc {
                address: address(port),
                service: service.clone(),
            },
            ProbeKind::Log { text: line } => Kind::Log(text(line)?),
            ProbeKind::Exec { command } => Kind::Exec(places.texts(id, command)?),
        };
        Ok(Self {
            kind,
            every: model.every,
            timeout: model.timeout,
        })
    }

    /// The text that a line of the output must contain, if that is what is asked.
    pub(super) fn awaited(&self) -> Option<&str> {
        match &self.kind {
            Kind::Log(text) => Some(text),
            Kind::Http { .. } | Kind::Tcp { .. } | Kind::Grpc { .. } | Kind::Exec(_) => None,
        }
    }

    /// What to do about the reason of an attempt that failed, if it is one that a service in a network of its own causes by
    /// listening on loopback; otherwise empty.
    pub(super) fn hint(&self, reason: &str) -> &'static str {
        let address = match &self.kind {
            Kind::Http { address, .. } | Kind::Tcp { address, .. } | Kind::Grpc { address, .. } => {
                Some(address)
            }
            Kind::Log(_) | Kind::Exec(_) => None,
        };
        if address.is_some_and(|it| !it.ip().is_loopback()) && reason.contains(REFUSED) {
            " (in a network of its own, it must listen on ${self.listen})"
        } else {
            ""
        }
    }

    /// Makes one attempt, within the time limit.
    pub(super) fn attempt(&self, clock: Clock, output: &Output) -> Result<(), Unsuccessful> {
        let connect = |address| Socket::connect(address, clock, self.timeout);
        match &self.kind {
            Kind::Http {
                address,
                path,
                body,
            } => http::get(connect(*address)?, *address, path, body.as_deref()),
            Kind::Tcp { address, exchange } => {
                let socket = connect(*address)?;
                match exchange {
                    None => Ok(()),
                    Some((send, expect)) => exchange_texts(socket, send, expect),
                }
            }
            Kind::Grpc { address, service } => {
                grpc::check(connect(*address)?, &address.to_string(), service)
            }
            Kind::Log(_) if output.is_seen() => Ok(()),
            Kind::Log(_) => Err(Unsuccessful::Silent("no line contains it".to_owned())),
            Kind::Exec(command) => exec::run(command, clock, self.timeout),
        }
    }
}

/// Sends a text, and reads until the reply contains the other.
fn exchange_texts(mut socket: Socket, send: &str, expect: &str) -> Result<(), Unsuccessful> {
    socket.write(send.as_bytes())?;
    let mut received = Vec::new();
    loop {
        if contains(&received, expect.as_bytes()) {
            return Ok(());
        }
        let missing = |received: &[u8], why: &str| {
            let reply = String::from_utf8_lossy(received)
                .trim()
                .chars()
                .take(80)
                .collect::<String>();
            if received.is_empty() {
                Unsuccessful::Silent(why.to_owned())
            } else {
                Unsuccessful::Negative(format!("the reply does not contain it: {reply}"))
            }
        };
        match socket.read(&mut received, RESPONSE_MAX) {
            Ok(0) => return Err(missing(&received, "closed without a reply")),
            Ok(_) => {}
            Err(error) => return Err(missing(&received, error.reason())),
        }
    }
}

/// Whether bytes contain others.
fn contains(bytes: &[u8], expected: &[u8]) -> bool {
    expected.is_empty() || bytes.windows(expected.len()).any(|it| it == expected)
}

impl fmt::Display for Probe {
    /// Writes what is asked, for example `GET http://127.0.0.1:20000/readyz`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Http {
                address,
                path,
                body: None,
            } => write!(f, "GET http://{address}{path}"),
            Kind::Http {
                address,
                path,
                body: Some(body),
            } => write!(
                f,
                "GET http://{address}{path} with {:?} in its body",
                body.trim()
            ),
            Kind::Tcp {
                address,
                exchange: None,
            } => write!(f, "connect to {address}"),
            Kind::Tcp {
                address,
                exchange: Some((send, expect)),
            } => write!(
                f,
                "{:?} in the reply of {address} to {:?}",
                expect,
                send.trim()
            ),
            Kind::Grpc { address, service } => {
                write!(f, "grpc.health.v1.Health/Check of {service:?} at {address}")
            }
            Kind::Log(text) => write!(f, "a line with {text:?}"),
            Kind::Exec(command) => write!(f, "run {}", command.join(" ")),
        }
    }
}
