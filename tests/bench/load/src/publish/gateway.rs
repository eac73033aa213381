//! The gateway: `publish` commands of the Centrifuge client protocol, each in a WebSocket message.

use anyhow::{Context, Result, bail};

use super::{Read, Wire};
use crate::attempt::Connection;
use crate::dialect::{Dialect, Inbound, Purpose};
use crate::frame;
use crate::join::{self, Target};

/// The channel of the publications; it has no subscribers.
const CHANNEL: &str = "durable";

/// The commands of a connected client.
pub(super) struct Commands;

/// Upgrades a connection and sends connect.
pub(super) fn connect(port: u16) -> Result<Connection> {
    let target = Target {
        port,
        dialect: Dialect::Gateway,
    };
    join::open_all(target, 1, 1, |_| Purpose::Publish)?
        .pop()
        .context("one publisher was connected")
}

impl Wire for Commands {
    fn publish(&mut self, sequence: u64, out: &mut Vec<u8>) {
        Dialect::Gateway.publish(CHANNEL, sequence, out);
    }

    fn read(&mut self, inbox: &[u8], out: &mut Vec<u8>) -> Result<Read> {
        let mut read = Read::default();
        while let Some(frame) = frame::read(inbox.get(read.used..).unwrap_or_default())? {
            read.used += frame.wire_len;
            match frame.opcode {
                frame::TEXT => {}
                frame::PING => {
                    frame::write(out, frame::PONG, frame.payload);
                    continue;
                }
                other => bail!("unexpected frame with opcode {other}"),
            }
            let lines = frame.payload.split(|byte| *byte == b'\n');
            for line in lines.filter(|line| !line.is_empty()) {
                match Dialect::Gateway.inspect(line, CHANNEL)? {
                    Inbound::Published => read.acknowledged += 1,
                    Inbound::Ping => Dialect::Gateway.pong(out),
                    other => bail!("unexpected {other:?} at the publisher"),
                }
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_counted_and_errors_end_the_run() {
        let frame = |text: &str| {
            let len = u8::try_from(text.len()).unwrap();
            [&[0x81, len], text.as_bytes()].concat()
        };
        let mut inbox = frame("{\"id\":2,\"publish\":{}}\n{\"id\":3,\"publish\":{}}");
        let complete = inbox.len();
        inbox.extend_from_slice(&frame("{}")[..1]);
        let mut out = Vec::new();

        let read = Commands.read(&inbox, &mut out).unwrap();
        let error = frame(r#"{"id":4,"error":{"code":100,"message":"internal"}}"#);

        assert_eq!((read.used, read.acknowledged), (complete, 2));
        assert!(Commands.read(&error, &mut out).is_err());
    }
}
