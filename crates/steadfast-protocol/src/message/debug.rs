//! The debug output of requests with tokens, which it does not show.

use std::fmt;

use super::{ConnectRequest, RefreshRequest, SubRefreshRequest, SubscribeRequest};

/// Shows whether there is a token, and not the token.
struct Hidden<'a>(&'a str);

impl fmt::Debug for Hidden<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "none" } else { "***" })
    }
}

impl fmt::Debug for ConnectRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            token,
            data,
            subs,
            name,
            version,
            headers,
        } = self;
        // The values of header fields may be tokens too.
        let headers: Vec<&String> = headers.keys().collect();
        f.debug_struct("ConnectRequest")
            .field("token", &Hidden(token))
            .field("data", data)
            .field("subs", subs)
            .field("name", name)
            .field("version", version)
            .field("headers", &headers)
            .finish()
    }
}

impl fmt::Debug for SubscribeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            channel,
            token,
            recover,
            position,
            data,
            positioned,
            recoverable,
            join_leave,
            delta,
            flag,
            kind,
            has_filter,
        } = self;
        f.debug_struct("SubscribeRequest")
            .field("channel", channel)
            .field("token", &Hidden(token))
            .field("recover", recover)
            .field("position", position)
            .field("data", data)
            .field("positioned", positioned)
            .field("recoverable", recoverable)
            .field("join_leave", join_leave)
            .field("delta", delta)
            .field("flag", flag)
            .field("kind", kind)
            .field("has_filter", has_filter)
            .finish()
    }
}

impl fmt::Debug for RefreshRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { token } = self;
        f.debug_struct("RefreshRequest")
            .field("token", &Hidden(token))
            .finish()
    }
}

impl fmt::Debug for SubRefreshRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel, token } = self;
        f.debug_struct("SubRefreshRequest")
            .field("channel", channel)
            .field("token", &Hidden(token))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::message::{Command, Request};

    #[test]
    fn debug_output_of_a_command_shows_no_token() {
        let secret = || "SECRET".to_owned();
        let channel = || "news".to_owned();
        let subscribe = SubscribeRequest {
            channel: channel(),
            token: secret(),
            ..SubscribeRequest::default()
        };
        let connect = ConnectRequest {
            token: secret(),
            subs: BTreeMap::from([(channel(), subscribe.clone())]),
            headers: BTreeMap::from([("Authorization".to_owned(), secret())]),
            ..ConnectRequest::default()
        };
        let requests = [
            Request::Connect(connect),
            Request::Subscribe(subscribe),
            Request::Refresh(RefreshRequest { token: secret() }),
            Request::SubRefresh(SubRefreshRequest {
                channel: channel(),
                token: secret(),
            }),
        ];

        for request in requests {
            let shown = format!("{:?}", Command { id: 1, request });

            assert!(!shown.contains("SECRET"), "{shown}");
            assert!(shown.contains("token: ***"), "{shown}");
        }
        let none = format!("{:?}", RefreshRequest::default());
        assert_eq!(none, "RefreshRequest { token: none }");
    }
}
