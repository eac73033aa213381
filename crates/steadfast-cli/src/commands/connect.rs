//! `steadfast connect`: a session by hand, through the client library. What is typed becomes requests, what comes is
//! shown, and so is every attempt with its cause and the next try.
//!
//! The first connection must come about, since a wrong address is the likeliest reason why it does not; from then on
//! the session comes back by itself.

mod shown;
mod typed;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use steadfast::{
    CallError, Client, Delivery, Event, HistoryResult, Receipt, SubscribeOptions, defaults,
};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;

use self::shown::Shown;
use self::typed::Typed;
use crate::args::Connect;
use crate::exit::Failure;
use crate::output::{self, Audience};

/// How many publications `/history` shows.
const HISTORY_SHOWN: usize = 20;
/// Lines that wait to be printed; whoever has more waits.
const LINES_MAX: usize = 1_024;
/// What a reader that left is given for a good end.
const CLOSE_MAX: Duration = Duration::from_secs(1);

/// Talks until `/quit` is typed, what was to be published is acknowledged, or nobody reads on.
///
/// # Errors
///
/// When the first connection does not come about, or the gateway ends the session for good.
pub(crate) fn run(arguments: &Connect) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}"), ""))?;
    runtime.block_on(talk(arguments))
}

async fn talk(arguments: &Connect) -> Result<(), Failure> {
    let (client, driver) = Client::builder(&arguments.url)
        .map(|builder| builder.name("steadfast-cli"))
        .and_then(steadfast::Builder::build)
        .map_err(|error| {
            let example = "For example: steadfast connect ws://127.0.0.1:8000";
            Failure::usage(error.to_string(), example)
        })?;
    let events = client.events();
    let (lines, shown) = mpsc::channel(LINES_MAX);
    let mut conversation = Conversation {
        client,
        lines,
        channel: None,
        subscriptions: BTreeMap::new(),
    };
    tokio::spawn(driver);
    for channel in &arguments.subscribe {
        conversation.subscribe(channel.clone());
    }
    let awaited = match arguments.publish.as_deref() {
        Some([channel, data]) => Some(conversation.publish(channel, data)?),
        Some(_) | None => None,
    };
    let client = conversation.client.clone();
    let outcome = tokio::select! {
        outcome = watch(&client, events, &arguments.url) => outcome,
        () = print(shown, arguments.json) => Ok(()),
        outcome = until_acknowledged(awaited) => outcome,
        () = conversation.obey_all(arguments.publish.is_none()) => Ok(()),
    };
    // A gateway that does not answer is no reason to stay.
    let _ = tokio::time::timeout(CLOSE_MAX, client.close(Duration::ZERO)).await;
    outcome
}

/// Says what happens to the connection; ends with the reason why there is none.
async fn watch(
    client: &Client,
    mut events: broadcast::Receiver<Event>,
    url: &str,
) -> Result<(), Failure> {
    let mut has_connected = false;
    loop {
        let event = match events.recv().await {
            Ok(event) => event,
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                output::say(&format!("{missed} changes of the connection were missed"));
                continue;
            }
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        };
        match &event {
            Event::Connected { .. } => has_connected = true,
            Event::Waiting { cause, .. } if !has_connected => {
                return Err(Failure::failed(
                    format!("cannot connect to {url}: {}", shown::cause(cause)),
                    "Is the gateway running? Start one with: steadfast serve",
                ));
            }
            Event::Failed { cause } => {
                let what = format!("the session with {url} is over: {}", shown::cause(cause));
                return Err(Failure::failed(what, ""));
            }
            Event::Attempting { .. }
            | Event::Waiting { .. }
            | Event::Ready { .. }
            | Event::Lost { .. }
            | Event::Closed => {}
        }
        if let Some(text) = shown::event(&event, client.now()) {
            output::say(&text);
        }
    }
}

/// Prints what comes until nobody reads on.
async fn print(mut shown: mpsc::Receiver<Shown>, is_json: bool) {
    while let Some(shown) = shown.recv().await {
        let text = if is_json { shown.json } else { shown.text };
        if output::print_next(&text) == Audience::Gone {
            return;
        }
    }
}

