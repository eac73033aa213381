//! The session of `steadfast connect`: executes input lines, and knows which publications are not acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast::centrifuge::{CallError, Client, HistoryResult, SendResult, SubscribeOptions};
use steadfast::error::RequestError;
use steadfast::{SessionState, defaults};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::input::{self, InputCommand, Payload};
use super::render::{self, EventOutput};
use crate::args;
use crate::output;

/// Limit of `/history`, in publications.
const HISTORY_LIMIT: u32 = 20;
/// While so many requests have no result, no input is read: a pipe may have any number of lines.
const PENDING_MAX: usize = 256;
/// How long the end of the input waits for results: as long as a result may take on a connection that is open.
const RESULT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the end of the session waits for the last events of its subscriptions to be queued.
const EVENTS_TIMEOUT: Duration = Duration::from_secs(1);

/// Where the lines of the input come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InputKind {
    Terminal,
    /// A pipe or a file.
    Pipe,
    /// A device without lines, such as /dev/null: its end does not end the session.
    None,
}

/// The session of one command.
pub(super) struct Session {
    client: Client,
    lines: mpsc::Sender<EventOutput>,
    input: InputKind,
    /// The channel that was subscribed to last; a line that is not a command is published to it.
    channel: Option<String>,
    /// The tasks that read the subscriptions; aborting a task ends its subscription.
    subscriptions: BTreeMap<String, JoinHandle<()>>,
    /// Requests without a result.
    pending: JoinSet<RequestResult>,
    /// Publications that have no outcome yet, or another one than an acknowledgement.
    unacknowledged: usize,
    /// Input lines that were not executed, or whose call failed.
    rejected_lines: usize,
}

/// The result of a request to the gateway.
enum RequestResult {
    Publication {
        channel: String,
        outcome: SendResult,
    },
    /// What a call returned, or its error.
    Call(Result<EventOutput, EventOutput>),
}

impl Session {
    pub(super) fn new(client: Client, lines: mpsc::Sender<EventOutput>, input: InputKind) -> Self {
        Self {
            client,
            lines,
            input,
            channel: None,
            subscriptions: BTreeMap::new(),
            pending: JoinSet::new(),
            unacknowledged: 0,
            rejected_lines: 0,
        }
    }

    /// Publishes one message and waits for its outcome.
    ///
    /// # Errors
    ///
    /// Why it is not acknowledged.
    pub(super) async fn publish_once(
        &mut self,
        channel: &str,
        payload: &Payload,
    ) -> Result<(), String> {
        self.publish(channel, payload)
            .map_err(|error| error.to_string())?;
        match self.pending.join_next().await {
            Some(Ok(RequestResult::Publication { channel, outcome })) if outcome.is_err() => {
                self.unacknowledged -= 1;
                let reason = render::publish_outcome(&outcome);
                Err(format!("publication to {channel} {reason}"))
            }
            Some(Ok(result)) => {
                self.finish(result).await;
                Ok(())
            }
            Some(Err(_)) | None => Err("the task of the publication ended".to_owned()),
        }
    }

    /// Executes input lines until `/quit` or the end of the input, and then waits for acknowledgements.
    pub(super) async fn run(&mut self) {
        if self.input == InputKind::None {
            // Events are printed until a signal arrives or standard output is closed.
            return std::future::pending().await;
        }
        let mut lines = BufReader::new(tokio::io::stdin()).lines();
        loop {
            let may_read = self.pending.len() < PENDING_MAX;
            tokio::select! {
                line = lines.next_line(), if may_read => match line {
                    Ok(Some(line)) => match input::parse(&line, self.channel.as_deref()) {
                        Ok(InputCommand::Quit) => break,
                        Ok(command) => self.execute(command),
                        Err(problem) => self.reject_line(&problem),
                    },
                    Ok(None) => break,
                    Err(error) => {
                        self.reject_line(&format!("failed to read the input: {error}"));
                        break;
                    }
                },
                Some(Ok(result)) = self.pending.join_next() => self.finish(result).await,
            }
        }
        // Afterwards `problem` reports those that are still missing.
        let _ = timeout(RESULT_TIMEOUT, self.finish_all()).await;
    }

