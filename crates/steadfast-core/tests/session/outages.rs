//! A client is connected again within a time in proportion to the outage.

use std::time::Duration;

use proptest::prelude::*;

use crate::script::{Script, settings};

const FLOOR: Duration = Duration::from_millis(50);

/// After a connection of this length, earlier outages are no longer counted.
const STABLE_SECONDS: u64 = 90;

/// The server is available again this long after the loss; attempts before that fail after `attempt` each. Returns the
/// time from then until the client is connected.
fn wait_after(script: &mut Script, outage: Duration, attempt: Duration) -> Duration {
    let heals_at = script.now + outage;
    script.lose_connection();
    loop {
        script.advance_to_next_dial();
        if script.now >= heals_at {
            script.connect();
            return script.now - heals_at;
        }
        script.advance(attempt);
        script.dial_fails();
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_stable_client_is_connected_again_within_half_of_the_outage(
        seed in any::<u64>(),
        earlier_outages_ms in proptest::collection::vec(0_u64..100_000, 0..5),
        outage_ms in prop_oneof![0_u64..5_000, 0_u64..60_000, 0_u64..2_000_000],
        attempt_ms in prop_oneof![Just(0), 0_u64..10_000],
    ) {
        let mut script = Script::with(settings(), seed);
        script.connect();
        for outage_ms in earlier_outages_ms {
            wait_after(&mut script, Duration::from_millis(outage_ms), Duration::ZERO);
        }
        script.keep_alive(STABLE_SECONDS);
        let (outage, attempt) = (Duration::from_millis(outage_ms), Duration::from_millis(attempt_ms));

        let waited = wait_after(&mut script, outage, attempt);

        let range = (outage / 2).clamp(Duration::from_secs(1), Duration::from_secs(20));
        // An attempt that is in progress when the server is available again may have to fail first.
        let longest = (FLOOR + range).max(attempt);
        prop_assert!(waited <= longest, "{waited:?} after {outage:?}");
    }
}
