//! Whatever a recording's bytes are, its replay is a story or an error, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_degradation::Language;
use mainstay_simulator::{WhatIf, replay};

fuzz_target!(|bytes: &[u8]| {
    let _ = replay(bytes, &WhatIf::default(), Language::English);
});
