//! The session of `steadfast connect`: executes input lines, and knows which publications are not acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use steadfast::error::RequestError;
use steadfast::{
    CallError, Client, HistoryResult, PublishOutcome, SessionState, SubscribeOptions, defaults,
};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::input::{self, InputCommand, Payload};
use super::render::{self, EventOutput};
use crate::args;
use crate::output;

/// Limit of `/history`, in publications.
const HISTORY_LIMIT: u16 = 20;
/// While so many publications are not acknowledged, no input is read: a pipe may have any number of lines.
const UNACKNOWLEDGED_MAX: usize = 256;
/// How long the end of the input waits for acknowledgements: as long as an acknowledgement may take on a connection that
/// is open.
const ACKNOWLEDGE_TIMEOUT: Duration = Duration::from_secs(10);
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
    /// Publications without an outcome, each with its channel.
    publications: JoinSet<(String, PublishOutcome)>,
    /// Publications with another outcome than an acknowledgement.
    failed: usize,
    /// Input lines that were not executed.
    rejected_lines: usize,
}

impl Session {
    pub(super) fn new(client: Client, lines: mpsc::Sender<EventOutput>, input: InputKind) -> Self {
        Self {
            client,
            lines,
            input,
            channel: None,
            subscriptions: BTreeMap::new(),
            publications: JoinSet::new(),
            failed: 0,
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
        match self.publications.join_next().await {
            Some(Ok((_, outcome))) if !is_acknowledged(&outcome) => Err(format!(
                "publication to {channel} {}",
                render::publish_outcome(&outcome)
            )),
            Some(Ok((channel, outcome))) => {
                self.print(EventOutput::publish_outcome(&channel, &outcome))
                    .await;
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
            let may_read = self.publications.len() < UNACKNOWLEDGED_MAX;
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
                Some(Ok((channel, outcome))) = self.publications.join_next() => {
                    self.finish_publication(&channel, &outcome).await;
                }
            }
        }
        // Afterwards `problem` reports those that are still missing.
        let _ = timeout(ACKNOWLEDGE_TIMEOUT, self.all_outcomes()).await;
    }

    async fn all_outcomes(&mut self) {
        while let Some(joined) = self.publications.join_next().await {
            if let Ok((channel, outcome)) = joined {
                self.finish_publication(&channel, &outcome).await;
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
        let unacknowledged = self.publications.len() + self.failed;
        match (unacknowledged, self.rejected_lines) {
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

    async fn finish_publication(&mut self, channel: &str, outcome: &PublishOutcome) {
        if !is_acknowledged(outcome) {
            self.failed += 1;
        }
        self.print(EventOutput::publish_outcome(channel, outcome))
            .await;
    }

    /// Queues a line.
    async fn print(&self, output: EventOutput) {
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
                    self.failed += 1;
                    output::message(&format!("not published: {error}"));
                }
            }
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

    pub(super) fn subscribe(&mut self, channel: String) {
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

    fn publish(&mut self, channel: &str, payload: &Payload) -> Result<(), RequestError> {
        let receipt = self.client.publish(channel, &payload.json)?;
        let is_connected = self.client.state().borrow().state == SessionState::Connected;
        if self.input == InputKind::Terminal && !is_connected {
            output::message(&format!("not connected; queued for {channel}"));
        }
        let channel = channel.to_owned();
        self.publications
            .spawn(async move { (channel, receipt.await) });
        Ok(())
    }
}

const fn is_acknowledged(outcome: &PublishOutcome) -> bool {
    matches!(outcome, PublishOutcome::Acknowledged { .. })
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
