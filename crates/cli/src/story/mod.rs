//! A replay as people see it: a table, figures side by side, a picture.

mod compare;
mod svg;
mod table;

use std::time::Duration;

use jiff::Timestamp;
use mainstay_simulator::Story;

pub(crate) use compare::compare;
pub(crate) use svg::svg;
pub(crate) use table::table;

/// A story and what tells it from another one beside it.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) name: String,
    pub(crate) story: Story,
}

impl Told {
    /// When it began; `None`: it never happened.
    fn began(&self) -> Option<Timestamp> {
        let ms = Some(self.story.wall_ms).filter(|ms| *ms != 0)?;
        Timestamp::from_millisecond(ms).ok()
    }

    /// The time on the wall; `None`: it never happened.
    fn wall(&self, at: Duration) -> Option<Timestamp> {
        let at = jiff::SignedDuration::try_from(at).ok()?;
        self.began()?.checked_add(at).ok()
    }
}

/// Hours, minutes and seconds, as `1:02:03` or `2:03`.
fn clock(span: Duration) -> String {
    let seconds = span.as_secs();
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        hours => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// The stretches between changes, up to the end: from, to, what.
fn stretches<T: Copy>(
    changes: impl Iterator<Item = (Duration, T)>,
    end: Duration,
) -> Vec<(Duration, Duration, T)> {
    let changes: Vec<_> = changes.collect();
    let ends = changes.iter().skip(1).map(|(at, _)| *at);
    let ends = ends.chain(std::iter::once(end));
    let all = changes.iter().zip(ends);
    all.map(|((from, what), to)| (*from, to.max(*from), *what))
        .collect()
}
