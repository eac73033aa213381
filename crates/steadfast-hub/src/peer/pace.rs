//! How much of a recovery is sent to one peer at a time.
//!
//! SDKs give up on a subscribe command after a few seconds, however slow the link is. So the replies of a peer contain
//! few publications, and the rest follows as pushes, for which no client waits. Their pages become larger while the peer
//! accepts them quickly, and smaller while it takes long: what else the peer is sent waits for one page at most.

use std::time::Duration;

use steadfast_machine::Instant;

use crate::policy::HubSettings;

/// The time in which the replies of a peer share their limit: SDKs wait this long for a reply by default.
const REPLY_WINDOW: Duration = Duration::from_secs(5);
/// The next page is smaller if this one took longer.
const SLOW_PAGE: Duration = Duration::from_secs(1);
/// The next page is larger if this one took less time.
const QUICK_PAGE: Duration = Duration::from_millis(250);
/// The size of the first page, in sizes of a reply.
const FIRST_PAGE_REPLIES: usize = 4;

/// The pace of the recoveries of one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    /// The maximum number of payload bytes of the next page.
    page_bytes: usize,
    /// When the last page was sent, until the next one is requested.
    page_sent_at: Option<Instant>,
    /// Payload bytes in replies since `replies_since`.
    reply_bytes: usize,
    replies_since: Instant,
}

impl Pace {
    pub(super) const fn new(now: Instant, settings: &HubSettings) -> Self {
        Self {
            page_bytes: settings
                .recovery_reply_bytes_max
                .saturating_mul(FIRST_PAGE_REPLIES),
            page_sent_at: None,
            reply_bytes: 0,
            replies_since: now,
        }
    }

    /// Whether a reply may contain this many payload bytes; if so, they are counted.
    pub(crate) fn take_reply(
        &mut self,
        now: Instant,
        settings: &HubSettings,
        bytes: usize,
    ) -> bool {
        if now.saturating_since(self.replies_since) >= REPLY_WINDOW {
            self.replies_since = now;
            self.reply_bytes = 0;
        }
        let total = self.reply_bytes.saturating_add(bytes);
        let is_within = total <= settings.recovery_reply_bytes_max;
        if is_within {
            self.reply_bytes = total;
        }
        is_within
    }

    /// Records that a page was sent, after which another one follows.
    pub(crate) const fn record_page(&mut self, now: Instant) {
        self.page_sent_at = Some(now);
    }

    /// Returns the maximum number of payload bytes of the next page. The peer has accepted the page before.
    pub(crate) fn next_page(&mut self, now: Instant, settings: &HubSettings) -> usize {
        if let Some(sent_at) = self.page_sent_at.take() {
            let taken = now.saturating_since(sent_at);
            if taken > SLOW_PAGE {
                self.page_bytes /= 2;
            } else if taken < QUICK_PAGE {
                self.page_bytes = self.page_bytes.saturating_mul(2);
            }
        }
        let (least, most) = (
            settings.recovery_reply_bytes_max,
            settings.recovery_bytes_max,
        );
        self.page_bytes = self.page_bytes.max(least).min(most);
        self.page_bytes
    }
}
