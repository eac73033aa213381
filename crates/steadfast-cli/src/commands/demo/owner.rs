//! The owner of the canvas: follows its channel as an ordinary client and keeps the picture with its position.

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use steadfast::error::BuildError;
use steadfast::{Client, Position, SubscribeOptions, Subscription, SubscriptionEvent};

use super::CHANNEL;
use super::board::Board;
use super::live::Live;
use crate::output;

/// Publications asked for at a time when the picture is made anew.
const PAGE: i32 = 300;
/// The pause before a page is asked for again that did not come.
const PAGE_AGAIN_AFTER: Duration = Duration::from_millis(500);
/// How often the gateway is asked how many are there.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// What the queue of the subscription may hold.
const BUFFER_LEN_MAX: usize = 4_096;

/// The canvas.
#[derive(Debug)]
pub(super) struct Canvas {
    board: Arc<Mutex<Board>>,
    file: PathBuf,
}

impl Canvas {
    /// Begins with the picture that was kept, if there is one.
    pub(super) fn start(url: &str, file: PathBuf, live: Arc<Live>) -> Result<Self, BuildError> {
        let kept = fs::read(&file).ok();
        let kept = kept.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        let board = kept
            .as_ref()
            .and_then(Board::from_json)
            .unwrap_or_else(Board::new);
        let since = board.position().clone();
        let board = Arc::new(Mutex::new(board));
        let (client, driver) = Client::builder(url)?.name("canvas").build()?;
        tokio::spawn(driver);
        let subscription = client.subscribe_with(SubscribeOptions {
            channel: CHANNEL.to_owned(),
            since: Some(since),
            join_leave: false,
            buffer_len_max: BUFFER_LEN_MAX,
        });
        tokio::spawn(follow(
            client.clone(),
            subscription,
            Arc::clone(&board),
            Arc::clone(&live),
        ));
        tokio::spawn(count(client, live));
        Ok(Self { board, file })
    }

    /// The picture, once it has a position.
    pub(super) fn picture(&self) -> Option<Value> {
        let board = lock(&self.board);
        (!board.position().epoch.is_empty()).then(|| board.to_json())
    }

    /// Keeps the picture over a restart. Written beside and renamed, so that there is always a whole one.
    pub(super) fn save(&self) {
        let Some(picture) = self.picture() else {
            return;
        };
        let beside = self.file.with_extension("new");
        let written =
            fs::write(&beside, picture.to_string()).and_then(|()| fs::rename(&beside, &self.file));
        if let Err(error) = written {
            output::message(&format!("the picture cannot be kept: {error}"));
        }
    }
}

fn lock(board: &Mutex<Board>) -> MutexGuard<'_, Board> {
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow(
    client: Client,
    mut subscription: Subscription,
    board: Arc<Mutex<Board>>,
    live: Arc<Live>,
) {
    while let Some(feed) = subscription.next().await {
        match feed {
            SubscriptionEvent::Subscribed { position }
            | SubscriptionEvent::Resumed { position } => {
                lock(&board).follow(&position.epoch);
            }
            SubscriptionEvent::Gap { to, .. } => rebuild(&client, &board, &to).await,
            SubscriptionEvent::Publication(publication) => {
                live.saw_message();
                lock(&board).apply(&publication);
            }
            SubscriptionEvent::Join(_) | SubscriptionEvent::Leave(_) => {}
            SubscriptionEvent::Unsubscribed { code, reason } => {
                output::message(&format!("the canvas was taken away: {code} {reason}"));
            }
        }
    }
}

/// Makes the picture anew from what the gateway still has, up to this position; what follows comes as items.
async fn rebuild(client: &Client, board: &Mutex<Board>, to: &Position) {
    let mut fresh = Board::new();
    fresh.reset(&to.epoch);
    while fresh.position().offset < to.offset {
        let since = fresh.position().clone();
        match client.history(CHANNEL, PAGE, Some(since)).await {
            // The beginning is gone, or nothing is left: what there is counts.
            Ok(page) if page.publications.is_empty() => break,
            Ok(page) => page.publications.iter().for_each(|it| fresh.apply(it)),
            Err(_) => tokio::time::sleep(PAGE_AGAIN_AFTER).await,
        }
    }
    *lock(board) = fresh;
}

async fn count(client: Client, live: Arc<Live>) {
    loop {
        tokio::time::sleep(COUNT_EVERY).await;
        if let Ok(stats) = client.presence_stats(CHANNEL).await {
            live.counted(stats.num_clients);
        }
    }
}
