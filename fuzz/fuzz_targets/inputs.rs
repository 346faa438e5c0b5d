//! Whatever the controller is told, whenever: no panic, and the target is the band of the score.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mainstay_degradation::level::band;
use mainstay_degradation::{Controller, Effect, Input, Moment, Settings};

fuzz_target!(|bytes: &[u8]| {
    let rules = Settings::standard().validate().expect("the standard makes sense");
    let mut controller = Controller::new(rules, Moment::from_nanos(1));
    let (mut rest, mut effects) = (bytes, Vec::new());
    while !rest.is_empty() {
        let Ok(((now, input), left)) = postcard::take_from_bytes::<(Moment, Input)>(rest) else {
            rest = &rest[1..];
            continue;
        };
        rest = left;
        controller.handle(now, input, &mut effects);
        for effect in effects.drain(..) {
            if let Effect::Publish(snapshot) = effect {
                let bands = &controller.rules().settings().level;
                assert_eq!(snapshot.target, band(bands, snapshot.score));
            }
        }
    }
});
