//! Fixed seeds violate no invariant, and every planted bug is detected with a seed that reproduces it.

use steadfast_sim::reference_model::Invariant;
use steadfast_sim::{EngineKind, PlantedBug, SeedResult, Totals, Variant, Verdict, explore, run};

/// The number of seeds: more than any planted bug has needed so far. A failing test prints the counts.
const SEEDS: u64 = 120;

#[test]
fn invariants_hold_under_connection_faults_and_power_failures() {
    let report = explore(0..SEEDS, Variant::default(), |_| {});

    assert_eq!(report.verdict(), Verdict::Pass, "{report}");
}

/// Clients have both gateways in their lists and move between them, and no gateway knows of the other: what one has
/// acknowledged, its own subscribers see, and a client that moves reports the gap.
#[test]
fn two_gateways_in_one_world_keep_their_guarantees_for_clients_that_move() {
    for engine in EngineKind::ALL {
        let two = |seed: &u64| run(*seed, with(engine)).totals.runs_with_two_nodes == 1;
        let seeds: Vec<u64> = (0..SEEDS / 2).filter(two).collect();
        let mut totals = Totals::default();
        for seed in &seeds {
            let result = run(*seed, with(engine));
            assert_eq!(result.violations, [], "seed {seed}");
            totals += result.totals;
        }

        assert!(totals.runs_with_two_nodes >= 10, "{totals:?}");
        assert!(totals.moves > totals.runs_with_two_nodes, "{totals:?}");
        assert!(totals.gaps_after_moves > 0, "{totals:?}");
        assert!(totals.acknowledged > 0, "{totals:?}");
        assert!(totals.presence_exact > 0, "{totals:?}");
    }
}

/// In some runs sessions replace their connections while these are open, and return to the gateway that they prefer, under
/// all faults. The others have no migration at all.
#[test]
fn sessions_that_replace_open_connections_lose_and_repeat_nothing() {
    for engine in EngineKind::ALL {
        let mut runs = 0;
        let mut totals = Totals::default();
        for seed in 0..SEEDS {
            let result = run(seed, with(engine));
            if result.totals.migrations > 0 {
                assert_eq!(result.violations, [], "seed {seed}");
                runs += 1;
                totals += result.totals;
            }
        }

        assert!(runs > SEEDS / 5 && runs < SEEDS / 2, "{runs}");
        assert!(totals.migrations > 3 * runs, "{totals:?}");
        assert!(totals.moves > runs / 4, "{totals:?}");
        assert!(totals.acknowledged > 0, "{totals:?}");
    }
}

/// A restart loses the history of the memory engine, and nothing else is lost.
#[test]
fn invariants_hold_when_every_restart_loses_the_history() {
    let report = explore(0..SEEDS, with(EngineKind::Memory), |_| {});

    assert_eq!(report.verdict(), Verdict::Pass, "{report}");
    assert!(report.totals.histories_lost > 2 * SEEDS);
}

/// In both seeds a segment was removed while it was read.
#[test]
fn seeds_that_once_violated_an_invariant_pass() {
    for seed in [1506, 1936] {
        assert_eq!(run(seed, Variant::default()).violations, [], "seed {seed}");
    }
}

/// A silent client accepts bytes for some time after its last own bytes, or was paused. The pong timeout counts from the
/// last accepted bytes, and from the end of the pause.
#[test]
fn a_silent_client_that_accepts_bytes_slowly_or_was_paused_is_detected_later() {
    for seed in [4186, 8562] {
        let result = run(seed, with(EngineKind::Memory));
        assert_eq!(result.violations, [], "seed {seed}");
    }
    assert_eq!(run(33360, Variant::default()).violations, []);
}

/// A clean shutdown waits until its process is running, after all other faults. The final checks read from every node,
/// so they come after it.
#[test]
fn the_final_checks_wait_for_the_last_clean_shutdown() {
    assert_eq!(run(2135, Variant::default()).violations, []);
}

/// A session is closed and reopened; a call made before it is connected again times out after its dial and before the
/// reply to its connect command.
#[test]
fn a_call_of_a_reopened_session_may_time_out_before_the_session_is_connected() {
    let result = run(1949, with(EngineKind::Memory));

    assert_eq!(result.violations, []);
    assert!(result.totals.closes > 0);
}

#[test]
fn a_seed_always_gives_the_same_run() {
    for engine in EngineKind::ALL {
        for seed in [1, 7, 23] {
            assert_eq!(run(seed, with(engine)), run(seed, with(engine)));
        }
    }
}

