//! A world's recording, as the runtime makes one of the real world.

use mainstay_breaker::Moment;
use mainstay_degradation::recording::{Bounds, Encoder, Head};
use mainstay_degradation::{Effect, Input};

use crate::figures::Figures;
use crate::world::World;

#[derive(Debug)]
pub(crate) struct Recorder {
    encoder: Encoder,
    bytes: Vec<u8>,
}

impl Recorder {
    pub(crate) fn input(&mut self, now: Moment, input: &Input) {
        self.encoder.input(now, input, &mut self.bytes);
    }

    pub(crate) fn figures(&mut self, all: &[Figures]) {
        let breakers: Vec<_> = all.iter().map(|one| one.breaker).collect();
        self.encoder.breakers(&breakers, &mut self.bytes);
        self.encoder.bounds(&bounds(all), &mut self.bytes);
    }

    pub(crate) fn effects(&mut self, effects: &[Effect]) {
        self.encoder.effects(effects, &mut self.bytes);
    }
}

fn bounds(figures: &[Figures]) -> Vec<Bounds> {
    let bounds = figures.iter().map(|one| Bounds {
        limit: one.limit,
        deadline: one.call_deadline,
    });
    bounds.collect()
}

impl World {
    /// Records from now on. What was recorded before is forgotten.
    pub fn record(&mut self) {
        let figures: Vec<_> = self.endpoints.iter().map(|one| one.figures).collect();
        let head = Head {
            at: self.now,
            wall_ms: 0,
            program: concat!("mainstay-simulator ", env!("CARGO_PKG_VERSION")).to_owned(),
            breakers: figures.iter().map(|one| one.breaker).collect(),
            controller: self.controller.clone(),
        };
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&head, &mut bytes);
        encoder.bounds(&bounds(&figures), &mut bytes);
        self.recorder = Some(Recorder { encoder, bytes });
    }

    /// What was recorded so far; empty without [`World::record`].
    #[must_use]
    pub fn recording(&mut self) -> Vec<u8> {
        let Some(recorder) = &mut self.recorder else {
            return Vec::new();
        };
        recorder.encoder.flush(&mut recorder.bytes);
        recorder.bytes.clone()
    }
}
