//! The members of a message, borrowed from its bytes.

use crate::codec::json::{Payload, Text, shape};

shape! {
    /// All members that a message can have; others are ignored, also `jsonrpc`, which some peers omit.
    Message<'a> {
        "id" => id: Payload<'a>,
        "method" => method: Text<'a>,
        "params" => params: Payload<'a>,
        "result" => result: Payload<'a>,
        "error" => error: Option<ErrorShape<'a>>,
    }
}

shape! {
    /// The error of a response. Peers omit members that the specification requires.
    ErrorShape<'a> {
        "code" => code: i64,
        "message" => message: Text<'a>,
        "data" => data: Payload<'a>,
    }
}

shape! {
    /// The params of a notification about a collection.
    CollectionShape<'a> {
        "collection" => collection: Text<'a>,
        "error" => error: Payload<'a>,
    }
}

shape! {
    /// The params of a notification of a subscription.
    ItemShape<'a> {
        "subscription" => subscription: Payload<'a>,
        "result" => result: Payload<'a>,
    }
}
