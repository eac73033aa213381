//! The first attempt of a client, and why it failed.

use std::time::Duration;

use steadfast::centrifuge::Builder;
use steadfast::{DialErrorKind, DialStage, DisconnectCause, SessionPhase, SessionState};
use tokio::time::timeout;

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) stage: DialStage,
    pub(crate) kind: DialErrorKind,
    pub(crate) text: String,
    /// Whether another attempt follows, and the delay from now until then.
    pub(crate) is_retried: bool,
    pub(crate) retry_in: Duration,
}

/// Returns when the transport of the first attempt is open, or why it failed.
pub(crate) async fn first_attempt(builder: Builder) -> Result<(), Failure> {
    let (client, driver) = builder.build().unwrap();
    let driver = tokio::spawn(driver);
    let mut state = client.state();
    let ended = state.wait_for(|it| it.phase == SessionPhase::Handshake || it.cause.is_some());
    let snapshot = timeout(Duration::from_secs(30), ended)
        .await
        .expect("the end of the attempt")
        .unwrap()
        .clone();
    driver.abort();
    match snapshot.cause {
        None => Ok(()),
        Some(DisconnectCause::Dial { stage, kind, text }) => Err(Failure {
            stage,
            kind,
            text,
            is_retried: snapshot.state == SessionState::Connecting,
            retry_in: snapshot
                .next_attempt_at
                .map(|at| at.saturating_since(client.now()))
                .unwrap_or_default(),
        }),
        Some(cause) => panic!("{cause:?}"),
    }
}
