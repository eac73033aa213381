//! `steadfast connect`: an interactive session through the client library. Input lines are commands; events are
//! printed, and so is each connection attempt with the cause of its failure and the time of the next one.
//!
//! The first attempt must succeed, since the likeliest cause of its failure is a wrong address. After that, the session
//! reconnects automatically.

mod escape;
mod input;
mod printer;
mod render;

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast::error::RequestError;
use steadfast::{
    CallError, Client, HistoryResult, PublishOutcome, Receipt, SessionEvent, SubscribeOptions,
    defaults,
};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::{broadcast, mpsc};
use tokio::task::JoinHandle;

use self::input::InputCommand;
use self::printer::Printer;
use self::render::EventOutput;
use crate::args::Connect;
use crate::exit::Failure;
use crate::output;

/// Limit of `/history`, in publications.
const HISTORY_LIMIT: u16 = 20;
/// Capacity of the queue of lines to print; senders wait when it is full.
const OUTPUT_QUEUE_LEN_MAX: usize = 1_024;
/// Longest wait for the session to close at exit.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs until `/quit` is typed, the `--publish` message is acknowledged, or standard output is closed.
///
/// # Errors
///
/// When the first connection attempt fails, or the session fails permanently.
pub(crate) fn run(arguments: &Connect) -> Result<(), Failure> {
    output::detach_messages()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::failed(format!("failed to start the async runtime: {error}"), "")
        })?;
    let (lines, outputs) = mpsc::channel(OUTPUT_QUEUE_LEN_MAX);
    let mut printer = Printer::start(outputs, arguments.json)?;
    let outcome = runtime.block_on(run_session(arguments, lines, &mut printer));
    // Ends the tasks that send lines. A read of standard input that does not return must not delay the exit.
    runtime.shutdown_background();
    printer.finish();
    outcome
}

async fn run_session(
    arguments: &Connect,
    lines: mpsc::Sender<EventOutput>,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let (client, driver) = Client::builder(&arguments.url)
        .map(|builder| builder.name("steadfast-cli"))
        .and_then(steadfast::Builder::build)
        .map_err(|error| {
            let example = "For example: steadfast connect ws://127.0.0.1:8000";
            Failure::usage(error.to_string(), example)
        })?;
    let events = client.events();
    let mut session = InteractiveSession {
        client,
        lines,
        channel: None,
        subscriptions: BTreeMap::new(),
    };
    tokio::spawn(driver);
    for channel in &arguments.subscribe {
        session.subscribe(channel.clone());
    }
    let receipt = match arguments.publish.as_deref() {
        Some([channel, data]) => {
            let receipt = session.publish(channel, data);
            Some(receipt.map_err(|error| Failure::failed(error.to_string(), ""))?)
        }
        Some(_) | None => None,
    };
    let client = session.client.clone();
    let outcome = tokio::select! {
        outcome = watch(&client, events, &arguments.url) => outcome,
        () = printer.ended() => Ok(()),
        outcome = until_acknowledged(receipt) => outcome,
        () = session.run(arguments.publish.is_none()) => Ok(()),
    };
    // An unresponsive gateway must not delay the exit.
    let _ = tokio::time::timeout(CLOSE_TIMEOUT, client.close(Duration::ZERO)).await;
    outcome
}

/// Prints connection events; returns when the first attempt or the session fails.
async fn watch(
    client: &Client,
    mut events: broadcast::Receiver<SessionEvent>,
    url: &str,
) -> Result<(), Failure> {
    let mut has_connected = false;
    loop {
        let event = match events.recv().await {
            Ok(event) => event,
            Err(broadcast::error::RecvError::Lagged(missed)) => {
                output::message(&format!(
                    "{missed} connection events were not printed: output is too slow"
                ));
                continue;
            }
            Err(broadcast::error::RecvError::Closed) => return Ok(()),
        };
        match &event {
            SessionEvent::Connected { .. } => has_connected = true,
            SessionEvent::Waiting { cause, .. } if !has_connected => {
                return Err(Failure::failed(
                    format!("cannot connect to {url}: {}", render::cause(cause)),
                    "Check the URL. To start a gateway: steadfast serve",
                ));
            }
            SessionEvent::Failed { cause } => {
                let what = format!("session with {url} failed: {}", render::cause(cause));
                return Err(Failure::failed(what, ""));
            }
            SessionEvent::Attempting { .. }
            | SessionEvent::Waiting { .. }
            | SessionEvent::Ready { .. }
            | SessionEvent::Lost { .. }
            | SessionEvent::Closed => {}
        }
        if let Some(text) = render::event(&event, client.now()) {
            output::message(&text);
        }
    }
}

