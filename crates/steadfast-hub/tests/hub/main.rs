//! Tests of the hub, one for each behaviour, through its inputs and outputs. The hub runs over the memory engine: every
//! test once with dense offsets, and once with offsets that increase with gaps.

#[cfg(test)]
mod api;
#[cfg(test)]
mod bounds;
#[cfg(test)]
mod catch_up;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod connect;
#[cfg(test)]
mod decisions;
#[cfg(test)]
mod engine;
#[cfg(test)]
mod fanout;
#[cfg(test)]
mod incomplete;
#[cfg(test)]
mod liveness;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod order;
#[cfg(test)]
mod presence;
#[cfg(test)]
mod quotas;
#[cfg(test)]
mod random;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod responses;
#[cfg(test)]
mod script;
#[cfg(test)]
mod slow_consumer;
mod slow_links;

/// Runs every test of the hub with each kind of offsets.
macro_rules! suite {
    ($( $module:ident::$test:ident, )+) => {
        suite!(@run dense_memory, Offsets::Dense, $( $module::$test, )+);
        suite!(@run increasing_memory, Offsets::Increasing { step: 3 }, $( $module::$test, )+);
    };
    (@run $name:ident, $offsets:expr, $( $module:ident::$test:ident, )+) => {
        #[cfg(test)]
        mod $name {
            use steadfast_engine::memory::Offsets;

            $(
                #[test]
                fn $test() {
                    crate::$module::$test($offsets);
                }
            )+
        }
    };
}

