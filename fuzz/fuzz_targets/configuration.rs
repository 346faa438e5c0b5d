//! Whatever stands in a configuration: it is taken, or every mistake has a line that is there and a word.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let lines = text.matches('\n').count() + 1;
    for fault in mainstay::faults(text, &[]) {
        assert!(fault.line.is_none_or(|line| (1..=lines).contains(&line)), "{fault:?}");
        assert!(!fault.message.is_empty(), "{fault:?}");
    }
});
