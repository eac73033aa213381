//! The first messages of a connection: the connect command, and the subscribe commands that share its message.

use steadfast_machine::Instant;
use steadfast_protocol::limits::Limits;
use steadfast_protocol::message::{ConnectRequest, Request};

use super::Session;

/// Subscribe commands share the message of the connect command up to this size; the others follow its reply.
const FIRST_MESSAGE_BYTES_MAX: usize = Limits::MESSAGE_BYTES / 2;

/// The assumed size of a subscribe command, without channel name and epoch.
const SUBSCRIBE_BYTES: usize = 1_024;

impl Session {
    /// The transport is open: the connect command and the subscribe commands are sent in one message.
    pub(super) fn greet(&mut self, now: Instant) {
        self.outgoing.clear();
        let settings = self.settings();
        let connect = ConnectRequest {
            token: settings.token.expose().to_owned(),
            data: settings.data.clone(),
            name: settings.name.clone(),
            ..ConnectRequest::default()
        };
        let mut length = connect.token.len() + connect.data.as_ref().map_or(0, bytes::Bytes::len);
        self.connect_command = self.outgoing.push(Request::Connect(connect));
        let can_subscribe = !self.link.is_draining();
        while can_subscribe && length < FIRST_MESSAGE_BYTES_MAX && self.send_next_subscribe(now) {
            length += SUBSCRIBE_BYTES;
        }
    }

    /// Returns whether there was a subscription to request.
    pub(super) fn send_next_subscribe(&mut self, now: Instant) -> bool {
        let id = self.outgoing.next_id();
        let request = self.subscriptions.subscribe_next(now, id);
        let found = request.is_some();
        self.send_request(request);
        found
    }

    pub(super) fn send_request(&mut self, request: Option<Request>) {
        let is_open = self.link.is_greeting() || self.link.is_connected();
        if let Some(request) = request.filter(|_| is_open) {
            self.outgoing.push(request);
        }
    }
}
