//! Tests of the settings of a log: their ranges, and which of them contradict each other.

use super::*;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);
const DECADE: Duration = Duration::from_hours(10 * 366 * 24);

#[test]
fn a_size_is_valid_from_one_end_of_its_range_to_the_other() {
    check(
        LogSetting::SegmentBytes,
        |settings, bytes| settings.segment_bytes = ByteSize::from_bytes(bytes),
        [4_096, 268_435_456],
        &[4_095, 268_435_457],
    );
    check(
        LogSetting::LogBytes,
        |settings, bytes| settings.log_bytes = ByteSize::from_bytes(bytes),
        [268_435_456, u64::MAX],
        &[268_435_455],
    );
    check(
        LogSetting::ChannelBytesMax,
        |settings, bytes| settings.channel_bytes_max = ByteSize::from_bytes(bytes),
        [1_024, u64::MAX],
        &[1_023],
    );
    check(
        LogSetting::BatchBytesMax,
        |settings, bytes| settings.batch_bytes_max = ByteSize::from_bytes(bytes),
        [4_096, 67_108_864],
        &[4_095, 67_108_865],
    );
    check(
        LogSetting::PendingBytesMax,
        |settings, bytes| settings.pending_bytes_max = ByteSize::from_bytes(bytes),
        [4_096, 1_073_741_824],
        &[4_095, 1_073_741_825],
    );
    check(
        LogSetting::CacheBytes,
        |settings, bytes| settings.cache_bytes = ByteSize::from_bytes(bytes),
        [0, 1_073_741_824],
        &[1_073_741_825],
    );
    check(
        LogSetting::ReadBytes,
        |settings, bytes| settings.read_bytes = ByteSize::from_bytes(bytes),
        [4_096, 16_777_216],
        &[4_095, 16_777_217],
    );
}

#[test]
fn a_number_is_valid_from_one_end_of_its_range_to_the_other() {
    check(
        LogSetting::HistorySize,
        |settings, size| settings.history_size = size,
        [1, 10_000_000],
        &[0, 10_000_001],
    );
    check(
        LogSetting::ChannelsMax,
        |settings, channels| settings.channels_max = channels,
        [1, 1_048_576],
        &[0, 1_048_577],
    );
    check(
        LogSetting::IdempotencyKeysMax,
        |settings, keys| settings.idempotency_keys_max = keys,
        [1, 16_000_000],
        &[0, 16_000_001],
    );
    check(
        LogSetting::PendingReadsMax,
        |settings, reads| settings.pending_reads_max = reads,
        [1, 1_000_000],
        &[0, 1_000_001],
    );
}

#[test]
fn a_time_is_valid_from_one_end_of_its_range_to_the_other() {
    check(
        LogSetting::HistoryTtl,
        |settings, age| settings.history_ttl = age,
        [SECOND, DECADE],
        &[SECOND.saturating_sub(MILLI), DECADE + MILLI],
    );
    check(
        LogSetting::DedupWindow,
        |settings, window| settings.dedup_window = window,
        [SECOND, HOUR],
        &[SECOND.saturating_sub(MILLI), HOUR + MILLI],
    );
    check(
        LogSetting::ChannelTtl,
        |settings, age| {
            settings.history_ttl = 2 * HOUR;
            settings.channel_ttl = age;
        },
        [2 * HOUR, DECADE],
        &[(2 * HOUR).saturating_sub(MILLI), DECADE + MILLI],
    );
    check(
        LogSetting::ChannelTtl,
        |settings, age| {
            settings.history_ttl = SECOND;
            settings.dedup_window = HOUR;
            settings.channel_ttl = age;
        },
        [HOUR, DECADE],
        &[HOUR.saturating_sub(MILLI), DECADE + MILLI],
    );
    check(
        LogSetting::RetryDelay,
        |settings, delay| settings.retry_delay = delay,
        [10 * MILLI, HOUR],
        &[9 * MILLI, HOUR + MILLI],
    );
    check(
        LogSetting::Fsync,
        |settings, interval| settings.fsync = Fsync::Interval(interval),
        [MILLI, HOUR],
        &[Duration::ZERO, HOUR + MILLI],
    );
}

#[test]
fn an_error_names_the_setting_and_its_range() {
    let settings = LogSettings {
        segment_bytes: ByteSize::from_bytes(1),
        ..LogSettings::for_tests()
    };

    assert_eq!(
        LogPolicy::new(settings).map_err(|error| error.to_string()),
        Err("segment_bytes must be 4 KiB to 256 MiB".into())
    );
}

#[test]
fn the_test_settings_are_valid() {
    let policy = LogPolicy::new(LogSettings::for_tests()).expect("test settings are valid");

    assert_eq!(policy.segment_bytes(), ByteSize::from_mib(64));
    assert_eq!(policy.dedup_window(), Duration::from_mins(2));
}

/// Accepts both ends of a range, and rejects the values next to it. Nothing else is wrong with any of these settings.
fn check<V: Copy + fmt::Debug>(
    setting: LogSetting,
    set: impl Fn(&mut LogSettings, V),
    ends: [V; 2],
    outside: &[V],
) {
    let result = |value| {
        let mut settings = LogSettings {
            channel_ttl: DECADE,
            ..LogSettings::for_tests()
        };
        set(&mut settings, value);
        LogPolicy::new(settings).map_err(|error| error.setting)
    };

    for value in ends {
        assert!(result(value).is_ok(), "{setting} {value:?}");
    }
    for value in outside {
        assert_eq!(result(*value), Err(setting), "{value:?}");
    }
}
