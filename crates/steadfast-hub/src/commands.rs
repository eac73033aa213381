//! Commands of a peer, except subscriptions (see `recovery`) and presence (see `presence`).
//!
//! A command that violates the protocol closes the connection; a valid command that cannot be granted is rejected with
//! an error. Commands of a peer with too many pending requests are queued until enough of the requests are completed.

use std::collections::VecDeque;

use bytes::Bytes;
use steadfast_engine::{
    Append, Page, Publisher, Read, ReadFrom, ReadResponse, Rejection, Request as EngineRequest,
    Response, RetentionClass,
};
use steadfast_machine::convert::saturating;
use steadfast_protocol::codes::{DecodeErrorAction, DisconnectCode, ErrorCode};
use steadfast_protocol::error::DecodeError;
use steadfast_protocol::idempotent::{self, IdempotentAck, IdempotentPublish};
use steadfast_protocol::message::{
    Command, ConnectRequest, ConnectResult, HistoryRequest, HistoryResult, PayloadKind, Position,
    PublishRequest, Reply, ReplyResult, Request, RpcRequest,
};

use crate::event::{Event, HubLimit};
use crate::hub::Hub;
use crate::io::{Access, Output, PeerId};
use crate::peer::PeerPhase;
use crate::pending_requests::{PublishForm, Purpose, publication, rejection_code};
use crate::policy::{AnonymousInfo, HubSettings};
use crate::rejections::RejectionCause;

impl Hub {
    /// Executes a command, or queues it while too many requests of the peer are pending.
    pub(crate) fn execute_or_queue(&mut self, id: PeerId, command: Result<Command, DecodeError>) {
        match self.peers.get_mut(id) {
            Some(peer) if peer.is_paused => peer.queued_commands.push_back(command),
            Some(_) => self.handle_command(id, command),
            None => {}
        }
    }

    /// Executes the commands that were queued while too many requests were pending, and resumes reading from the peer
    /// when the queue is empty.
    pub(crate) fn run_queued_commands(&mut self, id: PeerId) {
        let max = self.settings().pending_requests_per_peer_max;
        while let Some(peer) = self.peers.get_mut(id) {
            if peer.pending_weight >= max {
                return;
            }
            let Some(command) = peer.queued_commands.pop_front() else {
                peer.queued_commands = VecDeque::new();
                peer.is_paused = false;
                return self.emit(Output::ResumeReading { peer: id });
            };
            self.handle_command(id, command);
        }
    }

    fn handle_command(&mut self, id: PeerId, command: Result<Command, DecodeError>) {
        match (self.peers.get(id).map(|peer| peer.phase), command) {
            // A rejected connect invalidates the rest of its message and everything after it.
            (Some(PeerPhase::Rejected { .. }) | None, _) => {}
            (Some(PeerPhase::AwaitingConnect | PeerPhase::Connected { .. }), Err(error)) => {
                self.on_undecodable(id, &error);
            }
            (Some(PeerPhase::AwaitingConnect), Ok(command)) => self.on_first_command(id, command),
            (Some(PeerPhase::Connected { .. }), Ok(command)) => self.on_command(id, command),
        }
    }

    fn on_undecodable(&mut self, id: PeerId, error: &DecodeError) {
        let is_connected = self
            .peers
            .get(id)
            .is_some_and(|peer| matches!(peer.phase, PeerPhase::Connected { .. }));
        match DecodeErrorAction::for_decode_error(error) {
            DecodeErrorAction::Reject {
                id: command,
                error: code,
            } if is_connected => {
                let error = code.reply_with(error.to_string());
                self.send(
                    id,
                    Reply::Response {
                        id: command,
                        outcome: Err(error),
                    },
                );
            }
            DecodeErrorAction::Reject { .. } => self.close(id, DisconnectCode::BadRequest),
            DecodeErrorAction::Disconnect(code) => {
                self.close_with(id, code.code(), format!("{}: {error}", code.reason()));
            }
        }
    }

    fn on_first_command(&mut self, id: PeerId, command: Command) {
        match command.request {
            Request::Connect(request) if command.id > 0 => self.connect(id, command.id, &request),
            Request::Connect(_)
            | Request::Subscribe(_)
            | Request::Unsubscribe(_)
            | Request::Publish(_)
            | Request::Presence(_)
            | Request::PresenceStats(_)
            | Request::History(_)
            | Request::Ping
            | Request::Send(_)
            | Request::Rpc(_)
            | Request::Refresh(_)
            | Request::SubRefresh(_)
            | Request::Pong => self.close(id, DisconnectCode::BadRequest),
        }
    }

