//! What a server speaks above WebSocket: the Centrifuge stream protocol of the gateway, or plain text of a bare server.
//!
//! Builds what clients send and reads what servers answer, in full; `ledger` compares later copies byte for byte.

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::frame;

/// The length of a publication's data at the gateway, as raw JSON with its quotes.
pub const DATA_BYTES: usize = 128;

/// How many digits a sequence number has at the start of each message.
const SEQUENCE_DIGITS: usize = 20;

/// What follows the number, up to the length that was asked for.
const FILLER: u8 = b'x';

/// What a server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The Centrifuge stream protocol in JSON.
    Gateway,
    /// Every message of a publisher goes to all subscribers as it is; `bytes` is the payload's length.
    Plain {
        /// The length of each message's payload.
        bytes: usize,
    },
}

/// What a connection is opened for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To publish; no subscription.
    Publish,
    /// To subscribe to a channel, which plain servers ignore.
    Subscribe {
        /// The channel's name.
        channel: String,
    },
    /// To resume a subscription and to read all publications up to `top`.
    Resume {
        /// The channel's name.
        channel: String,
        /// Where the client stands.
        from: Standing,
        /// The last offset to wait for.
        top: u64,
    },
}

/// A position in a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The channel's history.
    pub epoch: String,
    /// The last offset seen.
    pub offset: u64,
}

/// One message of a server, read in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// The server asks for a sign of life.
    Ping,
    /// The session is open.
    Connected,
    /// The subscription is live.
    Subscribed {
        /// Where it begins.
        at: Standing,
        /// The offsets of the publications in the reply.
        missed: Vec<u64>,
        /// True when nothing is missing in between.
        recovered: bool,
    },
    /// A publication was accepted.
    Published,
    /// A publication arrived.
    Delivery {
        /// The number embedded in its data.
        sequence: u64,
        /// Its offset; the sequence for plain servers.
        offset: u64,
    },
}

impl Dialect {
    /// The path of the upgrade.
    #[must_use]
    pub fn path(self, purpose: &Purpose) -> &'static str {
        match (self, purpose) {
            (Self::Gateway, _) => "/connection/websocket",
            (Self::Plain { .. }, Purpose::Publish) => "/pub",
            (Self::Plain { .. }, _) => "/sub",
        }
    }

    /// The first frame after the upgrade, as published clients send it: connect and subscribe together.
    /// Gives how many replies follow; none for plain servers.
    pub fn greet(self, purpose: &Purpose, out: &mut Vec<u8>) -> usize {
        if self != Self::Gateway {
            return 0;
        }
        let connect = r#"{"connect":{"name":"bench"},"id":1}"#;
        let (text, replies) = match purpose {
            Purpose::Publish => (connect.to_owned(), 1),
            Purpose::Subscribe { channel } => (
                format!(
                    "{connect}\n{{\"subscribe\":{{\"channel\":\"{channel}\",\"recoverable\":true,\"flag\":1}},\"id\":2}}"
                ),
                2,
            ),
            Purpose::Resume { channel, from, .. } => (
                format!(
                    "{connect}\n{{\"subscribe\":{{\"channel\":\"{channel}\",\"recover\":true,\"epoch\":\"{}\",\"offset\":{},\"recoverable\":true,\"flag\":1}},\"id\":2}}",
                    from.epoch, from.offset
                ),
                2,
            ),
        };
        frame::write(out, frame::TEXT, text.as_bytes());
        replies
    }

    /// Appends the frame that publishes the message `sequence` into `channel`.
    pub fn publish(self, channel: &str, sequence: u64, out: &mut Vec<u8>) {
        match self {
            Self::Gateway => {
                let data = content(sequence, DATA_BYTES - 2);
                // Ids are 32 bits and above 0; they wrap long after the longest run.
                let id = sequence % u64::from(u32::MAX) + 2;
                let text = format!(
                    "{{\"publish\":{{\"channel\":\"{channel}\",\"data\":\"{data}\"}},\"id\":{id}}}"
                );
                frame::write(out, frame::TEXT, text.as_bytes());
            }
            Self::Plain { bytes } => {
                frame::write(out, frame::TEXT, content(sequence, bytes).as_bytes());
            }
        }
    }

    /// Appends the answer to a ping of this protocol.
    pub fn pong(self, out: &mut Vec<u8>) {
        frame::write(out, frame::TEXT, b"{}");
    }

    /// Reads one message in full and checks all of it that is known beforehand.
    pub fn inspect(self, line: &[u8], channel: &str) -> Result<Inbound> {
        match self {
            Self::Gateway => inspect_reply(line, channel),
            Self::Plain { bytes } => {
                let text = std::str::from_utf8(line)?;
                let sequence = sequence_of(text, bytes)?;
                Ok(Inbound::Delivery {
                    sequence,
                    offset: sequence,
                })
            }
        }
    }
}

/// The text of message `sequence`: its number, then filler up to `len` characters.
fn content(sequence: u64, len: usize) -> String {
    let mut text = format!("{sequence:0>SEQUENCE_DIGITS$}");
    while text.len() < len {
        text.push(char::from(FILLER));
    }
    text
}

