//! The close codes of WebSocket itself: 1000 to 1015.
//!
//! They are defined by RFC 6455, section 7.4.1, and by the registry of close codes that the RFC established.

use super::Advice;

super::table! {
    /// Why a WebSocket connection is closed, as WebSocket itself defines it.
    CloseCode: u16 {
        /// The connection has fulfilled its purpose.
        Normal = 1000, "normal closure";
        /// The endpoint is going away: a server stops, or a browser leaves the page.
        GoingAway = 1001, "going away";
        /// The peer violated the WebSocket protocol.
        ProtocolError = 1002, "protocol error";
        /// The endpoint does not support this type of data.
        UnsupportedData = 1003, "unsupported data";
        /// Never sent: the close frame had no code.
        NoStatus = 1005, "no status received";
        /// Never sent: the connection ended without a close frame.
        Abnormal = 1006, "abnormal closure";
        /// A text message is not UTF-8.
        InvalidPayload = 1007, "invalid payload data";
        /// The message violates a policy of the receiver. Not used for overload: clients may treat it as permanent.
        PolicyViolation = 1008, "policy violation";
        /// The message is larger than the receiver accepts.
        MessageTooBig = 1009, "message size limit exceeded";
        /// The server did not negotiate an extension that the client requires.
        MandatoryExtension = 1010, "mandatory extension missing";
        /// The server failed.
        InternalError = 1011, "internal error";
        /// The service is restarting.
        ServiceRestart = 1012, "service restart";
        /// The server is at capacity or not ready.
        TryAgainLater = 1013, "try again later";
        /// A proxy received an invalid response from its upstream server.
        BadGateway = 1014, "bad gateway";
        /// Never sent: the TLS handshake failed.
        TlsHandshake = 1015, "tls handshake failed";
    }
}

impl CloseCode {
    /// Returns the action that the code advises a client to take.
    pub fn advice(self) -> Advice {
        Advice::for_disconnect(u32::from(self.code()))
    }

    /// Returns `true` for codes that are only reported locally and must not be sent in a close frame.
    pub const fn is_local_only(self) -> bool {
        matches!(self, Self::NoStatus | Self::Abnormal | Self::TlsHandshake)
    }
}