    async fn finish_all(&mut self) {
        while let Some(joined) = self.pending.join_next().await {
            if let Ok(result) = joined {
                self.finish(result).await;
            }
        }
    }

    /// Waits until the events of the subscriptions are queued, once the client is closed.
    pub(super) async fn finish_events(&mut self) {
        let all = async {
            for task in self.subscriptions.values_mut() {
                // An error means that the task was aborted.
                let _ = task.await;
            }
        };
        // Standard output may have stalled.
        let _ = timeout(EVENTS_TIMEOUT, all).await;
    }

    /// Returns what the command did not do, if there is anything.
    pub(super) fn problem(&self) -> Option<String> {
        match (self.unacknowledged, self.rejected_lines) {
            (0, 0) => None,
            (0, _) if self.input == InputKind::Terminal => None,
            (0, 1) => Some("1 input line was not executed".to_owned()),
            (0, count) => Some(format!("{count} input lines were not executed")),
            (1, _) => Some("1 publication was not acknowledged".to_owned()),
            (count, _) => Some(format!("{count} publications were not acknowledged")),
        }
    }

    fn reject_line(&mut self, problem: &str) {
        self.rejected_lines += 1;
        output::message(problem);
    }

    /// Prints and counts a result.
    async fn finish(&mut self, result: RequestResult) {
        let output = match result {
            RequestResult::Publication { channel, outcome } => {
                self.unacknowledged -= usize::from(outcome.is_ok());
                EventOutput::publish_outcome(&channel, &outcome)
            }
            RequestResult::Call(Ok(output)) => output,
            RequestResult::Call(Err(output)) => {
                self.rejected_lines += 1;
                output
            }
        };
        // A closed queue means that the session ends.
        let _ = self.lines.send(output).await;
    }

    fn execute(&mut self, command: InputCommand) {
        match command {
            InputCommand::Nothing | InputCommand::Quit => {}
            InputCommand::Help => output::message(args::CONNECT_INPUT_HELP),
            InputCommand::Subscribe(channel) => self.subscribe(channel),
            InputCommand::Unsubscribe(channel) => match self.subscriptions.remove(&channel) {
                Some(task) => task.abort(),
                None => self.reject_line(&format!("not subscribed to {channel}")),
            },
            InputCommand::Publish { channel, payload } => {
                if let Err(error) = self.publish(&channel, &payload) {
                    self.reject_line(&format!("not published: {error}"));
                }
            }
            InputCommand::Presence(channel) => {
                let client = self.client.clone();
                self.pending.spawn(async move {
                    let result = client.presence(&channel).await;
                    RequestResult::Call(match result {
                        Ok(clients) => Ok(EventOutput::presence(&channel, &clients)),
                        Err(error) => Err(EventOutput::call_error(&channel, &error)),
                    })
                });
            }
            InputCommand::History(channel) => {
                let client = self.client.clone();
                self.pending.spawn(async move {
                    let result = latest(&client, &channel).await;
                    RequestResult::Call(match result {
                        Ok(history) => Ok(EventOutput::history(&channel, &history)),
                        Err(error) => Err(EventOutput::call_error(&channel, &error)),
                    })
                });
            }
        }
    }

    pub(super) fn subscribe(&mut self, channel: String) {
        let mut subscription = self
            .client
            .subscribe_with(SubscribeOptions::new(&channel, defaults::BUFFER_LEN_MAX).join_leave());
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

    fn publish(&mut self, channel: &str, payload: &Payload) -> Result<(), RequestError> {
        let receipt = self.client.publish(channel, &payload.json)?;
        let is_connected = self.client.state().borrow().state == SessionState::Connected;
        if self.input == InputKind::Terminal && !is_connected {
            output::message(&format!("not connected; queued for {channel}"));
        }
        let channel = channel.to_owned();
        self.unacknowledged += 1;
        self.pending.spawn(async move {
            let outcome = receipt.await;
            RequestResult::Publication { channel, outcome }
        });
        Ok(())
    }
}

/// Fetches the last publications of a channel, oldest first.
async fn latest(client: &Client, channel: &str) -> Result<HistoryResult, CallError> {
    let newest_first = client.history(channel).limit(HISTORY_LIMIT).reverse();
    let mut history = newest_first.fetch().await?;
    history.publications.reverse();
    Ok(history)
}
