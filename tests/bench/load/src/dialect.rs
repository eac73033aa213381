//! The protocol above WebSocket: the gateway's Centrifuge client protocol, or plain text of a bare server.
//!
//! Encodes the messages of clients and parses those of servers in full; `ledger` compares later copies byte for byte.

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::frame;

/// Length of a publication's data at the gateway, as raw JSON including the quotes.
pub const DATA_BYTES: usize = 128;

/// Number of digits of the sequence number at the start of each message.
const SEQUENCE_DIGITS: usize = 20;

/// The byte that fills a message after its number, up to the requested length.
const FILLER: u8 = b'x';

/// The protocol of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The Centrifuge client protocol in JSON.
    Gateway,
    /// Every message of a publisher is sent unchanged to all subscribers.
    Plain {
        /// Length of each message's payload.
        bytes: usize,
    },
}

/// The purpose of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Publishes, without a subscription.
    Publish,
    /// Subscribes to a channel, which plain servers ignore.
    Subscribe {
        /// Name of the channel.
        channel: String,
    },
    /// Resumes a subscription and reads all publications up to `high_watermark`.
    Resume {
        /// Name of the channel.
        channel: String,
        /// The client's last position.
        from: Position,
        /// The offset of the last publication to wait for.
        high_watermark: u64,
    },
}

/// A position in a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The channel epoch.
    pub epoch: String,
    /// The last received offset.
    pub offset: u64,
}

/// One message of a server, parsed in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inbound {
    /// A ping of the client protocol.
    Ping,
    /// The connect command succeeded.
    Connected,
    /// The subscription is active.
    Subscribed {
        /// The position at which it begins.
        position: Position,
        /// Offsets of the publications in the reply.
        missed: Vec<u64>,
        /// True if no publication is missing since the client's position.
        recovered: bool,
    },
    /// A publication was acknowledged.
    Published,
    /// A publication was received.
    Delivery {
        /// The sequence number in its data.
        sequence: u64,
        /// Its offset; for plain servers the sequence number.
        offset: u64,
    },
}

impl Dialect {
    /// Returns the path of the upgrade request.
    #[must_use]
    pub fn path(self, purpose: &Purpose) -> &'static str {
        match (self, purpose) {
            (Self::Gateway, _) => "/connection/websocket",
            (Self::Plain { .. }, Purpose::Publish) => "/pub",
            (Self::Plain { .. }, _) => "/sub",
        }
    }

    /// Appends the first frame after the upgrade, as third-party clients send it: connect and subscribe together.
    /// Returns the number of replies to expect; 0 for plain servers.
    pub fn first_frame(self, purpose: &Purpose, out: &mut Vec<u8>) -> usize {
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

    /// Appends the frame that publishes message `sequence` to `channel`.
    pub fn publish(self, channel: &str, sequence: u64, out: &mut Vec<u8>) {
        match self {
            Self::Gateway => {
                let data = content(sequence, DATA_BYTES - 2);
                // Ids have 32 bits and are above 0; they wrap long after the longest run.
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

    /// Appends the pong of the client protocol.
    pub fn pong(self, out: &mut Vec<u8>) {
        frame::write(out, frame::TEXT, b"{}");
    }

    /// Parses one message in full and checks everything that is known in advance.
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

/// Returns the text of message `sequence`: its number, then filler up to `len` characters.
fn content(sequence: u64, len: usize) -> String {
    let mut text = format!("{sequence:0>SEQUENCE_DIGITS$}");
    while text.len() < len {
        text.push(char::from(FILLER));
    }
    text
}

/// Returns the payload of publication `sequence` as all servers that store publications receive it.
pub(crate) fn payload(sequence: u64) -> String {
    content(sequence, DATA_BYTES)
}

/// Parses the sequence number and checks that every byte is unchanged.
fn sequence_of(text: &str, len: usize) -> Result<u64> {
    let (digits, filler) = text
        .split_at_checked(SEQUENCE_DIGITS)
        .context("message without a sequence number")?;
    let sequence = digits
        .parse()
        .with_context(|| format!("invalid sequence number: {digits}"))?;
    if text.len() != len || filler.bytes().any(|byte| byte != FILLER) {
        bail!("message {sequence} was modified in transit");
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
        .with_context(|| format!("invalid reply: {}", String::from_utf8_lossy(line)))?;
    if let Some(error) = reply.error {
        bail!(
            "command {} rejected with error {}: {}",
            reply.id,
            error.code,
            error.message
        );
    }
    if let Some(push) = reply.push {
        let Some(publication) = push.publication else {
            bail!("unexpected push: {}", String::from_utf8_lossy(line))
        };
        if push.channel != channel {
            bail!(
                "publication of channel {} instead of {channel}",
                push.channel
            );
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
            position: Position {
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
        (Some(_), _) => bail!("connect reply without a client id"),
        (None, Some(_)) => Ok(Inbound::Published),
        (None, None) => bail!("unsupported reply: {}", String::from_utf8_lossy(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_publication_has_the_documented_size() {
        let mut out = Vec::new();

        Dialect::Gateway.publish("c", 7, &mut out);

        let data = format!("\"{}\"", content(7, DATA_BYTES - 2));
        assert_eq!(data.len(), DATA_BYTES);
        assert!(out.len() > DATA_BYTES);
    }

    #[test]
    fn a_push_is_parsed_with_its_offset_and_sequence_number() {
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
    fn a_modified_byte_another_channel_and_an_error_are_detected() {
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
    fn a_plain_message_contains_its_sequence_number() {
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
