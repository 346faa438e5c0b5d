//! Cleans up scanned text: spacing, and letters where digits belong. Words stay as they are, and no character but white space is
//! added or dropped, so that every change can be listed with its place.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::confidence;
use super::cuit::{self, Cuit};
use super::date;
use super::finding::{Code, Finding, bounded};
use super::{ocr_numbers, ocr_spacing};

/// One place where the clean text differs from the original.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// Where it begins in the original, in characters from 0.
    pub position: usize,
    /// What stood there.
    pub from: String,
    /// What stands there now.
    pub to: String,
    /// Whether anything but white space changed.
    pub kind: ChangeKind,
}

/// Kinds of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// White space only.
    Spacing,
    /// A character was replaced.
    Character,
}

/// Passes after which a text is taken as clean. Each pass leaves fewer letters or spaces to change; real texts need two.
const MAX_PASSES: usize = 8;

/// Cleans spacing and numbers. Cleaning a clean text changes nothing.
pub fn enhance(text: &str) -> String {
    let mut clean = text.to_owned();
    for _ in 0..MAX_PASSES {
        let next = by_line(&clean, |line| {
            ocr_numbers::repair(&ocr_spacing::normalise(line))
        });
        if next == clean {
            break;
        }
        clean = next;
    }
    clean
}

/// Repairs numbers only, leaving the layout as it is.
pub(crate) fn repair_numbers(text: &str) -> (String, Vec<Change>) {
    let repaired = by_line(text, ocr_numbers::repair);
    let changes = diff(text, &repaired).unwrap_or_default();
    (repaired, changes)
}

/// Takes the gaps out of amounts, leaving the layout as it is.
pub(crate) fn close_amounts(text: &str) -> String {
    by_line(text, ocr_spacing::close_amounts)
}

fn by_line(text: &str, mut clean: impl FnMut(&str) -> String) -> String {
    text.split('\n')
        .map(&mut clean)
        .collect::<Vec<_>>()
        .join("\n")
}

/// The share of a text's numbers that can be relied on, and what to check.
pub(crate) struct Judgement {
    pub certainty: f64,
    pub findings: Vec<Finding>,
}

/// Judges a cleaned text. Certainty is the share of its numbers that were legible or are confirmed by a check digit or the calendar;
/// a repair that nothing confirms counts half, an unreadable number or a wrong CUIT not at all. Without numbers it is 0.5.
pub(crate) fn judge(text: &str, changes: &[Change]) -> Judgement {
    let mut findings = Vec::new();
    let (mut numbers, mut bad) = (0_usize, 0_usize);
    for (index, line) in text.split('\n').enumerate() {
        let field = format!("text:{}", index + 1);
        let tokens = ocr_numbers::survey(line);
        numbers += tokens.numbers;
        bad += tokens.unreadable.len();
        findings.extend(
            tokens
                .unreadable
                .iter()
                .map(|token| unreadable(&field, token)),
        );
        for candidate in cuit::candidates(line) {
            let labelled = ocr_numbers::names_cuit(&line[..candidate.start]);
            if labelled && Cuit::parse(&candidate.text).is_err() {
                bad += 1;
                findings.push(wrong_cuit(&field, &candidate.text));
            }
        }
    }
    let guessed = changes
        .iter()
        .filter(|c| c.kind == ChangeKind::Character && !confirmed(&c.to))
        .count();
    let certainty = if numbers == 0 {
        0.5
    } else {
        1.0 - confidence::share(2 * bad + guessed, 2 * numbers)
    };
    Judgement {
        certainty: certainty.clamp(0.0, 1.0),
        findings: bounded(findings),
    }
}

/// Whether a check digit or the calendar confirms a repaired number.
fn confirmed(text: &str) -> bool {
    Cuit::parse(text).is_ok() || date::parse(text).is_some()
}