suite! {
    api::a_publication_of_an_application_is_delivered_and_reported_once_it_is_committed,
    api::a_publication_that_cannot_be_stored_is_reported_to_the_application,
    bounds::many_commands_at_once_never_have_more_pending_requests_than_the_limit,
    bounds::a_read_counts_as_a_quarter_of_the_limit_since_its_response_may_be_large,
    bounds::presence_queries_count_like_reads,
    bounds::the_commands_of_a_paused_peer_are_executed_in_order_when_it_resumes,
    bounds::an_undecodable_command_of_a_paused_peer_takes_effect_after_those_before_it,
    bounds::a_peer_that_is_closed_while_it_is_paused_is_not_resumed,
    bounds::after_a_rejected_connect_the_rest_of_its_message_is_ignored_even_if_malformed,
    bounds::a_channel_and_an_idempotency_key_may_contain_any_character,
    bounds::a_paused_peer_is_not_closed_for_a_missing_pong,
    bounds::the_pong_timeout_starts_again_when_reading_resumes,
    bounds::rejections_are_reported_once_a_second_with_their_count,
    catch_up::a_shard_that_lagged_reads_a_few_channels_at_once_and_each_of_them_in_turn,
    catch_up::a_channel_that_missed_more_than_a_page_lets_the_others_go_first,
    catch_up::a_read_that_the_engine_rejects_at_its_limit_is_repeated_and_no_subscriber_is_closed,
    catch_up::a_response_to_an_earlier_read_does_not_end_the_pause_after_a_rejection,
    catch_up::a_channel_without_members_is_not_read_again,
    catch_up::a_channel_whose_last_member_leaves_during_a_read_is_not_read_further,
    catch_up::a_channel_that_was_not_read_further_begins_again_with_its_next_member,
    catch_up::a_shard_that_lags_again_while_it_catches_up_reads_each_channel_once,
    commands::a_protocol_violation_closes_the_connection_with_3501,
    commands::a_command_that_exceeds_a_limit_is_rejected_and_the_next_one_is_executed,
    commands::an_invalid_command_is_rejected_with_the_reason_and_the_connection_stays_open,
    commands::a_connect_command_with_an_invalid_field_is_rejected_with_the_reason,
    commands::a_close_reason_is_plain_text_and_never_empty,
    commands::a_command_after_one_that_closed_the_connection_is_not_executed,
    commands::a_publish_is_acknowledged_only_when_the_log_has_it,
    commands::a_publication_has_the_kind_of_its_command_and_a_push_the_kind_of_its_record,
    commands::an_idempotent_publish_sends_its_key_to_the_log_and_returns_the_offset,
    commands::an_invalid_or_unsupported_command_gets_an_error_and_the_connection_stays_open,
    commands::a_rejection_by_the_log_becomes_a_temporary_error_unless_it_is_permanent,
    commands::a_publication_that_the_engine_rejects_gets_the_error_of_its_reason,
    commands::a_peer_at_its_limit_of_pending_requests_is_not_read_from_until_half_are_completed,
    commands::a_hub_at_its_limit_of_pending_requests_rejects_with_a_temporary_error,
    commands::history_reads_from_the_requested_position,
    commands::a_history_is_bounded_by_its_count_and_by_a_quarter_of_the_send_buffer,
    commands::a_history_that_is_cut_continues_after_its_last_publication,
    commands::a_history_that_the_send_buffer_cannot_hold_is_rejected_temporarily,
    commands::history_returns_publications_and_the_high_watermark_or_that_the_position_is_unrecoverable,
    commands::responses_for_a_closed_peer_are_dropped,
    connect::a_connect_reply_contains_the_client_id_and_the_ping_settings,
    connect::a_connect_reply_contains_the_time_of_its_command_also_while_the_engine_delivers_nothing,
    connect::connect_and_subscribe_are_replied_to_in_order,
    connect::a_peer_without_a_needed_credential_is_rejected_permanently_and_a_token_is_not_ignored,
    connect::a_full_hub_rejects_a_connect_with_a_temporary_error_and_ignores_the_rest,
    connect::a_thundering_herd_larger_than_the_hub_fills_it,
    connect::connections_without_a_session_are_bounded_too,
    decisions::a_client_that_is_accepted_has_the_identity_of_the_decision,
    decisions::commands_that_arrive_before_the_decision_are_executed_after_it_in_order,
    decisions::a_decision_may_take_longer_than_the_connect_timeout_and_pings_follow_it,
    decisions::a_client_that_is_rejected_gets_the_error_and_its_further_commands_are_ignored,
    decisions::a_decision_may_close_the_connection,
    decisions::a_decision_that_does_not_arrive_in_time_is_a_temporary_error_and_is_ignored_later,
    decisions::a_decision_for_a_peer_that_has_left_has_no_effect_on_the_next_one_in_its_slot,
    decisions::pending_decisions_are_bounded_also_if_their_peers_leave,
    decisions::a_pending_decision_counts_as_a_session_until_it_is_rejected,
    fanout::a_publication_is_sent_once_to_all_live_subscribers,
    fanout::unsubscribed_and_closed_peers_receive_nothing_more,
    fanout::a_commit_that_was_read_already_is_not_sent_again,
    fanout::a_publication_that_follows_the_one_before_is_sent_however_far_its_offset_is,
    fanout::a_shard_that_lagged_reads_again_from_its_cursor_and_sends_each_publication_once,
    fanout::a_gap_between_commits_is_read_again_even_without_a_lagged_event,
    fanout::a_subscription_that_was_requested_before_the_lag_has_no_gap,
    fanout::a_peer_that_finishes_recovery_while_the_shard_lags_receives_no_duplicates,
    fanout::a_shard_that_cannot_catch_up_advises_its_subscribers_to_resubscribe,
    fanout::a_new_channel_epoch_closes_the_subscriptions_of_the_old_one,
    fanout::the_member_list_stays_exact_while_many_members_leave,
    incomplete::a_command_without_progress_is_closed_although_its_peer_replies_to_pings,
    incomplete::a_command_that_gets_another_kib_in_each_timeout_is_not_closed,
    incomplete::a_command_that_follows_another_one_has_the_entire_timeout,
    incomplete::a_paused_peer_cannot_make_progress_and_has_the_entire_timeout_afterwards,
    incomplete::the_commands_without_progress_for_the_longest_time_are_closed_if_all_need_too_much_memory,
    incomplete::a_report_about_a_closed_peer_has_no_effect,
    incomplete::a_command_that_is_too_long_is_rejected_and_reported_with_its_limit,
    liveness::the_first_ping_is_sent_after_half_an_interval_to_a_full_one_and_pings_are_spread,
    liveness::a_peer_that_is_silent_after_a_ping_is_closed_with_3012,
    liveness::a_peer_that_sends_pongs_is_pinged_indefinitely_and_never_closed,
    liveness::a_ping_follows_the_one_before_after_exactly_one_interval,
    liveness::any_inbound_byte_counts_as_activity_and_the_late_pong_stays_legal,
    liveness::a_peer_that_never_sends_a_connect_command_is_closed_as_stale,
    liveness::a_silent_peer_of_a_full_hub_is_closed_with_try_again_later,
    liveness::a_rejected_peer_that_does_not_close_is_closed,
    liveness::a_shutdown_closes_all_peers_with_advice_to_reconnect,
    order::history_contains_the_publications_that_were_sent_before_it,
    order::history_waits_for_idempotent_publications_too,
    order::publications_are_requested_at_once_and_wait_only_for_a_history_before_them,
    order::presence_contains_the_subscription_that_was_requested_before_it,
    order::presence_contains_the_subscription_that_ends_after_it,
    order::a_subscription_that_ends_at_once_begins_first,
    order::a_subscription_that_ends_after_a_publication_receives_it,
    order::a_subscription_after_a_publication_begins_after_it,
    order::a_second_subscribe_command_takes_the_place_of_a_rejected_one,
    order::other_channels_do_not_wait,
    order::what_waits_for_a_failed_command_is_executed,
    order::what_waits_is_bounded_and_the_peer_is_not_read_from_at_the_limit,
    order::what_waits_is_dropped_with_its_connection,
    presence::presence_lists_the_subscribed_clients,
    presence::presence_lists_no_client_whose_subscription_is_pending,
    presence::presence_awaits_every_shard_and_sums_the_responses,
    presence::a_channel_without_clients_has_no_users,
    presence::presence_fails_with_a_temporary_error_if_a_shard_does_not_respond,
    presence::presence_above_its_limit_is_rejected_and_not_truncated,
    presence::joins_and_leaves_are_pushed_to_peers_that_requested_them,
    presence::a_listener_that_unsubscribed_receives_no_joins_and_the_others_still_do,
    presence::joins_and_leaves_are_broadcast_to_all_shards_once,
    presence::a_client_receives_its_own_join_after_its_subscribe_reply,
    presence::dropped_messages_are_reported_per_shard_at_once_and_then_at_most_once_a_second,
    presence::the_info_of_an_anonymous_client_is_shown_when_configured,
    presence::the_info_of_a_client_is_ignored_unless_configured,
    presence::connect_data_that_is_not_an_object_or_too_long_is_ignored_and_reported,
    random::in_random_runs_a_subscription_has_no_gap_and_every_command_has_a_reply,
    quotas::a_peer_creates_as_many_channels_as_its_quota_and_can_still_publish_to_those_that_exist,
    quotas::publications_in_flight_do_not_create_more_channels_than_the_quota,
    quotas::a_publication_to_a_channel_that_exists_gives_its_use_back,
    quotas::a_peer_uses_as_many_keys_as_its_quota_and_a_repeat_is_none,
    quotas::publications_above_the_limit_of_bytes_are_rejected_and_reads_are_not,
    quotas::a_presence_query_that_is_dropped_fails_at_once,
    recovery::a_recovered_reply_contains_the_missed_publications_and_the_requested_offset,
    recovery::a_long_recovery_continues_with_pushes_before_live_publications,
    recovery::a_long_recovery_awaits_an_empty_send_buffer,
    recovery::a_long_recovery_continues_past_the_position_of_a_lagging_shard,
    recovery::an_unknown_position_is_not_recovered_and_returns_no_publications,
    recovery::the_start_of_the_history_is_recovered_only_if_nothing_was_removed_there,
    recovery::a_client_that_requests_it_gets_error_112_and_no_subscription,
    recovery::a_shard_at_the_high_watermark_replies_without_a_request_to_the_log,
    recovery::a_lagging_shard_requests_a_position_that_it_has_not_reached_from_the_log,
    recovery::a_lagging_shard_requests_an_epoch_that_it_has_not_seen_from_the_log,
    recovery::commits_between_request_and_response_are_in_the_response_and_not_sent_twice,
    recovery::a_recovery_that_retention_overtakes_is_closed_with_2500,
    recovery::a_subscription_that_the_log_rejects_is_removed,
    recovery::a_second_subscription_to_a_channel_and_one_above_the_limit_are_rejected,
    recovery::a_page_for_a_cancelled_subscription_is_not_used_for_the_next_one,
    slow_consumer::a_peer_with_a_send_buffer_above_the_limit_is_closed_with_3008,
    slow_consumer::bytes_that_stay_in_the_send_buffer_past_the_write_timeout_close_with_3009,
    slow_consumer::a_slow_peer_that_accepts_its_bytes_within_the_write_timeout_stays,
    slow_consumer::the_pong_timeout_of_a_buffered_ping_starts_once_it_is_written,
    slow_consumer::a_silent_peer_is_closed_an_interval_after_the_ping_whatever_it_acknowledges,
    slow_consumer::a_peer_that_acknowledges_nothing_is_closed_after_the_pong_timeout,
    slow_consumer::a_link_that_moves_is_not_closed_until_it_stops,
    slow_consumer::send_buffers_that_need_too_much_memory_close_the_slowest_peers_until_enough_is_freed,
    slow_consumer::the_write_timeout_restarts_when_the_send_buffer_drains_in_time,
    slow_consumer::a_recovery_whose_response_arrives_while_bytes_are_buffered_continues_when_they_are_written,
    slow_consumer::a_peer_that_recovers_many_channels_is_sent_one_page_at_a_time,
    slow_consumer::a_cancelled_recovery_lets_the_next_one_continue,
    slow_links::the_replies_of_a_peer_contain_few_bytes_and_the_rest_follows_as_pushes,
    slow_links::a_publication_that_is_too_large_for_a_reply_follows_as_a_push,
    slow_links::pages_are_as_large_as_the_peer_is_fast,
    slow_links::a_live_publication_that_no_send_buffer_can_hold_is_a_gap_after_which_the_next_ones_arrive,
    slow_links::a_recovery_ends_before_a_publication_that_no_send_buffer_can_hold_and_continues_after_it,
    slow_links::a_history_with_a_publication_that_no_send_buffer_can_hold_is_rejected,
}
