//! State, mode, failures in a row and generation in one atomic word, so that one load reads them together.

use crate::settings::MAX_ROW;
use crate::sync::{AtomicU64, Ordering};
use crate::{Mode, State};

const MODE_AT: u32 = 2;
const WINDOWS_AT: u32 = 4;
const ROW_AT: u32 = 5;
pub(crate) const GENERATION_AT: u32 = 21;
const ROW_MASK: u64 = (MAX_ROW as u64) << ROW_AT;

/// From the low bit: state 2, mode 2, whether windows count 1, failures in a row 16, generation 43.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word(u64);

impl Word {
    pub(crate) const fn state(self) -> State {
        match self.0 & 3 {
            0 => State::Closed,
            1 => State::Open,
            _ => State::HalfOpen,
        }
    }

    pub(crate) const fn mode(self) -> Mode {
        match (self.0 >> MODE_AT) & 3 {
            0 => Mode::Auto,
            1 => Mode::ForcedOpen,
            2 => Mode::Disabled,
            _ => Mode::Shadow,
        }
    }

    /// The state as the outside sees it: the mode masks what lies beneath.
    pub(crate) const fn exported(self) -> State {
        match self.mode() {
            Mode::ForcedOpen => State::Open,
            Mode::Disabled => State::Closed,
            Mode::Auto | Mode::Shadow => self.state(),
        }
    }

    pub(crate) const fn windows(self) -> bool {
        self.0 & (1 << WINDOWS_AT) != 0
    }

    pub(crate) const fn row(self) -> u32 {
        ((self.0 & ROW_MASK) >> ROW_AT) as u32
    }

    pub(crate) const fn generation(self) -> u64 {
        self.0 >> GENERATION_AT
    }

    /// Verdicts of `generation` move this state. A mode that masks the state begins a generation of its own.
    pub(crate) const fn is(self, state: State, generation: u64) -> bool {
        self.state() as u8 == state as u8 && self.generation() == generation
    }

    pub(crate) const fn with_state(self, state: State) -> Self {
        Self(self.0 & !3 | state as u64)
    }

    pub(crate) const fn with_mode(self, mode: Mode) -> Self {
        Self(self.0 & !(3 << MODE_AT) | (mode as u64) << MODE_AT)
    }

    pub(crate) const fn with_windows(self, windows: bool) -> Self {
        Self(self.0 & !(1 << WINDOWS_AT) | (windows as u64) << WINDOWS_AT)
    }

    pub(crate) const fn with_row(self, row: u32) -> Self {
        let row = if row > MAX_ROW { MAX_ROW } else { row };
        Self(self.0 & !ROW_MASK | (row as u64) << ROW_AT)
    }

    #[cfg(test)]
    pub(crate) const fn at_generation(generation: u64) -> Self {
        Self(generation << GENERATION_AT)
    }

    /// Closed in mode auto: nothing to ask.
    #[inline]
    pub(crate) const fn is_plainly_closed(self) -> bool {
        self.0 & ((1 << WINDOWS_AT) - 1) == 0
    }

    pub(crate) const fn next_generation(self) -> Self {
        Self(self.0.wrapping_add(1 << GENERATION_AT))
    }
}

/// Only the holder of the ledger's lock changes state, mode and generation; a success may clear the
/// row at any time, which is why every change is a compare-and-swap.
#[derive(Debug)]
pub(crate) struct AtomicWord(AtomicU64);

impl AtomicWord {
    pub(crate) fn new(windows: bool) -> Self {
        Self(AtomicU64::new(Word(0).with_windows(windows).0))
    }

    #[inline]
    pub(crate) fn load(&self) -> Word {
        Word(self.0.load(Ordering::Acquire))
    }

    /// Applies `change` and gives the new word.
    pub(crate) fn update(&self, change: impl Fn(Word) -> Word) -> Word {
        let mut seen = self.load();
        loop {
            let wanted = change(seen);
            match self.0.compare_exchange_weak(
                seen.0,
                wanted.0,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return wanted,
                Err(found) => seen = Word(found),
            }
        }
    }

    /// Ends the row of failures if `seen` still holds, whatever the row has become.
    #[cold]
    pub(crate) fn clear_row(&self, seen: Word) {
        let mut seen = seen;
        let (state, generation) = (seen.state(), seen.generation());
        while seen.row() > 0 && seen.is(state, generation) {
            let wanted = seen.with_row(0).0;
            match self
                .0
                .compare_exchange_weak(seen.0, wanted, Ordering::AcqRel, Ordering::Acquire)
            {
                Ok(_) => return,
                Err(found) => seen = Word(found),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_touch_each_other() {
        let mut word = Word(0);
        for _ in 0..1_000 {
            word = word.next_generation();
        }
        let word = word
            .with_row(u32::MAX)
            .with_state(State::HalfOpen)
            .with_mode(Mode::Shadow)
            .with_windows(true);
        assert_eq!((word.row(), word.generation()), (MAX_ROW, 1_000));
        assert_eq!((word.state(), word.mode()), (State::HalfOpen, Mode::Shadow));
        let word = word.with_row(0).with_windows(false).with_mode(Mode::Auto);
        assert_eq!(
            (word.row(), word.windows(), word.generation()),
            (0, false, 1_000)
        );
        assert_eq!((word.state(), word.mode()), (State::HalfOpen, Mode::Auto));
    }

    #[test]
    fn a_stale_success_clears_no_later_row() {
        let word = AtomicWord::new(false);
        let seen = word.update(|word| word.with_row(2));
        word.update(|word| word.next_generation().with_row(3));
        word.clear_row(seen);
        assert_eq!(word.load().row(), 3);
    }
}
