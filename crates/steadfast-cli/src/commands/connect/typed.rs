//! What is typed into `steadfast connect`.

/// What a line means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Typed {
    Nothing,
    Quit,
    Subscribe(String),
    Unsubscribe(String),
    Presence(String),
    History(String),
    Publish { channel: String, data: String },
}

/// Understands a line; `channel` is where a bare line goes and what a command without a channel means.
///
/// # Errors
///
/// What to type instead.
pub(super) fn parse(line: &str, channel: Option<&str>) -> Result<Typed, String> {
    let line = line.trim();
    let Some(command) = line.strip_prefix('/') else {
        return match (line, channel) {
            ("", _) => Ok(Typed::Nothing),
            (_, None) => Err("subscribe first, for example: /subscribe lobby".to_owned()),
            (data, Some(channel)) => Ok(Typed::Publish {
                channel: channel.to_owned(),
                data: data.to_owned(),
            }),
        };
    };
    let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
    let rest = rest.trim();
    let named = || match (rest, channel) {
        ("", Some(channel)) => Ok(channel.to_owned()),
        ("", None) => Err(format!("which channel? for example: /{verb} lobby")),
        (named, _) => Ok(named.to_owned()),
    };
    match verb {
        "quit" | "q" => Ok(Typed::Quit),
        "subscribe" | "sub" => Ok(Typed::Subscribe(named()?)),
        "unsubscribe" | "unsub" => Ok(Typed::Unsubscribe(named()?)),
        "presence" => Ok(Typed::Presence(named()?)),
        "history" => Ok(Typed::History(named()?)),
        "publish" | "pub" => match rest.split_once(' ') {
            Some((channel, data)) => Ok(Typed::Publish {
                channel: channel.to_owned(),
                data: data.trim().to_owned(),
            }),
            None => {
                Err("a channel and a payload, for example: /publish lobby {\"x\": 1}".to_owned())
            }
        },
        _ => Err(format!(
            "/{verb} is not known; there are /subscribe, /unsubscribe, /publish, /history, /presence and /quit"
        )),
    }
}

/// The payload: JSON as it was typed, anything else as a JSON text.
pub(super) fn to_json(data: &str) -> String {
    match serde_json::from_str::<serde_json::Value>(data) {
        Ok(_) => data.to_owned(),
        Err(_) => serde_json::Value::from(data).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_line_is_published_and_a_slash_commands() {
        let publish = Typed::Publish {
            channel: "lobby".to_owned(),
            data: "hello there".to_owned(),
        };
        assert_eq!(parse("hello there", Some("lobby")), Ok(publish));
        assert_eq!(
            parse("/sub room", None),
            Ok(Typed::Subscribe("room".to_owned()))
        );
        assert_eq!(
            parse("/history", Some("lobby")),
            Ok(Typed::History("lobby".to_owned()))
        );
        assert_eq!(parse("/quit", None), Ok(Typed::Quit));
        for wrong in ["hello", "/publish lobby", "/history", "/dance"] {
            assert!(parse(wrong, None).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_json_becomes_a_text() {
        assert_eq!(to_json(r#"{"a": 1}"#), r#"{"a": 1}"#);
        assert_eq!(to_json("42"), "42");
        assert_eq!(to_json("say \"hi\""), r#""say \"hi\"""#);
    }
}
