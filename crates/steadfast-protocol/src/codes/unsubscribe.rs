//! The unsubscribe codes: why a single subscription ended.

use super::Advice;

super::table! {
    /// Why the server ends a subscription. The connection goes on.
    UnsubscribeCode: u32 {
        /// The client asked for it.
        Client = 0, "client unsubscribed";
        /// The connection ended; used inside the server only.
        Disconnect = 1, "client disconnected";
        /// The server ended it for good.
        Server = 2000, "server unsubscribed";
        /// The subscription has a hole behind its position.
        Insufficient = 2500, "insufficient state";
        /// The subscription's time is over.
        Expired = 2501, "subscription expired";
        /// Token and position of the subscription are no longer valid.
        StateInvalidated = 2502, "state invalidated";
    }
}

impl UnsubscribeCode {
    /// What a client does about it.
    pub fn advice(self) -> Advice {
        Advice::for_unsubscribe(self.code())
    }
}