async fn until_acknowledged(receipt: Option<Receipt>) -> Result<(), Failure> {
    let Some(receipt) = receipt else {
        return std::future::pending().await;
    };
    match receipt.await {
        PublishOutcome::Acknowledged { position, .. } => {
            output::message(&format!("acknowledged at offset {}", position.offset));
            Ok(())
        }
        other @ (PublishOutcome::Expired
        | PublishOutcome::Dropped(_)
        | PublishOutcome::Interrupted { .. }) => {
            Err(Failure::failed(render::publish_outcome(&other), ""))
        }
    }
}

struct InteractiveSession {
    client: Client,
    lines: mpsc::Sender<EventOutput>,
    /// The channel that was subscribed to last; a line that is not a command is published to it.
    channel: Option<String>,
    /// The tasks that read the subscriptions; aborting a task ends its subscription.
    subscriptions: BTreeMap<String, JoinHandle<()>>,
}

impl InteractiveSession {
    /// Executes input lines until `/quit`.
    async fn run(&mut self, has_input: bool) {
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        let mut has_input = has_input;
        loop {
            if !has_input {
                // After the end of input, events are printed until standard output is closed.
                return std::future::pending().await;
            }
            match lines.next_line().await {
                Ok(Some(line)) => match input::parse(&line, self.channel.as_deref()) {
                    Ok(InputCommand::Quit) => return,
                    Ok(command) => self.execute(command),
                    Err(help) => output::message(&help),
                },
                Ok(None) | Err(_) => has_input = false,
            }
        }
    }

    fn execute(&mut self, command: InputCommand) {
        match command {
            InputCommand::Nothing | InputCommand::Quit => {}
            InputCommand::Subscribe(channel) => self.subscribe(channel),
            InputCommand::Unsubscribe(channel) => match self.subscriptions.remove(&channel) {
                Some(task) => task.abort(),
                None => output::message(&format!("not subscribed to {channel}")),
            },
            InputCommand::Publish { channel, data } => match self.publish(&channel, &data) {
                Ok(receipt) => {
                    let lines = self.lines.clone();
                    tokio::spawn(async move {
                        // A closed queue means that the session ends.
                        let _ = lines
                            .send(EventOutput::publish_outcome(&channel, &receipt.await))
                            .await;
                    });
                }
                Err(error) => output::message(&error.to_string()),
            },
            InputCommand::Presence(channel) => {
                let (client, lines) = (self.client.clone(), self.lines.clone());
                tokio::spawn(async move {
                    let output = match client.presence(&channel).await {
                        Ok(clients) => EventOutput::presence(&channel, &clients),
                        Err(error) => EventOutput::call_error(&channel, &error),
                    };
                    let _ = lines.send(output).await;
                });
            }
            InputCommand::History(channel) => {
                let (client, lines) = (self.client.clone(), self.lines.clone());
                tokio::spawn(async move {
                    let output = match latest(&client, &channel).await {
                        Ok(history) => EventOutput::history(&channel, &history),
                        Err(error) => EventOutput::call_error(&channel, &error),
                    };
                    let _ = lines.send(output).await;
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
            while let Some(event) = subscription.next().await {
                if lines
                    .send(EventOutput::subscription(&name, &event))
                    .await
                    .is_err()
                {
                    return;
                }
            }
        });
        self.channel = Some(channel.clone());
        if let Some(earlier) = self.subscriptions.insert(channel, task) {
            earlier.abort();
        }
    }

    fn publish(&self, channel: &str, data: &str) -> Result<Receipt, RequestError> {
        self.client.publish(channel, &input::to_json(data))
    }
}

/// Fetches the last publications of a channel, oldest first.
async fn latest(client: &Client, channel: &str) -> Result<HistoryResult, CallError> {
    let newest = client.history(channel, 0, None).await?.position;
    let since = steadfast::Position {
        offset: newest.offset.saturating_sub(u64::from(HISTORY_LIMIT)),
        ..newest
    };
    client
        .history(channel, i32::from(HISTORY_LIMIT), Some(since))
        .await
}
