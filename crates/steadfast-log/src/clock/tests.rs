//! What follows from jumps, restarts and downtimes, in virtual time.

use super::*;

const WALL: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const MINUTE: Duration = Duration::from_mins(1);
const DAY: Duration = Duration::from_hours(24);

const fn boot(id: u8, millis: u64) -> BootTime {
    let id = BootId([id; BootId::BYTES]);
    BootTime { id, millis }
}

fn after(time: Duration) -> Instant {
    Instant::START + time
}

fn recorded(clock: &LogClock, now: Instant) -> RecordedTime {
    RecordedTime {
        last: Some(clock.at(now)),
        state: Some(*clock.state()),
    }
}

fn new_clock(wall: Timestamp) -> LogClock {
    let boot = Some(boot(1, 5_000));
    LogClock::new(Instant::START, Clocks { wall, boot })
}

/// Opens the log at the start of a process. The boot has another identity, unless `boot` has the first one.
fn open(wall: Timestamp, boot: Option<BootTime>, recorded: RecordedTime) -> LogClock {
    LogClock::open(Instant::START, Clocks { wall, boot }, recorded).0
}

#[test]
fn a_restart_within_a_boot_knows_the_time_whatever_the_wall_clock_shows() {
    for error in [0, 300_000, -300_000, 31 * 86_400_000] {
        let recorded = recorded(&new_clock(WALL), after(MINUTE));
        let clocks = Clocks {
            wall: (WALL + 2 * MINUTE).shifted(error),
            boot: Some(boot(1, 125_000)),
        };
        let (clock, jump) = LogClock::open(Instant::START, clocks, recorded);

        assert_eq!(clock.at(Instant::START), WALL + 2 * MINUTE);
        assert_eq!(jump.map_or(0, |jump| jump.millis), error);
        assert!(!clock.ages(Instant::START).has_estimate());
    }
}

#[test]
fn a_downtime_is_an_estimate_until_the_wall_clock_has_not_jumped_for_an_hour() {
    let recorded = recorded(&new_clock(WALL), after(MINUTE));
    let last = WALL + MINUTE;
    for other in [Some(boot(2, 9_000)), Some(boot(1, 1)), None] {
        let wall = last + DAY;
        let mut clock = open(wall, other, recorded);

        let almost = after(SETTLED_AFTER.saturating_sub(Duration::from_millis(1)));
        assert_eq!(clock.observe(almost, wall + SETTLED_AFTER), None);
        let ages = clock.ages(almost);
        assert!(ages.proven(last) < 2 * SETTLED_AFTER);
        assert!(ages.estimated(last) >= DAY);

        assert_eq!(
            clock.observe(after(SETTLED_AFTER), wall + SETTLED_AFTER),
            None
        );
        let ages = clock.ages(after(SETTLED_AFTER));
        assert!(ages.proven(last) >= DAY);
        assert_eq!(ages.proven(clock.at(Instant::START)), SETTLED_AFTER);
    }
}

#[test]
fn a_jump_begins_the_hour_again_and_makes_the_estimate_shorter() {
    let recorded = recorded(&new_clock(WALL), after(MINUTE));
    let last = WALL + MINUTE;
    let years = 10 * 365 * DAY;
    let mut clock = open(last + DAY + years, None, recorded);
    assert!(clock.ages(Instant::START).estimated(last) > years);

    let corrected = after(30 * MINUTE);
    let wall = last + DAY + 30 * MINUTE;
    assert!(clock.observe(corrected, wall).is_some());
    assert!(clock.ages(corrected).estimated(last) < 2 * DAY);

    clock.observe(after(SETTLED_AFTER), last + DAY + SETTLED_AFTER);
    assert!(clock.ages(after(SETTLED_AFTER)).has_estimate());
    let settled = corrected + SETTLED_AFTER;
    clock.observe(settled, wall + SETTLED_AFTER);
    let age = clock.ages(settled).proven(last);
    assert!(age > DAY && age < 2 * DAY, "{age:?}");
}

#[test]
fn a_downtime_during_which_the_wall_clock_went_back_is_zero() {
    let recorded = recorded(&new_clock(WALL), after(MINUTE));

    let clock = open(Timestamp::from_millis(0), None, recorded);

    let age = clock.ages(Instant::START).estimated(WALL + MINUTE);
    assert_eq!(age, Duration::from_millis(1));
}

/// When the clock of a machine without a battery is set: in its first run, before its second, or in that.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Set {
    First,
    Between,
    Second,
}

