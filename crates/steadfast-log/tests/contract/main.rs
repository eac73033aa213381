//! What a hub relies on, tested on every engine: the log, from its cache, from its storage, and on a disk that completes
//! operations late and in any order; and the memory engine with dense offsets and with offsets that increase with gaps.
//!
//! The tests know no engine. Each is a function of an [`engines::Engine`], and this file runs all of them with each.

#[cfg(test)]
mod dedup;
#[cfg(test)]
mod engines;
#[cfg(test)]
mod harness;
#[cfg(test)]
mod health;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod order;
#[cfg(test)]
mod pages;
#[cfg(test)]
mod positions;
#[cfg(test)]
mod random;
#[cfg(test)]
mod retention;

/// Runs every test of the contract with each engine.
macro_rules! contract {
    ($( $module:ident::$test:ident, )+) => {
        contract!(@run dense_memory, crate::engines::DenseMemory, $( $module::$test, )+);
        contract!(@run increasing_memory, crate::engines::IncreasingMemory, $( $module::$test, )+);
        contract!(@run cached_log, crate::engines::CachedLog, $( $module::$test, )+);
        contract!(@run stored_log, crate::engines::StoredLog, $( $module::$test, )+);
        contract!(@run late_log, crate::engines::LateLog, $( $module::$test, )+);
    };
    (@run $engine:ident, $type:ty, $( $module:ident::$test:ident, )+) => {
        #[cfg(test)]
        mod $engine {
            $(
                #[test]
                fn $test() {
                    crate::$module::$test::<$type>();
                }
            )+
        }
    };
}

contract! {
    order::each_request_has_one_response,
    order::publications_are_committed_once_in_the_order_of_their_requests_and_before_they_are_acknowledged,
    order::a_commit_names_the_offset_before_it_in_its_channel,
    order::a_read_ends_where_the_commits_after_it_begin,
    positions::a_channel_without_publications_has_the_epoch_of_its_first_publication,
    positions::a_position_is_recoverable_or_not,
    positions::offset_zero_is_recoverable_while_nothing_was_removed,
    positions::a_channel_that_expired_has_another_epoch,
    pages::pages_forward_return_each_publication_once_and_join_without_a_gap,
    pages::pages_backward_return_each_publication_once,
    pages::a_limit_of_zero_checks_the_position_and_returns_nothing,
    pages::a_page_ends_at_the_byte_limit_but_has_at_least_one_publication,
    pages::a_publication_is_read_as_it_was_committed,
    dedup::a_repeated_key_has_the_first_result_and_stores_nothing,
    dedup::a_key_with_other_data_is_rejected_and_the_first_result_stays,
    dedup::keys_are_scoped_to_user_and_channel,
    dedup::a_key_is_repeated_within_its_own_batch,
    dedup::a_key_is_forgotten_when_its_window_has_passed,
    dedup::a_key_outlives_its_publication,
    dedup::more_keys_than_allowed_are_rejected_while_repeats_are_acknowledged,
    retention::a_channel_keeps_as_many_publications_as_allowed,
    retention::publications_are_removed_when_they_are_too_old,
    retention::the_oldest_publications_are_removed_above_the_size_limit,
    retention::a_channel_without_visible_publications_keeps_its_position,
    limits::a_publication_that_is_too_large_is_rejected,
    limits::more_channels_than_allowed_are_rejected_while_known_ones_continue,
    limits::a_new_channel_takes_the_place_of_the_oldest_one_without_visible_publications,
    limits::a_channel_with_a_key_in_the_window_keeps_its_place,
    limits::many_new_channels_at_once_each_take_a_place,
    limits::one_channel_does_not_remove_the_young_publications_of_others,
    limits::a_channel_that_harms_no_other_may_use_everything,
    limits::only_the_first_append_creates_a_channel_and_only_if_it_may,
    limits::a_rejected_publication_leaves_no_trace,
    limits::after_a_close_every_request_is_rejected,
    health::an_engine_serves_until_it_is_closed,
    health::an_engine_at_a_limit_serves,
    random::random_requests_agree_with_a_reference_model,
}