#[test]
fn a_skipped_sync_loses_acknowledged_publications() {
    check(
        PlantedBug::NoSync,
        &[
            Invariant::NoAcknowledgedLoss,
            Invariant::GapsJustified,
            Invariant::OffsetsUnique,
            Invariant::LogOpens,
        ],
    );
}

#[test]
fn publications_without_idempotency_keys_are_stored_twice() {
    check(PlantedBug::NoDeduplication, &[Invariant::KeysStoredOnce]);
}

#[test]
fn without_a_comparison_of_data_a_key_with_other_data_is_acknowledged() {
    check(PlantedBug::NoDataComparison, &[Invariant::KeysIdentifyData]);
}

#[test]
fn unchecked_positions_recover_across_a_gap() {
    check(
        PlantedBug::NoPositionCheck,
        &[Invariant::RecoveryComplete, Invariant::OffsetsUnique],
    );
}

#[test]
fn reordered_frames_violate_the_order() {
    check(
        PlantedBug::NoOrder,
        &[Invariant::OrderPreserved, Invariant::NoDuplicateDelivery],
    );
}

#[test]
fn publications_beyond_retention_are_detected() {
    check(PlantedBug::NoRetention, &[Invariant::RetentionExact]);
}

#[test]
fn a_session_that_does_not_resend_never_settles() {
    check(PlantedBug::NoResend, &[Invariant::SystemSettles]);
}

#[test]
fn a_publication_resent_with_a_new_key_is_stored_twice() {
    check(PlantedBug::NewKeys, &[Invariant::KeysStoredOnce]);
}

#[test]
fn a_session_that_resubscribes_without_its_position_reports_an_unjustified_gap() {
    check(PlantedBug::NoPosition, &[Invariant::GapsJustified]);
}

#[test]
fn a_session_without_liveness_timeouts_keeps_a_blackholed_connection() {
    check(PlantedBug::NoLiveness, &[Invariant::DeadPeersDetected]);
}

#[test]
fn a_gateway_without_pings_keeps_dead_connections() {
    check(PlantedBug::NoPings, &[Invariant::DeadPeersDetected]);
}

#[test]
fn a_gateway_that_ignores_send_buffers_keeps_a_slow_consumer() {
    check(PlantedBug::NoSendBuffer, &[Invariant::SendBuffersBounded]);
}

#[test]
fn a_frame_lost_on_an_open_connection_is_detected() {
    check(
        PlantedBug::LossyFreeze,
        &[
            Invariant::OrderPreserved,
            Invariant::GapsJustified,
            Invariant::SystemSettles,
        ],
    );
}

#[test]
fn a_session_without_backoff_exceeds_the_reconnect_rate() {
    check(PlantedBug::NoBackoff, &[Invariant::ReconnectRateBounded]);
}

#[test]
fn an_outbox_that_is_full_too_early_drops_publications_that_fit() {
    check(
        PlantedBug::SmallOutbox,
        &[Invariant::OneOutcomePerPublication],
    );
}

#[test]
fn a_publication_that_expires_too_early_is_detected() {
    check(
        PlantedBug::EarlyExpiry,
        &[Invariant::OneOutcomePerPublication],
    );
}

#[test]
fn a_gateway_without_a_write_timeout_keeps_a_client_that_does_not_read() {
    check(PlantedBug::NoWriteTimeout, &[Invariant::SendBuffersBounded]);
}

#[test]
fn a_gateway_without_a_message_timeout_keeps_a_client_that_does_not_end_its_command() {
    check(PlantedBug::NoMessageTimeout, &[Invariant::SystemSettles]);
}

#[test]
fn a_former_peer_with_the_id_of_the_new_one_shares_its_replies() {
    check(
        PlantedBug::NoGenerations,
        &[
            Invariant::RepliesMatchCommands,
            Invariant::OffsetsUnique,
            Invariant::NoAcknowledgedLoss,
        ],
    );
}

#[test]
fn a_join_that_stays_on_its_shard_is_missed() {
    check(PlantedBug::NoJoins, &[Invariant::MembershipPushed]);
}

#[test]
fn a_leave_that_stays_on_its_shard_is_missed() {
    check(PlantedBug::NoLeaves, &[Invariant::MembershipPushed]);
}

#[test]
fn a_leave_that_is_sent_twice_is_detected() {
    check(PlantedBug::RepeatedLeaves, &[Invariant::MembershipPushed]);
}

