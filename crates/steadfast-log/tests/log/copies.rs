//! A log that is opened from a copy of its directory: positions of the original are not continued.

use steadfast_engine::{Page, ReadFrom};
use steadfast_log::io::Place;

use crate::disk::Disk;
use crate::harness::{Harness, append, read, settings};

/// A log with publications in several segments, closed cleanly, and the position of its end.
fn closed() -> (Disk, ReadFrom) {
    let mut harness = Harness::new(settings());
    let mut end = None;
    for _ in 0..60 {
        let (epoch, offset, _) = harness.publish_ok(append("a", &"x".repeat(1000)));
        end = Some(ReadFrom::After { epoch, offset });
    }
    harness.close();
    (harness.disk, end.expect("published"))
}

fn open_copy(disk: Disk) -> Harness {
    Harness::start_with(settings(), disk, |faults| faults.place = Place::New)
}

#[test]
fn a_copy_has_new_epochs_in_every_channel_and_keeps_all_publications() {
    let (disk, end) = closed();
    let original = Harness::open(settings(), disk.clone(), crate::harness::WALL, 7).log_epoch();

    let mut copy = open_copy(disk);

    let report = copy.opened.expect("open");
    assert!(
        report.is_copy && report.has_new_epochs && report.is_clean,
        "{report:?}"
    );
    let response = copy.read(read("a", end, 100));
    assert!(matches!(response.page, Page::Unrecoverable), "{response:?}");
    assert_eq!(copy.all("a").len(), 60);
    assert_ne!(
        copy.log_epoch(),
        original,
        "also of channels that do not exist yet"
    );
}

#[test]
fn the_new_epochs_are_durable_when_the_copy_is_claimed_and_stay() {
    let (disk, end) = closed();

    let mut copy = open_copy(disk);
    assert!(copy.claims == 1);
    let epoch = copy.read(read("a", end.clone(), 0)).epoch;
    copy.disk.lose_unsynced();
    let mut again = copy.reopen(settings(), 3);

    assert!(!again.opened.unwrap().is_copy);
    assert_eq!(again.read(read("a", end, 0)).epoch, epoch);
}

#[test]
fn a_copy_is_not_claimed_before_its_new_epochs_are_durable() {
    let (disk, _) = closed();
    let mut copy = Harness::start_held_with(settings(), disk, |faults| faults.place = Place::New);

    let mut operations = 0;
    while let Some(opened) = (!copy.held.is_empty()).then(|| copy.opened.is_some()) {
        assert!(!opened && copy.claims == 0);
        copy.release();
        operations += 1;
    }

    assert!(operations >= 2, "a write and a sync");
    assert!(copy.claims == 1 && copy.opened.is_some());
}

#[test]
fn a_new_directory_is_claimed_and_is_not_a_copy() {
    let new = open_copy(Disk::default());

    assert!(!new.opened.expect("open").has_new_epochs);
    assert!(new.claims == 1);
}
