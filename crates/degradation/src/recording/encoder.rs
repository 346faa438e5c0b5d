//! Writes a recording, entry by entry, into whatever bytes it is handed.

use alloc::vec::Vec;

use mainstay_breaker::Moment;
use serde::Serialize;

use super::{Bounds, Decided, Head, Keeping, LONGEST_RUN, MAGIC, News, VERSION, digest};
use crate::controller::{Effect, Input, Observed};
use crate::snapshot::EndpointView;

/// What has to be known of the entries before to write the next one.
#[derive(Debug)]
pub struct Encoder {
    last: Moment,
    views: Vec<EndpointView>,
    run: Option<Run>,
    decided: Option<Decided>,
}

/// Ticks without news, all the same step apart.
#[derive(Debug, Clone, Copy)]
struct Run {
    step: i64,
    count: u32,
}

impl Encoder {
    /// Begins a recording at the end of `out`.
    #[must_use]
    pub fn new(head: &Head, out: &mut Vec<u8>) -> Self {
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        write(head, out);
        let endpoints = head.controller.rules().endpoints().count();
        Self {
            last: head.at,
            views: alloc::vec![EndpointView::default(); endpoints],
            run: None,
            decided: None,
        }
    }

    /// The controller is about to be told something.
    pub fn input(&mut self, now: Moment, input: &Input, out: &mut Vec<u8>) {
        let step = step(self.last, now);
        self.last = now;
        let Some(news) = self.news(input) else {
            self.flush(out);
            if let Input::Settings(rules) = input {
                self.views = alloc::vec![EndpointView::default(); rules.endpoints().count()];
            }
            write(&Keeping::Input { step, input }, out);
            return;
        };
        if news.is_empty() {
            self.idle(step, out);
            return;
        }
        self.flush(out);
        for (id, observed) in &news {
            self.views[id.index()] = observed.breaker;
        }
        write(&Keeping::Tick { step, news }, out);
    }

    /// The controller has answered: `effects` are those of the last input, and no others.
    pub fn effects(&mut self, effects: &[Effect], out: &mut Vec<u8>) {
        if let Some(decided) = Decided::by(effects).filter(|new| self.decided.as_ref() != Some(new))
        {
            self.flush(out);
            write(&Keeping::Decided(&decided), out);
            self.decided = Some(decided);
        }
        if let Some(digest) = digest(effects) {
            self.done(digest, out);
        }
    }

    /// The last input's effects had this [`digest()`].
    pub fn done(&mut self, digest: u64, out: &mut Vec<u8>) {
        self.flush(out);
        write(&Keeping::Done(digest), out);
    }

    /// The breakers were set anew: each endpoint's, in the order of the rules in force.
    pub fn breakers(&mut self, settings: &[mainstay_breaker::Settings], out: &mut Vec<u8>) {
        self.flush(out);
        write(&Keeping::Breakers(settings), out);
    }

    /// What bounds calls from here on: each endpoint's, in the order of the rules in force.
    pub fn bounds(&mut self, bounds: &[Bounds], out: &mut Vec<u8>) {
        self.flush(out);
        write(&Keeping::Bounds(bounds), out);
    }

    /// Writes what is being counted: before a recording ends, and whenever its bytes go to a file.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        if let Some(Run { step, count }) = self.run.take() {
            write(&Keeping::Idle { step, count }, out);
        }
    }

    fn idle(&mut self, step: i64, out: &mut Vec<u8>) {
        match &mut self.run {
            Some(run) if run.step == step && run.count < LONGEST_RUN => run.count += 1,
            _ => {
                self.flush(out);
                self.run = Some(Run { step, count: 1 });
            }
        }
    }

    /// The endpoints that a tick says something of; `None`: not a tick that speaks of all endpoints in their order.
    fn news<'a>(&self, input: &'a Input) -> Option<Vec<&'a News>> {
        let Input::Tick { observed } = input else {
            return None;
        };
        let in_order = (0..).zip(observed).all(|(at, (id, _))| id.index() == at);
        if !in_order || observed.len() != self.views.len() {
            return None;
        }
        let known = |(id, one): &&News| *one == quiet(self.views[id.index()]);
        Some(observed.iter().filter(|news| !known(news)).collect())
    }
}

/// What is observed of an endpoint where nothing has happened.
pub(super) fn quiet(breaker: EndpointView) -> Observed {
    Observed {
        breaker,
        ..Observed::default()
    }
}

/// Nanoseconds from one moment to another, backward if need be.
fn step(from: Moment, to: Moment) -> i64 {
    to.as_nanos().wrapping_sub(from.as_nanos()).cast_signed()
}

fn write(entry: &impl Serialize, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend([0; 4]);
    let bytes = core::mem::take(out);
    *out =
        postcard::to_extend(entry, bytes).expect("memory takes all, and every list has a length");
    let length = u32::try_from(out.len() - start - 4).expect("an entry is far below 4 GiB");
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}
