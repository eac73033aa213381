//! The connect command: who may open a session.

use bytes::Bytes;
use steadfast_machine::convert::saturating;
use steadfast_protocol::codes::{DisconnectCode, ErrorCode};
use steadfast_protocol::message::{ConnectRequest, ConnectResult, ReplyResult};

use crate::disconnect::{Disconnect, full_message};
use crate::event::{Event, HubLimit};
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
        self.connect(&mut shared.context);
        shared.sessions += 1;
        self.store_info(shared, request.data.as_ref());
        let context = &mut shared.context;
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
        Ok(())
    }

    /// Rejects the connect command of a peer that exceeds the capacity; the peer has a limited time to close.
    fn reject_full(&mut self, shared: &mut Shared, command: u32) {
        let context = &mut shared.context;
        context.record_rejection(RejectionCause::Limit(HubLimit::Sessions));
        let error = ErrorCode::TooManyRequests.reply_with(full_message());
        self.reject_with(context, command, error);
        self.phase = PeerPhase::Rejected { since: context.now };
    }

    /// Stores the client info of an anonymous client, if it is shown to others.
    fn store_info(&mut self, shared: &mut Shared, data: Option<&Bytes>) {
        let context = &mut shared.context;
        let is_shown = context.settings().anonymous_info == AnonymousInfo::Shown;
        let Some(data) = data.filter(|_| is_shown) else {
            return;
        };
        if data.len() > HubSettings::CONN_INFO_BYTES_MAX || !data.starts_with(b"{") {
            return context.notify(Event::InfoIgnored { peer: self.id });
        }
        // A slice would keep the entire message in memory for the lifetime of the connection.
        self.conn_info = Some(Bytes::copy_from_slice(data));
    }
}
