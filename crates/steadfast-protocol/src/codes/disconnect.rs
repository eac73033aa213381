//! The disconnect codes: 3000 to 3014 with the advice to reconnect, 3500 to 3509 without.
//!
//! They are sent in a WebSocket close frame, or as a push on transports that have no close codes.

use super::Advice;

/// The longest reason in bytes: a close frame's payload is at most 125 bytes (RFC 6455, 5.5), of which the code takes
/// two.
pub const REASON_BYTES_MAX: usize = 123;

super::table! {
    /// Why the server closes a connection.
    DisconnectCode: u16 {
        /// The connection was closed without a particular reason.
        ConnectionClosed = 3000, "connection closed";
        /// The server is shutting down.
        Shutdown = 3001, "shutdown";
        /// Internal error of the server.
        ServerError = 3004, "internal server error";
        /// The connection expired because its token was not replaced.
        ConnectionExpired = 3005, "connection expired";
        /// A server-side subscription expired.
        SubscriptionExpired = 3006, "subscription expired";
        /// Slow consumer: unsent data exceeded its size limit.
        Slow = 3008, "slow";
        /// Writing to the connection failed or timed out.
        WriteError = 3009, "write error";
        /// Publications after the position of a server-side subscription are missing.
        InsufficientState = 3010, "insufficient state";
        /// The server requests that the client reconnects.
        ForceReconnect = 3011, "force reconnect";
        /// The server received no data after its ping within the time limit.
        NoPong = 3012, "no pong";
        /// Too many requests, or the server is at a limit.
        TooManyRequests = 3013, "too many requests";
        /// The token and positions of the client are no longer valid.
        StateInvalidated = 3014, "state invalidated";
        /// The connection token is not valid.
        InvalidToken = 3500, "invalid token";
        /// The client violated the protocol, or has no credential although one is needed.
        BadRequest = 3501, "bad request";
        /// The client sent no connect command within the time limit.
        Stale = 3502, "stale";
        /// The server requests that the client does not reconnect.
        ForceDisconnect = 3503, "force disconnect";
        /// The user has too many connections.
        ConnectionLimit = 3504, "connection limit";
        /// The connection has too many channels.
        ChannelLimit = 3505, "channel limit";
        /// The transport does not support the protocol.
        InappropriateProtocol = 3506, "inappropriate protocol";
        /// The client has no permission for this operation.
        PermissionDenied = 3507, "permission denied";
        /// The feature is disabled or not implemented.
        NotAvailable = 3508, "not available";
        /// The client caused too many errors.
        TooManyErrors = 3509, "too many errors";
    }
}

impl DisconnectCode {
    /// Returns the action that the code advises a client to take.
    pub fn advice(self) -> Advice {
        Advice::for_disconnect(u32::from(self.code()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_contains_every_code_of_the_protocol() {
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
