//! Which ends of connections a fault of a link explains: how the client noticed it must fit what the fault did.

use std::time::Duration;

use crate::ledger::event::LossCause;
use crate::scenario::model::{Block, BlockMode, LinkFault};
use crate::toxic::Directions;

/// How long a link may still end connections after it was restored. The peers notice it with their next heartbeat: the
/// gateway's usual ping interval and pong timeout, and a margin.
const HEARTBEAT_AFTEREFFECT: Duration = Duration::from_secs(35);

/// How long a client may take to report a reset that has arrived.
const RESET_AFTEREFFECT: Duration = Duration::from_secs(5);

/// How long the fault may still end connections after it was healed.
pub(super) const fn aftereffect(fault: &LinkFault) -> Duration {
    match fault {
        LinkFault::Reset => RESET_AFTEREFFECT,
        LinkFault::Block(_)
        | LinkFault::Down
        | LinkFault::Latency { .. }
        | LinkFault::Bandwidth { .. }
        | LinkFault::Freeze { .. }
        | LinkFault::Toxic(_) => HEARTBEAT_AFTEREFFECT,
    }
}

/// Whether a client can notice the fault in this way. After the heal the end that the other side decided in the meantime
/// arrives, so every way is possible.
pub(super) const fn explains(fault: &LinkFault, cause: LossCause, is_healed: bool) -> bool {
    match fault {
        LinkFault::Reset => is_reset(cause),
        _ if is_healed => true,
        LinkFault::Block(Block {
            mode: BlockMode::Drop,
            directions,
            ..
        })
        | LinkFault::Freeze { directions } => is_silence(cause) || is_open_to_client(*directions),
        LinkFault::Block(Block {
            mode: BlockMode::Reject,
            ..
        }) => is_reset(cause) || is_silence(cause),
        LinkFault::Down => is_silence(cause),
        // The server closes a slow consumer with a code of its own, which still arrives.
        LinkFault::Latency { .. } | LinkFault::Bandwidth { .. } | LinkFault::Toxic(_) => true,
    }
}

/// Nothing arrived. A library without causes of its own may report no more.
const fn is_silence(cause: LossCause) -> bool {
    matches!(cause, LossCause::Timeout | LossCause::Unknown)
}

/// The socket ended at once.
const fn is_reset(cause: LossCause) -> bool {
    matches!(cause, LossCause::Reset | LossCause::Unknown)
}

/// The server notices the silence first, and its close arrives: only the direction to the server is interrupted.
const fn is_open_to_client(directions: Directions) -> bool {
    matches!(directions, Directions::ToServer)
}
