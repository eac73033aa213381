//! The input lines of `steadfast connect`.

use serde_json::value::{RawValue, to_raw_value};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum InputCommand {
    Nothing,
    Quit,
    Subscribe(String),
    Unsubscribe(String),
    Presence(String),
    History(String),
    Publish { channel: String, data: String },
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
            (data, Some(channel)) => Ok(InputCommand::Publish {
                channel: channel.to_owned(),
                data: data.to_owned(),
            }),
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
        "quit" | "q" => Ok(InputCommand::Quit),
        "subscribe" | "sub" => Ok(InputCommand::Subscribe(channel_or_default()?)),
        "unsubscribe" | "unsub" => Ok(InputCommand::Unsubscribe(channel_or_default()?)),
        "presence" => Ok(InputCommand::Presence(channel_or_default()?)),
        "history" => Ok(InputCommand::History(channel_or_default()?)),
        "publish" | "pub" => match rest.split_once(' ') {
            Some((channel, data)) => Ok(InputCommand::Publish {
                channel: channel.to_owned(),
                data: data.trim().to_owned(),
            }),
            None => {
                Err("missing channel or payload; for example: /publish lobby {\"x\": 1}".to_owned())
            }
        },
        _ => Err(format!(
            "unknown command /{verb}: use /subscribe, /unsubscribe, /publish, /history, /presence or /quit"
        )),
    }
}

/// Valid JSON exactly as it was typed, and anything else as a JSON string.
pub(super) fn to_json(data: &str) -> Box<RawValue> {
    serde_json::from_str(data)
        .unwrap_or_else(|_not_json| to_raw_value(data).expect("a string can be serialized"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_line_is_published_and_a_slash_starts_a_command() {
        let publish = InputCommand::Publish {
            channel: "lobby".to_owned(),
            data: "hello there".to_owned(),
        };
        assert_eq!(parse("hello there", Some("lobby")), Ok(publish));
        assert_eq!(
            parse("/sub chat", None),
            Ok(InputCommand::Subscribe("chat".to_owned()))
        );
        assert_eq!(
            parse("/history", Some("lobby")),
            Ok(InputCommand::History("lobby".to_owned()))
        );
        assert_eq!(parse("/quit", None), Ok(InputCommand::Quit));
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
            assert_eq!(to_json(typed).get(), published);
        }
    }
}
