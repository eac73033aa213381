//! The close codes of WebSocket itself: 1000 to 1015.
//!
//! RFC 6455, section 7.4.1, and the registry of close codes that it opened.

use super::Advice;

super::table! {
    /// Why a WebSocket connection ends, in the words of WebSocket itself.
    CloseCode: u16 {
        /// The purpose is fulfilled.
        Normal = 1000, "normal closure";
        /// The endpoint goes away.
        GoingAway = 1001, "going away";
        /// The peer broke the framing rules.
        ProtocolError = 1002, "protocol error";
        /// The endpoint cannot take this type of data.
        UnsupportedData = 1003, "unsupported data";
        /// Never sent: the close frame had no code.
        NoStatus = 1005, "no status received";
        /// Never sent: the connection ended without a close frame.
        Abnormal = 1006, "abnormal closure";
        /// Text that is not UTF-8.
        InvalidPayload = 1007, "invalid payload data";
        /// A rule other than the protocol's was broken. Not used for overload: clients may take it as final.
        PolicyViolation = 1008, "policy violation";
        /// The message is larger than the receiver accepts.
        MessageTooBig = 1009, "message size limit exceeded";
        /// The client misses an extension that it needs.
        MandatoryExtension = 1010, "mandatory extension missing";
        /// The server failed.
        InternalError = 1011, "internal error";
        /// The service restarts.
        ServiceRestart = 1012, "service restart";
        /// The server is full or not ready; come back later.
        TryAgainLater = 1013, "try again later";
        /// A gateway got no valid answer from behind it.
        BadGateway = 1014, "bad gateway";
        /// Never sent: the TLS handshake failed.
        TlsHandshake = 1015, "tls handshake failed";
    }
}

impl CloseCode {
    /// What a client does about it.
    pub fn advice(self) -> Advice {
        Advice::for_disconnect(u32::from(self.code()))
    }

    /// True for the codes that only report what happened and must not stand in a close frame.
    pub const fn is_local_only(self) -> bool {
        matches!(self, Self::NoStatus | Self::Abnormal | Self::TlsHandshake)
    }
}