fn unreadable(field: &str, token: &str) -> Finding {
    Finding::new(
        Code::OcrUnreadable,
        field,
        format!(
            "«{token}» parece un número mal escaneado; no se corrigió porque nada lo confirma."
        ),
        format!(
            "“{token}” looks like a badly scanned number; it was left as it is since nothing confirms a repair."
        ),
    )
}

fn wrong_cuit(field: &str, text: &str) -> Finding {
    Finding::new(
        Code::CuitCheckDigit,
        field,
        format!("El dígito verificador del CUIT {text} no corresponde."),
        format!("The check digit of CUIT {text} doesn't hold."),
    )
}

/// An edit: ranges in the characters of the original and of the new text.
#[derive(Clone, Copy)]
struct Edit {
    old: (usize, usize),
    new: (usize, usize),
    kind: ChangeKind,
}

/// The changes from `original` to `new`, whole tokens at a time; `None` if they differ in the number of characters that aren't white space.
pub(crate) fn diff(original: &str, new: &str) -> Option<Vec<Change>> {
    let (old, new): (Vec<char>, Vec<char>) = (original.chars().collect(), new.chars().collect());
    let (mut i, mut j) = (0, 0);
    let mut edits: Vec<Edit> = Vec::new();
    loop {
        let (i2, j2) = (skip_space(&old, i), skip_space(&new, j));
        if old[i..i2] != new[j..j2] {
            let edit = Edit {
                old: (i, i2),
                new: (j, j2),
                kind: ChangeKind::Spacing,
            };
            let joins = (i == i2) != (j == j2);
            push(&mut edits, edit, joins, &old, &new);
        }
        (i, j) = (i2, j2);
        match (old.get(i), new.get(j)) {
            (None, None) => break,
            (Some(a), Some(b)) => {
                if a != b {
                    let edit = Edit {
                        old: (i, i + 1),
                        new: (j, j + 1),
                        kind: ChangeKind::Character,
                    };
                    push(&mut edits, edit, true, &old, &new);
                }
                (i, j) = (i + 1, j + 1);
            }
            _ => return None,
        }
    }
    let text =
        |chars: &[char], (start, end): (usize, usize)| chars[start..end].iter().collect::<String>();
    Some(
        edits
            .iter()
            .map(|e| Change {
                position: e.old.0,
                from: text(&old, e.old),
                to: text(&new, e.new),
                kind: e.kind,
            })
            .collect(),
    )
}

/// Adds an edit, widened to the tokens it touches, merged with the edit before if they meet. Every character is passed once.
fn push(edits: &mut Vec<Edit>, mut edit: Edit, widen: bool, old: &[char], new: &[char]) {
    if let Some(last) = edits
        .last_mut()
        .filter(|last| edit.old.1 <= last.old.1 && edit.new.1 <= last.new.1)
    {
        if edit.kind == ChangeKind::Character {
            last.kind = edit.kind;
        }
        return;
    }
    let floor = edits.last().map_or((0, 0), |last| (last.old.1, last.new.1));
    let dark = |chars: &[char], at: usize| chars.get(at).is_some_and(|c| !c.is_whitespace());
    if widen {
        while edit.old.0 > floor.0
            && edit.new.0 > floor.1
            && dark(old, edit.old.0 - 1)
            && dark(new, edit.new.0 - 1)
        {
            edit.old.0 -= 1;
            edit.new.0 -= 1;
        }
        while dark(old, edit.old.1) && dark(new, edit.new.1) {
            edit.old.1 += 1;
            edit.new.1 += 1;
        }
    }
    match edits.last_mut() {
        Some(last) if widen && last.old.1 == edit.old.0 && last.new.1 == edit.new.0 => {
            (last.old.1, last.new.1) = (edit.old.1, edit.new.1);
            if edit.kind == ChangeKind::Character {
                last.kind = edit.kind;
            }
        }
        _ => edits.push(edit),
    }
}

fn skip_space(chars: &[char], from: usize) -> usize {
    chars[from..]
        .iter()
        .position(|c| !c.is_whitespace())
        .map_or(chars.len(), |n| from + n)
}
