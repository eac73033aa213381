//! The connect command: who may open a session.

use bytes::Bytes;
use steadfast_machine::convert::saturating;
use steadfast_protocol::codes::{DisconnectCode, ErrorCode};
use steadfast_protocol::message::{ConnectRequest, ConnectResult, ReplyResult};

use crate::context::Context;
use crate::disconnect::{Disconnect, full_message};
use crate::event::{Event, HubLimit};
use crate::identity::Identity;
use crate::io::Access;
use crate::peer::{Peer, PeerPhase};
use crate::policy::{AnonymousInfo, HubSettings};
use crate::rejections::RejectionCause;
use crate::shared::Shared;

impl Peer {
    pub(super) fn on_connect(
        &mut self,
        shared: &mut Shared,
        command: u32,
        request: &ConnectRequest,
    ) -> Result<(), Disconnect> {
        if shared.is_full() {
            self.reject_full(shared, command);
            return Ok(());
        }
        if !request.token.is_empty() {
            let reason = "invalid token: this gateway has no key to check tokens with";
            let code = DisconnectCode::InvalidToken;
            return Err(Disconnect::new(code, reason.to_owned()));
        }
        if self.access == Access::CredentialNeeded {
            let reason = "bad request: a credential is needed, anonymous clients may connect from this machine only";
            let code = DisconnectCode::BadRequest;
            return Err(Disconnect::new(code, reason.to_owned()));
        }
        let info = self.anonymous_info(&mut shared.context, request.data.as_ref());
        let user = String::new();
        self.open_session(shared, command, Identity { user, info });
        Ok(())
    }

    /// Opens a session and replies to the connect command.
    fn open_session(&mut self, shared: &mut Shared, command: u32, identity: Identity) {
        let context = &mut shared.context;
        self.connect(context, identity);
        shared.sessions += 1;
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

    /// Rejects the connect command of a peer that exceeds the capacity; the peer has a limited time to close.
    fn reject_full(&mut self, shared: &mut Shared, command: u32) {
        let context = &mut shared.context;
        context.record_rejection(RejectionCause::Limit(HubLimit::Sessions));
        let error = ErrorCode::TooManyRequests.reply_with(full_message());
        self.reject_with(context, command, error);
        self.phase = PeerPhase::Rejected { since: context.now };
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