    fn connect(&mut self, id: PeerId, command: u32, request: &ConnectRequest) {
        if self.is_full() {
            self.record_rejection(RejectionCause::Limit(HubLimit::Sessions));
            let error = ErrorCode::TooManyRequests.reply_with(Self::full_message());
            self.send(
                id,
                Reply::Response {
                    id: command,
                    outcome: Err(error),
                },
            );
            let since = self.now;
            if let Some(peer) = self.peers.get_mut(id) {
                peer.phase = PeerPhase::Rejected { since };
            }
            return;
        }
        if !request.token.is_empty() {
            let reason = "invalid token: this gateway has no key to check tokens with";
            return self.close_with(id, DisconnectCode::InvalidToken.code(), reason.to_owned());
        }
        let (now, interval) = (self.now, self.settings().ping_interval);
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        match peer.access {
            Access::Anonymous => peer.connect(now, interval, &mut self.generator),
            Access::CredentialNeeded => {
                let reason = "bad request: a credential is needed, anonymous clients may connect from this machine only";
                return self.close_with(id, DisconnectCode::BadRequest.code(), reason.to_owned());
            }
        }
        let client = peer.client;
        self.sessions += 1;
        self.store_info(id, request.data.as_ref());
        let result = ConnectResult {
            client: client.to_string(),
            version: self.settings().server.clone(),
            ping: self.policy.ping_seconds(),
            pong: true,
            time: saturating(self.wall.as_millis()),
            ..ConnectResult::default()
        };
        self.reply_ok(id, command, ReplyResult::Connect(result));
        self.emit(Output::Notify(Event::PeerConnected { peer: id, client }));
    }

    /// Stores the client info of an anonymous client, if it is shown to others.
    fn store_info(&mut self, id: PeerId, data: Option<&Bytes>) {
        let Some(data) = data.filter(|_| self.settings().anonymous_info == AnonymousInfo::Shown)
        else {
            return;
        };
        if data.len() > HubSettings::CONN_INFO_BYTES_MAX || !data.starts_with(b"{") {
            return self.emit(Output::Notify(Event::InfoIgnored { peer: id }));
        }
        if let Some(peer) = self.peers.get_mut(id) {
            // A slice would keep the entire message in memory for the lifetime of the connection.
            peer.conn_info = Some(Bytes::copy_from_slice(data));
        }
    }

    fn on_command(&mut self, id: PeerId, command: Command) {
        let Command {
            id: number,
            request,
        } = command;
        let is_valid = match &request {
            Request::Send(_) | Request::Pong => true,
            Request::Connect(_) | Request::Ping => false,
            Request::Subscribe(_)
            | Request::Unsubscribe(_)
            | Request::Publish(_)
            | Request::Presence(_)
            | Request::PresenceStats(_)
            | Request::History(_)
            | Request::Rpc(_)
            | Request::Refresh(_)
            | Request::SubRefresh(_) => number > 0,
        };
        if !is_valid {
            return self.close(id, DisconnectCode::BadRequest);
        }
        match request {
            Request::Subscribe(request) => self.subscribe(id, number, &request),
            Request::Unsubscribe(request) => self.unsubscribe(id, number, &request.channel),
            Request::Publish(request) => self.publish(id, number, request),
            Request::Presence(request) => {
                self.query_presence(id, number, &request.channel, PRESENCE);
            }
            Request::PresenceStats(request) => {
                self.query_presence(id, number, &request.channel, PRESENCE_STATS);
            }
            Request::History(request) => self.history(id, number, &request),
            Request::Rpc(request) => self.rpc(id, number, &request),
            Request::Refresh(_) | Request::SubRefresh(_) => {
                self.reject(id, number, ErrorCode::NotAvailable);
            }
            Request::Pong => {
                let is_expected = self
                    .peers
                    .get_mut(id)
                    .is_some_and(crate::peer::Peer::accept_pong);
                if !is_expected {
                    self.close(id, DisconnectCode::BadRequest);
                }
            }
            // Messages without a channel have no receiver, and there is no reply that could report it.
            Request::Send(_) => self.emit(Output::Notify(Event::SendIgnored { peer: id })),
            Request::Connect(_) | Request::Ping => {}
        }
    }

    fn publish(&mut self, id: PeerId, command: u32, request: PublishRequest) {
        if request.kind != 0 {
            return self.reject(id, command, ErrorCode::NotAvailable);
        }
        let PublishRequest {
            channel,
            data,
            payload_kind,
            kind: _,
        } = request;
        let payload = Payload {
            kind: payload_kind,
            data,
        };
        self.append(id, command, PublishForm::Plain, &channel, payload, None);
    }