async fn until_acknowledged(awaited: Option<Receipt>) -> Result<(), Failure> {
    let Some(receipt) = awaited else {
        return std::future::pending().await;
    };
    match receipt.await {
        Delivery::Acknowledged { position, .. } => {
            output::say(&format!("acknowledged at offset {}", position.offset));
            Ok(())
        }
        other @ (Delivery::Expired | Delivery::Dropped(_) | Delivery::Interrupted { .. }) => {
            Err(Failure::failed(shown::delivery(&other), ""))
        }
    }
}

/// What is open, and where a bare line goes.
struct Conversation {
    client: Client,
    lines: mpsc::Sender<Shown>,
    channel: Option<String>,
    /// Reading them ends with the task, and so does the subscription.
    subscriptions: BTreeMap<String, JoinHandle<()>>,
}

impl Conversation {
    /// Does what is typed until `/quit`.
    async fn obey_all(&mut self, is_typing: bool) {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let mut is_typing = is_typing;
        loop {
            if !is_typing {
                // Without a keyboard what comes is shown for as long as somebody reads.
                return std::future::pending().await;
            }
            match lines.next_line().await {
                Ok(Some(line)) => match typed::parse(&line, self.channel.as_deref()) {
                    Ok(Typed::Quit) => return,
                    Ok(typed) => self.obey(typed),
                    Err(advice) => output::say(&advice),
                },
                Ok(None) | Err(_) => is_typing = false,
            }
        }
    }

    fn obey(&mut self, typed: Typed) {
        match typed {
            Typed::Nothing | Typed::Quit => {}
            Typed::Subscribe(channel) => self.subscribe(channel),
            Typed::Unsubscribe(channel) => match self.subscriptions.remove(&channel) {
                Some(task) => task.abort(),
                None => output::say(&format!("not subscribed to {channel}")),
            },
            Typed::Publish { channel, data } => match self.publish(&channel, &data) {
                Ok(receipt) => {
                    let lines = self.lines.clone();
                    tokio::spawn(async move {
                        // Nobody reads on: then nobody waits for it either.
                        let _ = lines.send(Shown::delivery(&channel, &receipt.await)).await;
                    });
                }
                Err(_) => output::say("too much was published at once; try again"),
            },
            Typed::Presence(channel) => {
                let (client, lines) = (self.client.clone(), self.lines.clone());
                tokio::spawn(async move {
                    let shown = match client.presence(&channel).await {
                        Ok(present) => Shown::presence(&channel, &present),
                        Err(error) => Shown::refused(&channel, &error),
                    };
                    let _ = lines.send(shown).await;
                });
            }
            Typed::History(channel) => {
                let (client, lines) = (self.client.clone(), self.lines.clone());
                tokio::spawn(async move {
                    let shown = match latest(&client, &channel).await {
                        Ok(history) => Shown::history(&channel, &history),
                        Err(error) => Shown::refused(&channel, &error),
                    };
                    let _ = lines.send(shown).await;
                });
            }
        }
    }

    fn subscribe(&mut self, channel: String) {
        let mut subscription = self.client.subscribe_with(SubscribeOptions {
            channel: channel.clone(),
            since: None,
            join_leave: true,
            buffer_len_max: defaults::BUFFER_LEN_MAX,
        });
        let (lines, name) = (self.lines.clone(), channel.clone());
        let task = tokio::spawn(async move {
            while let Some(feed) = subscription.next().await {
                if lines.send(Shown::feed(&name, &feed)).await.is_err() {
                    return;
                }
            }
        });
        self.channel = Some(channel.clone());
        if let Some(earlier) = self.subscriptions.insert(channel, task) {
            earlier.abort();
        }
    }

    fn publish(&self, channel: &str, data: &str) -> Result<Receipt, Failure> {
        let data: Value = serde_json::from_str(&typed::to_json(data)).unwrap_or_default();
        self.client
            .publish(channel, &data)
            .map_err(|error| Failure::failed(error.to_string(), ""))
    }
}

/// The last publications of a channel, oldest first.
async fn latest(client: &Client, channel: &str) -> Result<HistoryResult, CallError> {
    let top = client.history(channel, 0, None).await?.position;
    let shown = u64::try_from(HISTORY_SHOWN).unwrap_or(u64::MAX);
    let since = steadfast::Position {
        offset: top.offset.saturating_sub(shown),
        ..top
    };
    let limit = i32::try_from(HISTORY_SHOWN).unwrap_or(i32::MAX);
    client.history(channel, limit, Some(since)).await
}