/// Reads the number back and insists that every byte is as it was sent.
fn sequence_of(text: &str, len: usize) -> Result<u64> {
    let (digits, filler) = text
        .split_at_checked(SEQUENCE_DIGITS)
        .context("a message without a sequence number")?;
    let sequence = digits
        .parse()
        .with_context(|| format!("not a sequence number: {digits}"))?;
    if text.len() != len || filler.bytes().any(|byte| byte != FILLER) {
        bail!("message {sequence} was changed on its way");
    }
    Ok(sequence)
}

#[derive(Deserialize)]
struct WireReply<'a> {
    #[serde(default)]
    id: u32,
    error: Option<WireError>,
    connect: Option<WireConnect>,
    #[serde(borrow)]
    subscribe: Option<WireSubscribe<'a>>,
    publish: Option<serde::de::IgnoredAny>,
    #[serde(borrow)]
    push: Option<WirePush<'a>>,
}

#[derive(Deserialize)]
struct WireError {
    code: u32,
    message: String,
}

#[derive(Deserialize)]
struct WireConnect {
    client: String,
}

#[derive(Deserialize)]
struct WireSubscribe<'a> {
    #[serde(default)]
    recovered: bool,
    #[serde(default)]
    epoch: String,
    #[serde(default)]
    offset: u64,
    #[serde(default, borrow)]
    publications: Vec<WirePublication<'a>>,
}

#[derive(Deserialize)]
struct WirePush<'a> {
    channel: &'a str,
    #[serde(rename = "pub", borrow)]
    publication: Option<WirePublication<'a>>,
}

#[derive(Deserialize)]
struct WirePublication<'a> {
    data: &'a str,
    offset: u64,
}

fn inspect_reply(line: &[u8], channel: &str) -> Result<Inbound> {
    if line == b"{}" {
        return Ok(Inbound::Ping);
    }
    let reply: WireReply<'_> = serde_json::from_slice(line)
        .with_context(|| format!("not a reply: {}", String::from_utf8_lossy(line)))?;
    if let Some(error) = reply.error {
        bail!(
            "command {} was refused with {}: {}",
            reply.id,
            error.code,
            error.message
        );
    }
    if let Some(push) = reply.push {
        let Some(publication) = push.publication else {
            bail!(
                "a push that nobody asked for: {}",
                String::from_utf8_lossy(line)
            )
        };
        if push.channel != channel {
            bail!("a publication of {} instead of {channel}", push.channel);
        }
        let sequence = sequence_of(publication.data, DATA_BYTES - 2)?;
        return Ok(Inbound::Delivery {
            sequence,
            offset: publication.offset,
        });
    }
    if let Some(subscribe) = reply.subscribe {
        for publication in &subscribe.publications {
            sequence_of(publication.data, DATA_BYTES - 2)?;
        }
        return Ok(Inbound::Subscribed {
            at: Standing {
                epoch: subscribe.epoch,
                offset: subscribe.offset,
            },
            missed: subscribe
                .publications
                .iter()
                .map(|publication| publication.offset)
                .collect(),
            recovered: subscribe.recovered,
        });
    }
    match (reply.connect, reply.publish) {
        (Some(connect), _) if !connect.client.is_empty() => Ok(Inbound::Connected),
        (Some(_), _) => bail!("a connect reply without a client id"),
        (None, Some(_)) => Ok(Inbound::Published),
        (None, None) => bail!("an unknown reply: {}", String::from_utf8_lossy(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_has_the_promised_size() {
        let mut out = Vec::new();

        Dialect::Gateway.publish("c", 7, &mut out);

        let data = format!("\"{}\"", content(7, DATA_BYTES - 2));
        assert_eq!(data.len(), DATA_BYTES);
        assert!(out.len() > DATA_BYTES);
    }

    #[test]
    fn a_push_is_read_with_its_offset_and_sequence() {
        let line = format!(
            r#"{{"push":{{"channel":"c","pub":{{"data":"{}","info":{{"user":"","client":"a"}},"offset":9}}}}}}"#,
            content(4, 126)
        );

        let inbound = Dialect::Gateway.inspect(line.as_bytes(), "c").unwrap();

        assert_eq!(
            inbound,
            Inbound::Delivery {
                sequence: 4,
                offset: 9
            }
        );
    }

    #[test]
    fn a_changed_byte_a_foreign_channel_and_an_error_are_noticed() {
        let changed = content(4, 126).replacen('x', "y", 1);
        let push = |channel: &str, data: &str| {
            format!(r#"{{"push":{{"channel":"{channel}","pub":{{"data":"{data}","offset":9}}}}}}"#)
        };

        for line in [
            push("c", &changed),
            push("d", &content(4, 126)),
            r#"{"id":3,"error":{"code":103,"message":"permission denied"}}"#.to_owned(),
        ] {
            assert!(
                Dialect::Gateway.inspect(line.as_bytes(), "c").is_err(),
                "{line}"
            );
        }
    }

    #[test]
    fn a_plain_message_carries_its_number() {
        let plain = Dialect::Plain { bytes: 64 };

        assert_eq!(
            plain.inspect(content(12, 64).as_bytes(), "").unwrap(),
            Inbound::Delivery {
                sequence: 12,
                offset: 12
            }
        );
        assert!(plain.inspect(content(12, 63).as_bytes(), "").is_err());
    }
}
