//! `steadfast connect`: one connection, by hand. What is typed becomes commands, what comes is shown.
//!
//! It ends when the connection ends, and says why; it does not come back by itself.

mod link;
mod shown;
mod typed;

use bytes::Bytes;
use steadfast_protocol::keyed::{self, KeyedPublish};
use steadfast_protocol::message::{
    ChannelRequest, Command, ConnectRequest, HistoryRequest, Reply, Request, RpcRequest,
    SubscribeRequest,
};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use self::link::{Link, Received};
use self::typed::Typed;
use crate::args::Connect;
use crate::exit::Failure;
use crate::output::{self, Audience};

/// How many publications `/history` shows.
const HISTORY_SHOWN: i32 = 20;

/// Talks until the connection ends, `/quit` is typed, or what was to be published is acknowledged.
///
/// # Errors
///
/// When no connection can be made, or the gateway ends it.
pub(crate) fn run(arguments: &Connect) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}"), ""))?;
    runtime.block_on(async {
        let link = Link::dial(&arguments.url).await?;
        let mut session = Session {
            link,
            is_json: arguments.json,
            last_id: 0,
            channel: None,
            awaited: None,
        };
        session.begin(arguments).await?;
        session.talk().await
    })
}

/// One connection and what is open on it.
struct Session {
    link: Link,
    is_json: bool,
    last_id: u32,
    /// Where a bare line is published.
    channel: Option<String>,
    /// The publish after which the command ends.
    awaited: Option<u32>,
}

impl Session {
    async fn begin(&mut self, arguments: &Connect) -> Result<(), Failure> {
        let connect = ConnectRequest {
            name: "steadfast-cli".to_owned(),
            ..ConnectRequest::default()
        };
        self.ask(Request::Connect(connect)).await?;
        for channel in &arguments.subscribe {
            self.subscribe(channel.clone()).await?;
        }
        if let Some([channel, data]) = arguments.publish.as_deref() {
            let id = self.publish(channel.clone(), data).await?;
            self.awaited = Some(id);
        }
        Ok(())
    }

    async fn talk(&mut self) -> Result<(), Failure> {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let mut is_typing = self.awaited.is_none();
        loop {
            let next = tokio::select! {
                // Both are cancel-safe: a line or a read that is not complete stays where it is.
                received = self.link.receive() => Next::Received(received?),
                line = lines.next_line(), if is_typing => Next::Typed(line.ok().flatten()),
            };
            match next {
                Next::Received(Received::Message(message)) => {
                    if self.show(&message).await? {
                        return Ok(());
                    }
                }
                Next::Received(Received::Closed { code, reason }) => {
                    return Err(closed(code, &reason));
                }
                // Without a keyboard what comes is shown until the connection ends.
                Next::Typed(None) => is_typing = false,
                Next::Typed(Some(line)) => {
                    if self.obey(&line).await? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Does what was typed. True when that is the end.
    async fn obey(&mut self, line: &str) -> Result<bool, Failure> {
        match typed::parse(line, self.channel.as_deref()) {
            Ok(Typed::Nothing) => {}
            Ok(Typed::Quit) => return Ok(true),
            Ok(Typed::Subscribe(channel)) => self.subscribe(channel).await?,
            Ok(Typed::Unsubscribe(channel)) => {
                self.ask(Request::Unsubscribe(ChannelRequest { channel }))
                    .await?;
            }
            Ok(Typed::Presence(channel)) => {
                self.ask(Request::Presence(ChannelRequest { channel }))
                    .await?;
            }
            Ok(Typed::History(channel)) => {
                let request = HistoryRequest {
                    channel,
                    limit: HISTORY_SHOWN,
                    reverse: true,
                    since: None,
                };
                self.ask(Request::History(request)).await?;
            }
            Ok(Typed::Publish { channel, data }) => {
                self.publish(channel, &data).await?;
            }
            Err(advice) => output::say(&advice),
        }
        Ok(false)
    }

    async fn subscribe(&mut self, channel: String) -> Result<(), Failure> {
        self.channel = Some(channel.clone());
        let request = SubscribeRequest {
            channel,
            join_leave: true,
            ..SubscribeRequest::default()
        };
        self.ask(Request::Subscribe(request)).await?;
        Ok(())
    }

    /// Publishes with a key of its own, so that the answer tells the place.
    async fn publish(&mut self, channel: String, data: &str) -> Result<u32, Failure> {
        let publish = KeyedPublish {
            channel,
            data: Bytes::from(typed::to_json(data)),
            key: link::random_text()?,
        };
        let mut argument = Vec::new();
        keyed::append_publish(&mut argument, &publish);
        let request = RpcRequest {
            method: keyed::METHOD.to_owned(),
            data: Bytes::from(argument),
        };
        self.ask(Request::Rpc(request)).await
    }

    async fn ask(&mut self, request: Request) -> Result<u32, Failure> {
        self.last_id += 1;
        let command = Command {
            id: self.last_id,
            request,
        };
        self.link.send(&command).await?;
        Ok(command.id)
    }

    /// Shows a message and answers pings. True when the awaited publish was acknowledged, or nobody reads on.
    async fn show(&mut self, message: &Bytes) -> Result<bool, Failure> {
        let is_read = |text: &str| output::print_next(text) == Audience::There;
        if self.is_json && !is_read(String::from_utf8_lossy(message).trim_end()) {
            return Ok(true);
        }
        for reply in shown::decode(message)? {
            if reply == Reply::Ping {
                let pong = Command {
                    id: 0,
                    request: Request::Pong,
                };
                self.link.send(&pong).await?;
                continue;
            }
            if !self.is_json && !is_read(&shown::describe(&reply)) {
                return Ok(true);
            }
            if let Reply::Answer { id, outcome } = reply
                && self.awaited == Some(id)
            {
                return match outcome {
                    Ok(_) => Ok(true),
                    Err(error) => Err(Failure::failed(
                        format!("the gateway refused: {} ({})", error.message, error.code),
                        "",
                    )),
                };
            }
        }
        Ok(false)
    }
}

enum Next {
    Received(Received),
    Typed(Option<String>),
}

fn closed(code: Option<u16>, reason: &str) -> Failure {
    let code = code.map_or_else(
        || "without a code".to_owned(),
        |code| format!("with {code}"),
    );
    Failure::failed(
        format!("the gateway closed the connection {code}: {reason}"),
        "The meaning of each code stands in docs/reference/codes.md.",
    )
}
