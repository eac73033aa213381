//! The connect command: who may open a session.
//!
//! The hub decides at once, or something outside of it decides and takes its time. Until then the peer counts as a
//! session and is paused, so its further commands wait in the shell for the decision, in order: a client may send them
//! together with the connect command. The reference server for the protocol, Centrifuge, does the same: it handles the
//! commands of a connection one after the other, and the handler that decides is part of the connect command.

use std::time::Duration;

use bytes::Bytes;
use steadfast_machine::convert::saturating;
use steadfast_protocol::codes::{DisconnectCode, ErrorCode};
use steadfast_protocol::message::{ConnectRequest, ConnectResult, ReplyError, ReplyResult};

use crate::context::Context;
use crate::disconnect::{Disconnect, full_message};
use crate::event::{Event, HubLimit};
use crate::identity::Identity;
use crate::io::{Access, ConnectAttempt, ConnectDecision, Output};
use crate::peer::{Peer, PeerPhase};
use crate::pending::{Awaited, Caller, PendingEntry};
use crate::policy::{AnonymousInfo, ConnectDecider, HubSettings};
use crate::rejections::RejectionCause;
use crate::shared::Shared;

impl Peer {
    pub(super) fn on_connect(
        &mut self,
        shared: &mut Shared,
        command: u32,
        request: ConnectRequest,
    ) -> Result<(), Disconnect> {
        if shared.is_full() {
            self.reject_full(shared, command, HubLimit::Sessions);
            return Ok(());
        }
        match shared.context.settings().connect_decider {
            ConnectDecider::Hub => self.decide_connect(shared, command, &request),
            ConnectDecider::Outside { pending_max, .. }
                if shared.pending.decisions() >= pending_max =>
            {
                self.reject_full(shared, command, HubLimit::PendingDecisions);
                Ok(())
            }
            ConnectDecider::Outside { timeout, .. } => {
                self.request_decision(shared, command, request, timeout);
                Ok(())
            }
        }
    }

    /// Decides at once.
    fn decide_connect(
        &mut self,
        shared: &mut Shared,
        command: u32,
        request: &ConnectRequest,
    ) -> Result<(), Disconnect> {
        if !request.token.is_empty() {
            let reason = "invalid token: this gateway has no key to check tokens with";
            let code = DisconnectCode::InvalidToken;
            return Err(Disconnect::new(code, reason.to_owned()));
        }
        if self.access == Access::CredentialNeeded {
            let reason = "bad request: a credential is needed; client.anonymous = \"all\" accepts clients of other machines";
            let code = DisconnectCode::BadRequest;
            return Err(Disconnect::new(code, reason.to_owned()));
        }
        let info = self.anonymous_info(&mut shared.context, request.data.as_ref());
        let user = String::new();
        shared.sessions += 1;
        self.open_session(shared, command, Identity { user, info });
        Ok(())
    }

    /// Lets something outside of the hub decide. Until then, the peer is paused: the decision takes the whole limit of
    /// what may be pending for it.
    fn request_decision(
        &mut self,
        shared: &mut Shared,
        command: u32,
        request: ConnectRequest,
        timeout: Duration,
    ) {
        let context = &mut shared.context;
        let weight = context.settings().pending_requests_per_peer_max;
        let number = shared.pending.add(PendingEntry {
            caller: Caller::Peer {
                peer: self.id,
                command,
            },
            weight,
            bytes: 0,
            deadline: Some(context.now + timeout),
            awaited: Awaited::ConnectDecision,
        });
        let attempt = Box::new(ConnectAttempt {
            client: self.client,
            access: self.access,
            request,
        });
        context.emit(Output::Decide { number, attempt });
        self.phase = PeerPhase::AwaitingDecision;
        shared.sessions += 1;
        self.reserve(context, weight);
    }

    /// Handles a decision about the peer's connect command.
    pub(crate) fn on_decided(
        &mut self,
        shared: &mut Shared,
        command: u32,
        decision: ConnectDecision,
    ) -> Result<(), Disconnect> {
        match decision {
            ConnectDecision::Accept(identity) => self.open_session(shared, command, identity),
            ConnectDecision::Reject(code) => self.reject_connect(shared, command, code.reply()),
            ConnectDecision::Disconnect(code) => return Err(code.into()),
        }
        Ok(())
    }

    /// Rejects a connect command whose decision did not arrive in time, with a temporary error.
    pub(crate) fn on_decision_timeout(&mut self, shared: &mut Shared, command: u32) {
        let cause = RejectionCause::DecisionTimeout;
        shared.context.record_rejection(cause);
        self.reject_connect(shared, command, ErrorCode::Internal.reply());
    }

    /// Opens a session and replies to the connect command.
    fn open_session(&mut self, shared: &mut Shared, command: u32, identity: Identity) {
        let context = &mut shared.context;
        self.connect(context, identity);
        let result = ConnectResult {
            client: self.client.to_string(),
            version: context.settings().server.clone(),
            ping: context.policy.ping_seconds(),
            pong: true,
            time: saturating(context.wall.as_millis()),
            ..ConnectResult::default()
        };
        self.reply(context, command, ReplyResult::Connect(result));
        context.notify(Event::PeerConnected {
            peer: self.id,
            client: self.client,
        });
    }

    /// Rejects the connect command of a peer that exceeds the capacity.
    fn reject_full(&mut self, shared: &mut Shared, command: u32, limit: HubLimit) {
        let cause = RejectionCause::Limit(limit);
        shared.context.record_rejection(cause);
        let error = ErrorCode::TooManyRequests.reply_with(full_message());
        self.reject_connect(shared, command, error);
    }

    /// Rejects the connect command; the peer has a limited time to close.
    pub(super) fn reject_connect(&mut self, shared: &mut Shared, command: u32, error: ReplyError) {
        if self.has_session() {
            shared.sessions -= 1;
        }
        let since = shared.context.now;
        self.phase = PeerPhase::Rejected { since };
        self.reject_with(&mut shared.context, command, error);
    }

    /// The client info of an anonymous client, if it is shown to others.
    fn anonymous_info(&self, context: &mut Context, data: Option<&Bytes>) -> Option<Bytes> {
        let is_shown = context.settings().anonymous_info == AnonymousInfo::Shown;
        let data = data.filter(|_| is_shown)?;
        if data.len() > HubSettings::CONN_INFO_BYTES_MAX || !data.starts_with(b"{") {
            context.notify(Event::InfoIgnored { peer: self.id });
            return None;
        }
        // A slice would keep the entire message in memory for the lifetime of the connection.
        Some(Bytes::copy_from_slice(data))
    }
}
