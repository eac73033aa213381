//! The disconnect codes: 3000 to 3014 with the advice to come back, 3500 to 3509 without.
//!
//! They travel in a WebSocket close frame, or as a push on transports that have no close codes.

use super::Advice;

/// The longest reason in bytes: a close frame's payload is at most 125 bytes (RFC 6455, 5.5), two hold the code.
pub const REASON_BYTES_MAX: usize = 123;

super::table! {
    /// Why the server ends a connection.
    DisconnectCode: u16 {
        /// The connection was closed without a particular reason.
        ConnectionClosed = 3000, "connection closed";
        /// The server is going away.
        Shutdown = 3001, "shutdown";
        /// The server failed.
        ServerError = 3004, "internal server error";
        /// The connection's time is over and its token was not renewed.
        ConnectionExpired = 3005, "connection expired";
        /// The time of a server-side subscription is over.
        SubscriptionExpired = 3006, "subscription expired";
        /// The client takes less than it is sent.
        Slow = 3008, "slow";
        /// Writing to the connection failed.
        WriteError = 3009, "write error";
        /// A server-side subscription has a hole behind its position.
        InsufficientState = 3010, "insufficient state";
        /// The server wants the client to connect anew.
        ForceReconnect = 3011, "force reconnect";
        /// Nothing came back after a ping.
        NoPong = 3012, "no pong";
        /// Too much is asked at the moment.
        TooManyRequests = 3013, "too many requests";
        /// Token and positions of the client are no longer valid.
        StateInvalidated = 3014, "state invalidated";
        /// The connection token is not valid.
        InvalidToken = 3500, "invalid token";
        /// The client broke the protocol.
        BadRequest = 3501, "bad request";
        /// No connect command ever arrived.
        Stale = 3502, "stale";
        /// The server wants the client gone.
        ForceDisconnect = 3503, "force disconnect";
        /// The user has too many connections.
        ConnectionLimit = 3504, "connection limit";
        /// The connection has too many channels.
        ChannelLimit = 3505, "channel limit";
        /// The transport does not fit the protocol.
        InappropriateProtocol = 3506, "inappropriate protocol";
        /// The client may not do this.
        PermissionDenied = 3507, "permission denied";
        /// The feature is switched off or does not exist here.
        NotAvailable = 3508, "not available";
        /// The client caused too many errors.
        TooManyErrors = 3509, "too many errors";
    }
}

impl DisconnectCode {
    /// What a client does about it.
    pub fn advice(self) -> Advice {
        Advice::for_disconnect(u32::from(self.code()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_every_code_of_the_protocol() {
        let codes: Vec<u16> = DisconnectCode::ALL.iter().map(|row| row.code()).collect();

        assert_eq!(
            codes,
            [
                3000, 3001, 3004, 3005, 3006, 3008, 3009, 3010, 3011, 3012, 3013, 3014, 3500, 3501,
                3502, 3503, 3504, 3505, 3506, 3507, 3508, 3509
            ]
        );
    }
}
