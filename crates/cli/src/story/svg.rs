//! A story as a picture: the score over its levels, and a lane for each breaker, on one axis of time. Two stories stand
//! one above the other on the same axis.

use std::fmt::Write as _;
use std::time::Duration;

use mainstay_breaker::State;
use mainstay_degradation::Level;

use super::table::reliance;
use super::{Told, clock, stretches};

const WIDTH: f64 = 1_200.0;
/// Room for the names of lanes, and at the other edge.
const LEFT: f64 = 170.0;
const RIGHT: f64 = 24.0;
/// The name of a story, above its facts.
const HEAD: f64 = 48.0;
/// A line of facts, and how many letters fit into it.
const FACTS: f64 = 14.0;
const LINE: usize = 180;
const SCORE: f64 = 150.0;
const LANE: f64 = 26.0;
const GAP: f64 = 8.0;
const AXIS: f64 = 34.0;
const LEGEND: f64 = 34.0;
/// Marks on the axis of time, at most.
const MARKS: u64 = 12;
/// Steps between marks, in seconds.
const STEPS: [u64; 16] = [
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400,
];
/// Wide enough for a level's name, in pixels for each letter.
const LETTER: f64 = 7.5;

const STYLE: &str = "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-size:17px;font-weight:600}\
.small{font-size:11px;fill:#57606a}.grid{stroke:#d0d7de;stroke-width:1}.edge{stroke:#8c959f;stroke-dasharray:3 4}\
.score{fill:none;stroke:#0b3d91;stroke-width:2;stroke-linejoin:round}";

/// The picture, as a file of its own.
pub(crate) fn svg(stories: &[&Told]) -> String {
    let length = stories.iter().map(|one| one.story.lasted).max();
    let axis = Axis {
        length: length.unwrap_or_default().max(Duration::from_secs(1)),
    };
    let height: f64 = stories.iter().map(|one| panel_height(one)).sum::<f64>() + LEGEND;
    let mut out = Svg(String::new());
    out.line(format_args!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"Score, levels and breakers over time\">"
    ));
    out.line(format_args!("<style>{STYLE}</style>"));
    out.rect((0.0, 0.0), (WIDTH, height), "#ffffff", None);
    let mut top = 0.0;
    for told in stories {
        out.panel(&axis, told, top);
        top += panel_height(told);
    }
    out.legend(top);
    out.line(format_args!("</svg>"));
    out.0
}

fn panel_height(told: &Told) -> f64 {
    head_height(told) + SCORE + GAP + LANE * told.story.lanes.len() as f64 + AXIS
}

fn head_height(told: &Told) -> f64 {
    HEAD + FACTS * facts(told).len() as f64
}