    fn rpc(&mut self, id: PeerId, command: u32, request: &RpcRequest) {
        if request.method != idempotent::METHOD {
            return self.reject(id, command, ErrorCode::NotAvailable);
        }
        match idempotent::decode_publish(&request.data, &self.settings().limits) {
            Ok(IdempotentPublish {
                channel,
                data,
                idempotency_key,
            }) => {
                let payload = Payload {
                    kind: idempotent::PAYLOAD_KIND,
                    data,
                };
                self.append(
                    id,
                    command,
                    PublishForm::Idempotent,
                    &channel,
                    payload,
                    Some(Bytes::from(idempotency_key)),
                );
            }
            Err(error) => {
                let code = ErrorCode::for_idempotent_publish_error(&error);
                let error = code.reply_with(error.to_string());
                self.send(
                    id,
                    Reply::Response {
                        id: command,
                        outcome: Err(error),
                    },
                );
            }
        }
    }

    fn append(
        &mut self,
        id: PeerId,
        command: u32,
        form: PublishForm,
        channel: &str,
        Payload { kind, data }: Payload,
        idempotency_key: Option<Bytes>,
    ) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        if channel.is_empty() || data.is_empty() {
            return self.reject(id, command, ErrorCode::BadRequest);
        }
        let publisher = Publisher {
            user: Bytes::new(),
            client: Bytes::from(peer.client.to_string()),
        };
        if !self.has_request_capacity() {
            return self.reject(id, command, ErrorCode::TooManyRequests);
        }
        let channel = self.channels.name(channel);
        self.send_request(
            Purpose::Publish {
                peer: id,
                command,
                form,
            },
            |request_id| {
                EngineRequest::Append(Append {
                    request_id,
                    channel,
                    data,
                    kind,
                    retention: RetentionClass::Kept,
                    publisher,
                    idempotency_key,
                })
            },
        );
    }

    /// Acknowledges a publication: its record is committed, and it has been delivered to every shard.
    pub(crate) fn on_published(
        &mut self,
        peer: PeerId,
        command: u32,
        form: PublishForm,
        response: &Response,
    ) {
        match (response, form) {
            (Response::Appended { .. }, PublishForm::Plain) => {
                self.reply_ok(peer, command, ReplyResult::Publish);
            }
            (
                Response::Appended {
                    epoch,
                    offset,
                    is_duplicate,
                },
                PublishForm::Idempotent,
            ) => {
                let ack = IdempotentAck {
                    epoch: epoch.to_string(),
                    offset: *offset,
                    duplicate: *is_duplicate,
                };
                let mut result = Vec::new();
                idempotent::append_ack(&mut result, &ack);
                self.reply_ok(peer, command, ReplyResult::Rpc(Bytes::from(result)));
            }
            (Response::Rejected(rejection), PublishForm::Plain | PublishForm::Idempotent) => {
                self.reject(peer, command, rejection_code(*rejection));
            }
            (Response::Read(_), PublishForm::Plain | PublishForm::Idempotent) => {
                unreachable!("the log responds to an append with its offset")
            }
        }
    }

    fn history(&mut self, id: PeerId, command: u32, request: &HistoryRequest) {
        let from = match read_from(request) {
            Ok(from) => from,
            Err(code) => return self.reject(id, command, code),
        };
        if request.channel.is_empty() {
            return self.reject(id, command, ErrorCode::BadRequest);
        }
        if !self.has_request_capacity() {
            return self.reject(id, command, ErrorCode::TooManyRequests);
        }
        let max = self.settings().history_publications_max;
        // -1, like any other negative number, requests the maximum.
        let limit = usize::try_from(request.limit).map_or(max, |limit| limit.min(max));
        let bytes_max = self.settings().recovery_bytes_max;
        let channel = self.channels.name(&request.channel);
        self.send_request(Purpose::History { peer: id, command }, |request_id| {
            EngineRequest::Read(Read {
                request_id,
                channel,
                from,
                limit,
                bytes_max,
            })
        });
    }

    pub(crate) fn on_history(
        &mut self,
        peer: PeerId,
        command: u32,
        response: Result<ReadResponse, Rejection>,
    ) {
        let response = match response {
            Ok(response) => response,
            Err(rejection) => return self.reject(peer, command, rejection_code(rejection)),
        };
        match response.page {
            Page::Unrecoverable => self.reject(peer, command, ErrorCode::UnrecoverablePosition),
            Page::Records { records, .. } => {
                let position = Position {
                    epoch: response.epoch.to_string(),
                    offset: response.high_watermark,
                };
                let publications = records.into_iter().map(publication).collect();
                self.reply_ok(
                    peer,
                    command,
                    ReplyResult::History(HistoryResult {
                        publications,
                        position,
                    }),
                );
            }
        }
    }
}

/// A payload as a command contains it.
struct Payload {
    kind: PayloadKind,
    data: Bytes,
}

const PRESENCE: crate::io::PresenceDetail = crate::io::PresenceDetail::Clients;
const PRESENCE_STATS: crate::io::PresenceDetail = crate::io::PresenceDetail::Counts;

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
