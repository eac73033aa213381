//! Feeds fuzzed messages to the JSON decoder of replies.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| steadfast_fuzz::json_replies::check(data));