/// Time at each level, and how far all of it can be relied on, in lines that fit.
fn facts(told: &Told) -> Vec<String> {
    let held = Level::ALL.iter().zip(told.story.summary.time_at);
    let held = held.filter(|(_, time)| time.as_secs() > 0);
    let mut facts: Vec<_> = held
        .map(|(level, time)| format!("{level} {}", clock(time)))
        .collect();
    facts.push(reliance(&told.story.fidelity).0);
    wrapped(&facts.join("  ·  "))
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > LINE {
            lines.push(word.to_owned());
        } else if let Some(last) = lines.last_mut() {
            if line > 0 {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

/// Where a time lies.
struct Axis {
    length: Duration,
}

impl Axis {
    fn x(&self, at: Duration) -> f64 {
        let share = at.as_secs_f64() / self.length.as_secs_f64();
        LEFT + share.min(1.0) * (WIDTH - LEFT - RIGHT)
    }

    fn marks(&self) -> impl Iterator<Item = Duration> + use<> {
        let seconds = self.length.as_secs();
        let fits = |step: &u64| seconds / step <= MARKS;
        let step = STEPS.into_iter().find(fits).unwrap_or(seconds / MARKS + 1);
        (0..=seconds / step).map(move |mark| Duration::from_secs(mark * step))
    }
}

struct Svg(String);

impl Svg {
    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing to a string can't fail.
        let _ = writeln!(self.0, "{line}");
    }

    fn text(&mut self, at: (f64, f64), class: &str, anchor: &str, text: &str) {
        let ((x, y), text) = (at, escaped(text));
        self.line(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\" text-anchor=\"{anchor}\">{text}</text>"
        ));
    }

    fn rect(&mut self, at: (f64, f64), size: (f64, f64), fill: &str, title: Option<&str>) {
        let ((x, y), (width, height)) = (at, size);
        let title = title.map_or(String::new(), |title| {
            format!("<title>{}</title>", escaped(title))
        });
        self.line(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\">{title}</rect>"
        ));
    }

    fn panel(&mut self, axis: &Axis, told: &Told, top: f64) {
        self.text((16.0, top + 26.0), "title", "start", &told.name);
        let mut y = top + 44.0;
        for line in facts(told) {
            self.text((16.0, y), "small", "start", &line);
            y += FACTS;
        }
        let top = top + head_height(told);
        self.levels(axis, told, top);
        self.score(axis, told, top);
        let lanes = top + SCORE + GAP;
        self.lanes(axis, told, lanes);
        self.axis(axis, told, lanes + LANE * told.story.lanes.len() as f64);
    }

    fn lanes(&mut self, axis: &Axis, told: &Told, top: f64) {
        for (index, lane) in told.story.lanes.iter().enumerate() {
            let y = top + LANE * index as f64;
            self.text((LEFT - 10.0, y + 17.0), "", "end", &lane.endpoint);
            let states = lane.states.iter().copied();
            let mut parts = stretches(states, told.story.lasted);
            // The shortest on top: they must be seen, too.
            parts.sort_by_key(|(from, to, _)| std::cmp::Reverse(*to - *from));
            for (from, to, state) in parts {
                let x = axis.x(from);
                let (since, until) = (clock(from), clock(to));
                let state_word = word(state);
                let words = format!("{} {state_word}, {since} to {until}", lane.endpoint);
                let width = (axis.x(to) - x).max(2.0);
                let size = (width, LANE - 6.0);
                self.rect((x, y + 3.0), size, colour_of_state(state), Some(&words));
            }
        }
    }

    /// The background of the score: its level at each time.
    fn levels(&mut self, axis: &Axis, told: &Told, y: f64) {
        let levels = told.story.levels.iter().map(|span| (span.from, span.level));
        for (from, to, level) in stretches(levels, told.story.lasted) {
            let (x, name) = (axis.x(from), level.to_string());
            let width = (axis.x(to) - x).max(1.0);
            let words = format!("{name}, {} to {}", clock(from), clock(to));
            self.rect((x, y), (width, SCORE), colour_of_level(level), Some(&words));
            if width > LETTER * name.len() as f64 + 8.0 {
                self.text((x + 5.0, y + SCORE - 7.0), "small", "start", &name);
            }
        }
    }

    fn score(&mut self, axis: &Axis, told: &Told, top: f64) {
        let y = |score: f64| top + SCORE * (1.0 - score.clamp(0.0, 100.0) / 100.0);
        self.text((LEFT - 34.0, top + SCORE / 2.0 + 4.0), "", "end", "score");
        for edge in [0.0, 40.0, 60.0, 70.0, 90.0, 100.0] {
            let (at, end) = (y(edge), WIDTH - RIGHT);
            self.line(format_args!(
                "<line x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{end}\" y2=\"{at:.1}\" class=\"edge\"/>"
            ));
            let words = format!("{edge}");
            self.text((LEFT - 10.0, at + 4.0), "small", "end", &words);
        }
        let mut path = String::new();
        let scores = told.story.scores.iter().copied();
        for (from, to, score) in stretches(scores, told.story.lasted) {
            let (x, until, at) = (axis.x(from), axis.x(to), y(score));
            let command = if path.is_empty() { 'M' } else { 'L' };
            // Writing to a string can't fail.
            let _ = write!(path, "{command}{x:.1} {at:.1}L{until:.1} {at:.1}");
        }
        self.line(format_args!("<path d=\"{path}\" class=\"score\"/>"));
    }

    fn axis(&mut self, axis: &Axis, told: &Told, y: f64) {
        let end = WIDTH - RIGHT;
        self.line(format_args!(
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{end}\" y2=\"{y:.1}\" class=\"grid\"/>"
        ));
        for mark in axis.marks() {
            let x = axis.x(mark);
            self.line(format_args!(
                "<line x1=\"{x:.1}\" y1=\"{y:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" class=\"grid\"/>",
                y + 5.0
            ));
            // By the clock on the wall if it happened, else since the beginning.
            let wall = told.wall(mark);
            let words = wall.map_or_else(|| clock(mark), |at| at.strftime("%H:%M:%S").to_string());
            self.text((x, y + 18.0), "small", "middle", &words);
        }
    }

    fn legend(&mut self, y: f64) {
        let levels = Level::ALL.map(|level| (level.to_string(), colour_of_level(level)));
        let states = [State::Closed, State::HalfOpen, State::Open];
        let states =
            states.map(|state| (format!("breaker {}", word(state)), colour_of_state(state)));
        let mut x = LEFT;
        for (name, colour) in levels.into_iter().chain(states) {
            self.rect((x, y + 6.0), (14.0, 14.0), colour, None);
            self.text((x + 20.0, y + 17.0), "small", "start", &name);
            x += 36.0 + 6.6 * name.len() as f64;
        }
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::HalfOpen => "half-open",
        State::Open => "open",
    }
}

fn colour_of_level(level: Level) -> &'static str {
    match level {
        Level::Optimal => "#d8f3dc",
        Level::Degraded => "#fff3bf",
        Level::Limited => "#ffd8a8",
        Level::Minimal => "#ffc9c9",
        Level::Emergency => "#f08c8c",
    }
}

fn colour_of_state(state: State) -> &'static str {
    match state {
        State::Closed => "#74c69d",
        State::HalfOpen => "#f4a261",
        State::Open => "#c1121f",
    }
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    text.replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests;
