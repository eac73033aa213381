//! The history command: a page of publications in either direction.
//!
//! A page has as many publications as requested, up to limits of count and bytes. The reply says where the channel ends,
//! so a client that reads forward knows whether there is more, and continues after the last publication that it has.

use steadfast_engine::{Page, Read, ReadFrom, ReadResponse, Record, Rejection, Request};
use steadfast_protocol::codes::ErrorCode;
use steadfast_protocol::message::{HistoryRequest, HistoryResult, Position, ReplyResult};

use crate::context::Context;
use crate::from_engine::{is_sendable, publication, rejection_code};
use crate::peer::Peer;
use crate::peer::channel_order::Effect;
use crate::pending::{Caller, Purpose};
use crate::shared::Shared;

impl Peer {
    pub(super) fn history(&mut self, shared: &mut Shared, command: u32, request: &HistoryRequest) {
        let from = match read_from(request) {
            Ok(from) => from,
            Err(code) => return self.reject(&mut shared.context, command, code),
        };
        if !shared.has_request_capacity(0) {
            return self.reject(&mut shared.context, command, ErrorCode::TooManyRequests);
        }
        let settings = shared.context.settings();
        let max = settings.history_publications_max;
        // -1, like any other negative number, requests the maximum.
        let limit = usize::try_from(request.limit).map_or(max, |limit| limit.min(max));
        let bytes_max = settings.history_bytes_max();
        let channel = shared.channels.name(&request.channel);
        let caller = Caller::Peer {
            peer: self.id,
            command,
        };
        let order = self.channel_order_mut();
        order.begin(Effect::ReadHistory, &channel);
        let purpose = Purpose::History {
            channel: channel.clone(),
        };
        let weight = shared.request(caller, purpose, 0, |request_id| {
            Request::Read(Read {
                request_id,
                channel,
                from,
                limit,
                bytes_max,
            })
        });
        self.reserve(&mut shared.context, weight);
    }

    pub(crate) fn on_history(
        &self,
        shared: &mut Shared,
        command: u32,
        response: Result<ReadResponse, Rejection>,
    ) {
        let context = &mut shared.context;
        let response = match response {
            Ok(response) => response,
            Err(rejection) => return self.reject(context, command, rejection_code(rejection)),
        };
        match response.page {
            Page::Unrecoverable => self.reject(context, command, ErrorCode::UnrecoverablePosition),
            Page::Records { records, .. }
                if !records.iter().all(|it| is_sendable(context.settings(), it)) =>
            {
                let text = "a publication does not fit into a reply".to_owned();
                self.reject_with(context, command, ErrorCode::LimitExceeded.reply_with(text));
            }
            Page::Records { records, .. } if !self.has_space_for_history(context, &records) => {
                self.reject(context, command, ErrorCode::TooManyRequests);
            }
            Page::Records { records, .. } => {
                let result = HistoryResult {
                    publications: records.into_iter().map(publication).collect(),
                    position: Position {
                        epoch: response.epoch.to_string(),
                        offset: response.high_watermark,
                    },
                };
                self.reply(context, command, ReplyResult::History(result));
            }
        }
    }

    /// Whether a history fits into the send buffer. If not, the client does not read fast enough for all that it has
    /// requested, and would be closed as a slow consumer.
    fn has_space_for_history(&self, context: &Context, records: &[Record]) -> bool {
        let max = context.settings().send_buffer_bytes_max;
        let bytes: usize = records.iter().map(|record| record.data.len()).sum();
        let buffered = self.send_buffer.map_or(0, |buffer| buffer.bytes());
        buffered == 0 || buffered.saturating_add(bytes) <= max
    }
}

/// Where a history command begins to read.
fn read_from(request: &HistoryRequest) -> Result<ReadFrom, ErrorCode> {
    let Some(since) = &request.since else {
        return Ok(if request.reverse {
            ReadFrom::Newest
        } else {
            ReadFrom::Oldest
        });
    };
    if request.reverse && since.offset == 0 {
        return Err(ErrorCode::BadRequest);
    }
    let epoch = since
        .epoch
        .parse()
        .map_err(|_invalid| ErrorCode::UnrecoverablePosition)?;
    Ok(if request.reverse {
        ReadFrom::Before {
            epoch,
            offset: since.offset,
        }
    } else {
        ReadFrom::After {
            epoch,
            offset: since.offset,
        }
    })
}
