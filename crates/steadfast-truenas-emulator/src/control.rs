//! What a test can do to the emulator in addition to calling its API.

/// A request of a test; `docs/reference/truenas-emulator.md` lists the paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// Restarts the middleware: all connections end without a close frame, jobs and tokens are lost, job ids start at 1.
    Restart,
    /// Lets every session exceed its greatest age.
    ExpireSessions,
    /// Ends every connection with a session with code 1000 and no reason, as an administrator can.
    TerminateSessions,
    /// Ends every connection without a close frame.
    CutConnections,
    /// Executes the next call of this method without a reply, and then ends its connection without a close frame.
    LoseReply {
        /// The name of the method.
        method: String,
    },
    /// Executes no call until [`Control::ReleaseCalls`]: calls are admitted, rejected and counted as before.
    HoldCalls,
    /// Executes the calls that were held, in their order.
    ReleaseCalls,
    /// Lets the job of this method that ends next fail.
    FailJob {
        /// The name of the method.
        method: String,
    },
    /// Becomes the standby of a pair: logins return `REDIRECT` with this URL. Connections and their sessions stay.
    BecomeStandby {
        /// The URL of the other controller.
        url: String,
    },
    /// Becomes the active controller of a pair: logins are possible.
    BecomeActive,
    /// Ends all subscriptions to a collection with `notify_unsubscribed`.
    EndSubscriptions {
        /// The name of the collection.
        collection: String,
    },
}