#[test]
fn a_session_that_does_not_deliver_leaves_is_detected() {
    check(
        PlantedBug::UndeliveredLeaves,
        &[Invariant::MembershipPushed],
    );
}

#[test]
fn a_command_without_a_reply_is_detected() {
    check(
        PlantedBug::NoUnsubscribeReply,
        &[Invariant::RepliesMatchCommands, Invariant::CommandsInOrder],
    );
}

#[test]
fn a_history_that_overtakes_a_publication_is_detected() {
    check(PlantedBug::NoCommandOrder, &[Invariant::CommandsInOrder]);
}

#[test]
fn a_shard_without_its_clients_makes_presence_wrong() {
    check(PlantedBug::EmptyPresence, &[Invariant::PresenceMatches]);
}

#[test]
fn a_response_to_another_subscription_starts_one_at_a_wrong_position() {
    check(
        PlantedBug::SwappedResponses,
        &[
            Invariant::NoAcknowledgedLoss,
            Invariant::RecoveryComplete,
            Invariant::GapsJustified,
        ],
    );
}

#[test]
fn two_gateways_with_the_same_epochs_are_detected() {
    check(
        PlantedBug::SameIncarnation,
        &[Invariant::EpochsDiffer, Invariant::OffsetsUnique],
    );
}

/// A fault excuses that a connection is given up, but not indefinitely.
#[test]
fn a_connection_that_stays_dead_after_its_fault_is_detected() {
    check(PlantedBug::DeafAfterFault, &[Invariant::HealthyPeersKept]);
}

#[test]
fn a_call_that_is_not_repeated_times_out_on_an_open_connection() {
    check(PlantedBug::NoCallRepeat, &[Invariant::OneResultPerCall]);
}

#[test]
fn publications_resent_all_at_once_after_a_loss_are_detected() {
    check(PlantedBug::NoCare, &[Invariant::CarefulAfterLoss]);
}

#[test]
fn a_publication_in_doubt_that_is_reported_as_unsent_is_detected() {
    check(PlantedBug::NoDoubt, &[Invariant::NoPhantomPublication]);
}

#[test]
fn a_late_input_of_an_earlier_connection_must_not_end_the_current_one() {
    check(PlantedBug::UntaggedInputs, &[Invariant::StaleInputsIgnored]);
}

#[test]
fn a_stalled_disk_that_is_not_reported_is_detected() {
    check(
        PlantedBug::SilentWatchdog,
        &[Invariant::StalledDiskReported],
    );
}

#[test]
fn an_engine_that_measures_time_by_the_wall_clock_loses_history_and_keys() {
    check(
        PlantedBug::WallClockAges,
        &[
            Invariant::NoAcknowledgedLoss,
            Invariant::GapsJustified,
            Invariant::KeysStoredOnce,
            Invariant::RecoveryComplete,
            Invariant::OffsetsUnique,
        ],
    );
}

fn with(engine: EngineKind) -> Variant {
    Variant {
        engine,
        planted_bug: None,
    }
}

/// Checks with each engine that the planted bug violates one of the invariants first in some seed, and that the seed
/// reproduces it.
fn check(planted_bug: PlantedBug, invariants: &[Invariant]) {
    for engine in EngineKind::ALL {
        if planted_bug.applies_to(engine) {
            check_with(engine, planted_bug, invariants);
        }
    }
}

fn check_with(engine: EngineKind, planted_bug: PlantedBug, invariants: &[Invariant]) {
    let variant = Variant {
        engine,
        planted_bug: Some(planted_bug),
    };
    let is_detected = |result: &SeedResult| {
        let first = result.violations.first();
        first.is_some_and(|violation| invariants.contains(&violation.invariant))
    };
    let result = (0..SEEDS)
        .map(|seed| run(seed, variant))
        .find(is_detected)
        .unwrap_or_else(|| panic!("no seed detects {planted_bug:?} with {engine:?}"));

    assert_eq!(run(result.seed, variant), result);
    assert_is_in_words(&result);
}

/// The details are for operators: no names, braces or brackets of Rust values.
fn assert_is_in_words(result: &SeedResult) {
    for violation in &result.violations {
        let is_word = |text: &str| !violation.details.contains(text);
        assert!(
            ["{", "[", "Some(", "None", "Id("].into_iter().all(is_word),
            "{violation}"
        );
    }
}
