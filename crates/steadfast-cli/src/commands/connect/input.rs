//! The input lines of `steadfast connect`, and the payloads in them.

use serde_json::value::{RawValue, to_raw_value};

#[derive(Debug)]
pub(super) enum InputCommand {
    Nothing,
    Help,
    Quit,
    Subscribe(String),
    Unsubscribe(String),
    Presence(String),
    History(String),
    Publish { channel: String, payload: Payload },
}

/// What is published.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) json: Box<RawValue>,
    /// Whether the input was text, which is published as a JSON string.
    pub(super) is_text: bool,
}

/// How text that begins like JSON can be published.
pub(super) const QUOTE_HELP: &str = r#"to publish text, quote it: '"hello"'"#;

impl Payload {
    /// Accepts JSON exactly as it was typed, and text that does not begin like JSON as a JSON string.
    ///
    /// # Errors
    ///
    /// The place of the error in input that begins with a brace, a bracket or a quote and is not JSON: a typing error must
    /// not be published as text.
    pub(super) fn parse(input: &str) -> Result<Self, String> {
        match serde_json::from_str(input) {
            Ok(json) => Ok(Self {
                json,
                is_text: false,
            }),
            Err(error) if input.trim_start().starts_with(['{', '[', '"']) => {
                Err(format!("not valid JSON: {error}"))
            }
            Err(_not_json) => Ok(Self {
                json: string(input),
                is_text: true,
            }),
        }
    }
}

fn string(text: &str) -> Box<RawValue> {
    to_raw_value(text).expect("a string can be serialized")
}

/// Parses a line. `channel` is the default for commands without a channel, and for lines that are not commands.
///
/// # Errors
///
/// The problem, with an example.
pub(super) fn parse(line: &str, channel: Option<&str>) -> Result<InputCommand, String> {
    let line = line.trim();
    let Some(command) = line.strip_prefix('/') else {
        return match (line, channel) {
            ("", _) => Ok(InputCommand::Nothing),
            (_, None) => Err(
                "no channel selected; subscribe first, for example: /subscribe lobby".to_owned(),
            ),
            (data, Some(channel)) => publish(channel, data),
        };
    };
    let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
    let rest = rest.trim();
    let channel_or_default = || match (rest, channel) {
        ("", Some(channel)) => Ok(channel.to_owned()),
        ("", None) => Err(format!("missing channel; for example: /{verb} lobby")),
        (channel_or_default, _) => Ok(channel_or_default.to_owned()),
    };
    match verb {
        "help" | "h" | "?" => Ok(InputCommand::Help),
        "quit" | "q" => Ok(InputCommand::Quit),
        "subscribe" | "sub" => Ok(InputCommand::Subscribe(channel_or_default()?)),
        "unsubscribe" | "unsub" => Ok(InputCommand::Unsubscribe(channel_or_default()?)),
        "presence" => Ok(InputCommand::Presence(channel_or_default()?)),
        "history" => Ok(InputCommand::History(channel_or_default()?)),
        "publish" | "pub" => match rest.split_once(' ') {
            Some((channel, data)) => publish(channel, data.trim()),
            None => {
                Err("missing channel or payload; for example: /publish lobby {\"x\": 1}".to_owned())
            }
        },
        _ => Err(format!("unknown command /{verb}; /help lists the commands")),
    }
}

fn publish(channel: &str, data: &str) -> Result<InputCommand, String> {
    let payload =
        Payload::parse(data).map_err(|error| format!("not published: {error}; {QUOTE_HELP}"))?;
    Ok(InputCommand::Publish {
        channel: channel.to_owned(),
        payload,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_is_published_and_a_slash_starts_a_command() {
        for (line, channel, expected) in [
            (
                "hello there",
                Some("lobby"),
                "Publish lobby \"hello there\"",
            ),
            ("/pub chat {\"a\": 1}", None, "Publish chat {\"a\": 1}"),
            ("/sub chat", None, "Subscribe(\"chat\")"),
            ("/history", Some("lobby"), "History(\"lobby\")"),
            ("/help", None, "Help"),
            ("/quit", None, "Quit"),
            ("  ", None, "Nothing"),
        ] {
            let command = parse(line, channel).unwrap();

            let text = if let InputCommand::Publish { channel, payload } = command {
                format!("Publish {channel} {}", payload.json)
            } else {
                format!("{command:?}")
            };
            assert_eq!(text, expected);
        }
        for wrong in ["hello", "/publish lobby", "/history", "/dance"] {
            assert!(parse(wrong, None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn json_is_published_as_it_was_typed_and_other_input_as_a_string() {
        for (typed, published) in [
            (r#"{"a": 1}"#, r#"{"a": 1}"#),
            ("42", "42"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("[1e400, 1.50]", "[1e400, 1.50]"),
            (r#""half \ud83d""#, r#""half \ud83d""#),
            (r#"{"k": 1, "k": 2}"#, r#"{"k": 1, "k": 2}"#),
            ("say \"hi\"", r#""say \"hi\"""#),
        ] {
            let payload = Payload::parse(typed).unwrap();

            assert_eq!(payload.json.get(), published);
            assert_eq!(payload.is_text, typed.starts_with("say"), "{typed}");
        }
    }

    #[test]
    fn input_that_begins_like_json_and_is_not_is_rejected_with_the_place_of_the_error() {
        for (typed, place) in [
            (r#"{"text": "x""#, "line 1 column 12"),
            ("[1,", "line 1 column 3"),
            (r#""hello"#, "line 1 column 6"),
            ("{text: 1}", "line 1 column 2"),
        ] {
            let line = parse(typed, Some("lobby")).unwrap_err();

            assert!(
                line.starts_with("not published: not valid JSON: "),
                "{line}"
            );
            assert!(line.contains(place), "{line}");
            assert!(line.contains(r#"quote it: '"hello"'"#), "{line}");
        }
    }
}
