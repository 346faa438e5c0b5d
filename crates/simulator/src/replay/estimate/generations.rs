//! How a breaker's changes are numbered for the controller, which takes no notice of an earlier number.

/// The controller hears of each change once, and only of later ones.
#[derive(Debug)]
pub(super) struct Generations {
    pub(super) recorded: u64,
    pub(super) told: u64,
    /// From a recorded one to the one that is told, while together.
    ahead: u64,
}

impl Generations {
    pub(super) const fn new(now: u64) -> Self {
        Self {
            recorded: now,
            told: now,
            ahead: 0,
        }
    }

    pub(super) fn together(&mut self, recorded: u64) -> u64 {
        self.recorded = recorded;
        self.told = recorded.wrapping_add(self.ahead);
        self.told
    }

    pub(super) fn apart(&mut self) -> u64 {
        self.told = self.told.wrapping_add(1);
        self.told
    }

    pub(super) fn joined(&mut self) {
        self.ahead = self.told.wrapping_sub(self.recorded);
    }
}
