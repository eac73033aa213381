//! Maintains the picture: subscribes to the canvas's channel as an ordinary client, and saves the picture.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use steadfast::centrifuge::{
    Client, Item, Position, SubscribeOptions, Subscription, SubscriptionEvent,
};
use steadfast::error::BuildError;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::board::Board;
use super::live::LiveStats;
use super::{CHANNEL, painter};
use crate::output;

/// Publications per history request when the picture is rebuilt.
const HISTORY_PAGE: u32 = 300;
/// The delay before a failed history request is repeated.
const HISTORY_RETRY_DELAY: Duration = Duration::from_millis(500);
/// How often the number of clients is requested at least; a join or leave requests it immediately.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// The minimum time between two such requests: many clients join at the same time after a restart.
const COUNT_PAUSE: Duration = Duration::from_millis(50);
/// The name of this client in the list of participants.
const NAME: &str = "demo server";
/// The capacity of the subscription's queue.
const BUFFER_LEN_MAX: usize = 4_096;

/// The picture and the file in which it is saved.
#[derive(Debug)]
pub(super) struct Canvas {
    board: Arc<Mutex<Board>>,
    file: PathBuf,
}

impl Canvas {
    /// Starts with the saved picture, if there is one.
    pub(super) fn start(
        url: &str,
        file: PathBuf,
        stats: Arc<LiveStats>,
    ) -> Result<Self, BuildError> {
        let saved = fs::read(&file).ok();
        let saved = saved.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let board = saved
            .as_ref()
            .and_then(Board::from_json)
            .unwrap_or_else(Board::new);
        let since = board.position().clone();
        let board = Arc::new(Mutex::new(board));
        let (client, driver) = Client::builder(url)?
            .name("canvas")
            .data(&json!({ "name": NAME }))?
            .backoff(painter::BACKOFF)
            .build()?;
        tokio::spawn(driver);
        let subscription = client.subscribe_with(
            SubscribeOptions::new(CHANNEL, BUFFER_LEN_MAX)
                .since(since)
                .join_leave(),
        );
        let changed = Arc::new(Notify::new());
        tokio::spawn(replicate(
            client.clone(),
            subscription,
            Arc::clone(&board),
            Arc::clone(&stats),
            Arc::clone(&changed),
        ));
        tokio::spawn(count_clients(client, stats, changed));
        Ok(Self { board, file })
    }

    /// Returns the picture, once it has a position.
    pub(super) fn picture(&self) -> Option<Value> {
        let board = lock(&self.board);
        (!board.position().epoch.is_empty()).then(|| board.to_json())
    }

    /// Saves the picture for the next start. A temporary file is written and then renamed, so that the saved file is
    /// never incomplete.
    pub(super) fn save(&self) {
        let Some(picture) = self.picture() else {
            return;
        };
        let temporary = self.file.with_extension("new");
        let written = fs::write(&temporary, picture.to_string())
            .and_then(|()| fs::rename(&temporary, &self.file));
        if let Err(error) = written {
            output::message(&format!("failed to save the picture: {error}"));
        }
    }
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn replicate(
    client: Client,
    mut subscription: Subscription,
    board: Arc<Mutex<Board>>,
    stats: Arc<LiveStats>,
    members_changed: Arc<Notify>,
) {
    while let Some(event) = subscription.next().await {
        match event {
            SubscriptionEvent::Subscribed { position }
            | SubscriptionEvent::Resumed { position } => {
                lock(&board).set_epoch(&position.epoch);
                members_changed.notify_one();
            }
            SubscriptionEvent::Gap { to, .. } => rebuild(&client, &board, &to).await,
            SubscriptionEvent::Item(Item::Publication(publication)) => {
                stats.record_message();
                lock(&board).apply(&publication);
            }
            SubscriptionEvent::Item(Item::Join(_) | Item::Leave(_)) => {
                members_changed.notify_one();
            }
            SubscriptionEvent::Unsubscribed(cause) => {
                output::message(&format!("the subscription to the canvas ended: {cause}"));
            }
            SubscriptionEvent::Item(_) | _ => {}
        }
    }
}

/// Rebuilds the picture from the gateway's history up to this position; later publications arrive on the subscription.
async fn rebuild(client: &Client, board: &Mutex<Board>, to: &Position) {
    let mut rebuilt = Board::new();
    rebuilt.reset(&to.epoch);
    while rebuilt.position().offset < to.offset {
        let since = rebuilt.position().clone();
        let history = client.history(CHANNEL).limit(HISTORY_PAGE).since(since);
        match history.fetch().await {
            // The history has no further publications: the picture shows what is left.
            Ok(page) if page.publications.is_empty() => break,
            Ok(page) => page.publications.iter().for_each(|it| rebuilt.apply(it)),
            Err(_) => sleep(HISTORY_RETRY_DELAY).await,
        }
    }
    *lock(board) = rebuilt;
}

async fn count_clients(client: Client, stats: Arc<LiveStats>, members_changed: Arc<Notify>) {
    loop {
        // An error is a timeout: joins and leaves can be missed when a shard of the gateway lags.
        let _ = timeout(COUNT_EVERY, members_changed.notified()).await;
        if let Ok(reply) = client.presence_stats(CHANNEL).await {
            stats.set_connections(reply.num_clients);
        }
        sleep(COUNT_PAUSE).await;
    }
}
