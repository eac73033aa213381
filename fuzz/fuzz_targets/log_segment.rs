//! Feeds fuzzed segments to the log.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| steadfast_fuzz::log_segment::check(data));
