//! A client whose connections come back.

pub mod clock;
pub mod connector;
pub mod endpoint;
pub mod transport;
