//! What happens to a message while the outbox is full.

/// What happens to a message while the outbox is full; see [`Builder::overflow`](crate::Builder::overflow).
///
/// ```
/// use steadfast::Overflow;
/// use steadfast::centrifuge::Client;
///
/// # fn build() -> Result<(), steadfast::error::BuildError> {
/// // Positions of vehicles: while the server is not available, only the newest are kept.
/// let builder = Client::builder("wss://example.org")?.overflow(Overflow::DropOldest);
/// # builder.build()?;
/// # Ok(())
/// # }
/// # build().unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// A handle waits for space, so that the application sends as fast as the server acknowledges; the methods that do not wait
    /// fail with [`RequestError::OutboxFull`](crate::error::RequestError::OutboxFull). The default, because nothing is lost
    /// and the memory is bounded.
    #[default]
    Wait,
    /// All methods fail, and none waits: for an application that has other means to reduce its load.
    Reject,
    /// The oldest messages that were not sent yet are dropped, as many as necessary; their outcome is
    /// [`SendError::OutboxFull`](crate::SendError::OutboxFull). For data of which only the newest matters.
    DropOldest,
}
