//! The unsubscribe codes: why a single subscription ended.

use super::Advice;

super::table! {
    /// Why the server ends a subscription. The connection stays open.
    UnsubscribeCode: u32 {
        /// The client unsubscribed.
        Client = 0, "client unsubscribed";
        /// The connection was closed; used inside the server only.
        Disconnect = 1, "client disconnected";
        /// The server ended the subscription permanently.
        Server = 2000, "server unsubscribed";
        /// Publications after the position of the subscription are missing.
        Insufficient = 2500, "insufficient state";
        /// The subscription has expired.
        Expired = 2501, "subscription expired";
        /// The token and position of the subscription are no longer valid.
        StateInvalidated = 2502, "state invalidated";
    }
}

impl UnsubscribeCode {
    /// Returns the action that the code advises a client to take.
    pub fn advice(self) -> Advice {
        Advice::for_unsubscribe(self.code())
    }
}
