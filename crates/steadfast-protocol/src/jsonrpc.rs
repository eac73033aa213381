//! Messages of JSON-RPC 2.0 (<https://www.jsonrpc.org/specification>), as a client writes and reads them.
//!
//! A client numbers its requests, and a peer repeats the number in its response. Some peers return a number as a string
//! or with a fraction of zero, so each of these forms is accepted. Params, results and error data are raw JSON: they are
//! checked for their syntax and not parsed further.

mod id_scanner;
mod incoming;
mod request;
mod shape;
mod written;

pub use id_scanner::{ID_BYTES_MAX, IdScanner};
pub use incoming::{
    DecodeError, ErrorObject, Incoming, ResponseId, collection_of, decode, subscription_item,
};
pub use request::{IdForm, append_error, append_request, append_string};

/// Codes of errors that the specification defines.
pub mod codes {
    /// The peer received no valid JSON.
    pub const PARSE_ERROR: i64 = -32_700;
    /// The JSON is no valid request.
    pub const INVALID_REQUEST: i64 = -32_600;
    /// The method does not exist.
    pub const METHOD_NOT_FOUND: i64 = -32_601;
    /// The params do not fit the method.
    pub const INVALID_PARAMS: i64 = -32_602;
    /// An error inside the peer.
    pub const INTERNAL_ERROR: i64 = -32_603;
}