#[test]
fn a_machine_that_starts_in_1970_gains_no_years_when_its_clock_is_set() {
    let epoch = Timestamp::from_millis(30_000);
    for run in [10 * MINUTE, Duration::from_hours(5)] {
        for set in [Set::First, Set::Between, Set::Second] {
            let mut clock = new_clock(epoch);
            clock.observe(after(run), epoch + run);
            if set == Set::First {
                assert!(clock.observe(after(run), WALL).is_some());
            }
            let first = clock.at(Instant::START);
            let recorded = recorded(&clock, after(run));

            let is_right = set == Set::Between;
            let wall = if is_right { WALL + DAY } else { epoch };
            let mut clock = open(wall, Some(boot(2, 30_000)), recorded);
            clock.observe(after(MINUTE), WALL + DAY + MINUTE);
            let settled = after(MINUTE + SETTLED_AFTER);
            clock.observe(settled, WALL + DAY + MINUTE + SETTLED_AFTER);

            assert!(!clock.ages(settled).has_estimate(), "{set:?}");
            let age = clock.ages(settled).proven(first);
            assert!(age < DAY + run + 2 * SETTLED_AFTER, "{set:?}: {age:?}");
        }
    }
}

#[test]
fn a_step_after_days_at_a_wrong_date_is_no_downtime_of_a_later_restart() {
    let before = recorded(&new_clock(WALL), after(MINUTE));
    let mut wrong = open(Timestamp::from_millis(0), None, before);
    wrong.observe(after(3 * DAY), Timestamp::from_millis(0) + 3 * DAY);
    assert!(
        !wrong.ages(after(3 * DAY)).has_estimate(),
        "settled at a wrong date"
    );

    let right = WALL + 4 * DAY;
    let clock = open(right, None, recorded(&wrong, after(3 * DAY)));

    let age = clock.ages(Instant::START).estimated(WALL);
    assert!(age >= 3 * DAY && age < 5 * DAY, "{age:?}");
}

#[test]
fn a_glitch_is_no_reference_for_a_downtime() {
    for error in [-3_650, -31, 31, 3_650] {
        let mut clock = new_clock(WALL);
        let wall = WALL + MINUTE;
        assert!(
            clock
                .observe(after(MINUTE), wall.shifted(error * 86_400_000))
                .is_some()
        );

        let during = recorded(&clock, after(MINUTE));
        let restarted = open(wall + DAY, None, during);
        assert!(
            restarted.ages(Instant::START).estimated(WALL) < 2 * DAY,
            "{error} days"
        );

        assert!(
            clock
                .observe(after(2 * MINUTE), WALL + 2 * MINUTE)
                .is_some()
        );
        clock.observe(after(DAY), WALL + DAY);
        let later = recorded(&clock, after(DAY));
        let restarted = open(WALL + 2 * DAY, None, later);
        let age = restarted.ages(Instant::START).estimated(WALL);
        assert!(age >= 2 * DAY && age < 3 * DAY, "{error} days: {age:?}");
    }
}

#[test]
fn two_downtimes_within_an_hour_are_one_and_no_record_becomes_older() {
    let first = recorded(&new_clock(WALL), after(MINUTE));
    let last = WALL + MINUTE;
    let clock = open(last + DAY, Some(boot(2, 1)), first);
    let between = clock.at(Instant::START);

    let second = recorded(&clock, after(5 * MINUTE));
    let clock = open(last + 3 * DAY, None, second);

    let ages = clock.ages(Instant::START);
    assert!(ages.estimated(last) >= DAY && ages.estimated(last) < 2 * DAY);
    assert!(ages.estimated(between) < DAY);
}

#[test]
fn the_oldest_downtimes_are_merged_so_that_no_record_becomes_older() {
    let mut downtimes = Downtimes::default();
    for second in 1..=10 {
        let until = Timestamp::from_millis(second * 1_000);
        downtimes.push(Downtime { until, millis: 7 });
        downtimes.push(Downtime { until, millis: 0 });
    }

    let sum = |millis| downtimes.after(Timestamp::from_millis(millis)).as_millis();
    assert_eq!((sum(0), sum(999)), (70, 70), "the sum is kept");
    assert_eq!(sum(1_000), 49, "not 63");
    assert_eq!((sum(3_000), sum(9_999), sum(10_000)), (49, 7, 0));
}

#[test]
fn a_publication_is_displayed_with_the_time_that_the_wall_clock_shows_or_showed() {
    let mut clock = new_clock(WALL);
    let before = clock.display(clock.at(after(MINUTE)));
    assert_eq!(before, WALL + MINUTE);

    clock.observe(after(MINUTE), before.shifted(3_600_000));
    assert_eq!(
        clock.display(clock.at(after(MINUTE))),
        before.shifted(3_600_000)
    );

    let recorded = recorded(&new_clock(WALL), after(MINUTE));
    let mut clock = open(before + DAY, None, recorded);
    assert_eq!(clock.display(WALL), WALL);
    assert_eq!(clock.display(clock.at(Instant::START)), before + DAY);
    clock.observe(after(SETTLED_AFTER), before + DAY + SETTLED_AFTER);
    assert_eq!(clock.display(WALL), WALL);
}
