//! A query of the history of a channel before it is sent.

use steadfast_core::dialect::centrifuge::{Call, CallError, Response};
use steadfast_machine::convert;
use steadfast_protocol::message::{HistoryResult, Position};

use super::Client;

/// A query of the history with its options; see [`Client::history`].
///
/// ```no_run
/// # async fn run(client: steadfast::centrifuge::Client) -> Result<(), Box<dyn std::error::Error>> {
/// // All publications, page by page.
/// let mut page = client.history("orders").fetch().await?;
/// while let Some(last) = page.publications.last() {
///     let read_up_to = last.offset;
///     let mut position = page.position;
///     position.offset = read_up_to;
///     page = client.history("orders").since(position).fetch().await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a query is sent by `fetch`"]
pub struct History<'a> {
    client: &'a Client,
    channel: &'a str,
    limit: Option<u32>,
    since: Option<Position>,
    reverse: bool,
}

impl<'a> History<'a> {
    pub(crate) const fn new(client: &'a Client, channel: &'a str) -> Self {
        Self {
            client,
            channel,
            limit: None,
            since: None,
            reverse: false,
        }
    }

    /// Sets the maximum number of publications; by default, and above it, the server's maximum. With 0 the result has the
    /// position of the channel only.
    pub const fn limit(mut self, publications: u32) -> Self {
        self.limit = Some(publications);
        self
    }

    /// Requests the publications after this position, or before it if [`Self::reverse`] is called: nothing is before the
    /// offset 0, which the gateway rejects then. By default, those of the whole history.
    pub fn since(mut self, position: Position) -> Self {
        self.since = Some(position);
        self
    }

    /// Requests the newest publications first; by default, the oldest are first.
    pub const fn reverse(mut self) -> Self {
        self.reverse = true;
        self
    }

    /// Sends the query and waits for its result. The query is sent again if the connection is lost before its reply.
    ///
    /// Dropping the future withdraws the query: if it was not sent yet, it is never executed.
    ///
    /// # Errors
    ///
    /// Why the call failed.
    pub async fn fetch(self) -> Result<HistoryResult, CallError> {
        let call = Call::History {
            channel: self.channel.to_owned(),
            limit: self.limit.map_or(SERVER_MAXIMUM, convert::saturating),
            since: self.since,
            reverse: self.reverse,
        };
        let Response::History(result) = self.client.call(call).await? else {
            return Err(CallError::UnexpectedReply);
        };
        Ok(result)
    }
}

/// The limit that requests as many publications as the server returns at most.
const SERVER_MAXIMUM: i32 = -1;
