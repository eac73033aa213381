//! How an open connection ended without a close frame.

/// How a connection ended without a close frame.
///
/// ```
/// use steadfast_core::event::{ConnectionErrorKind, DisconnectCause};
///
/// /// Whether a device between client and server may have dropped its state, as NAT tables do.
/// fn is_reset(cause: &DisconnectCause) -> bool {
///     let DisconnectCause::ConnectionFailed { kind, .. } = cause else {
///         return false;
///     };
///     *kind == ConnectionErrorKind::Reset
/// }
/// # assert!(!is_reset(&DisconnectCause::ConnectTimeout));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConnectionErrorKind {
    /// The peer closed the connection (FIN), or ended TLS without closing it: for example a process that was killed.
    EndOfStream,
    /// The peer, a device in between or this machine reset the connection (RST).
    Reset,
    /// The operating system gave up the connection because the peer acknowledged nothing for too long.
    TimedOut,
    /// Another error of the system, an invalid frame or message of the server, or the end of the client itself.
    Other,
}
