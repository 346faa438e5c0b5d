//! From a text to an [`Invoice`]: each part is read by its own module.

use std::sync::LazyLock;

use regex::Regex;

use super::amount::{self, Style};
use super::date::{self, Role};
use super::finding::{Code, Finding};
use super::fold;
use super::invoice::{Authorization, Invoice};
use super::ocr::{self, Change};
use super::{items, parties, totals, voucher};

/// A text split into lines, blank ones left out, with the number format it uses.
pub(crate) struct Document<'a> {
    pub lines: Vec<TextLine<'a>>,
    pub style: Style,
}

/// One line, as written and folded for comparison.
pub(crate) struct TextLine<'a> {
    pub text: &'a str,
    pub folded: String,
}

impl TextLine<'_> {
    /// The line as written from a byte offset in its folded form.
    pub(crate) fn original_from(&self, folded_offset: usize) -> String {
        let characters = self.folded[..folded_offset].chars().count();
        self.text.chars().skip(characters).collect()
    }
}

impl<'a> Document<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let lines = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .flat_map(pieces)
            .map(|text| TextLine {
                text,
                folded: fold::fold(text),
            })
            .collect();
        Self {
            lines,
            style: amount::style_of(
                text.split(|c: char| c.is_whitespace() || matches!(c, '|' | ';' | ':' | '$')),
            ),
        }
    }
}

/// No line of an invoice is longer, in bytes. Longer ones are read in pieces, so that time grows with the length of the text alone.
const MAX_LINE: usize = 1000;

/// A line in pieces of at most [`MAX_LINE`] bytes; a short or empty line is one piece.
fn pieces(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let (piece, after) = line.split_at(line.floor_char_boundary(MAX_LINE));
        rest = (!after.is_empty()).then_some(after);
        Some(piece)
    })
}

/// What was read, and what is doubtful about the reading itself.
pub(crate) struct Reading {
    pub invoice: Invoice,
    pub findings: Vec<Finding>,
}

/// Reads an invoice. Digits that a scan turned into letters are repaired first, and reported.
pub(crate) fn read(text: &str) -> Reading {
    let (text, changes) = ocr::repair_numbers(text);
    let text = ocr::close_amounts(&text);
    let document = Document::new(&text);
    let mut findings: Vec<Finding> = repaired(&changes).into_iter().collect();
    if document.style == Style::Mixed {
        findings.push(Finding::new(
            Code::MixedFormats,
            "text",
            "Hay importes con coma decimal y con punto decimal.",
            "Some amounts have a decimal comma and some a decimal point.",
        ));
    }
    let invoice = invoice(&document, &mut findings);
    Reading { invoice, findings }
}

fn invoice(document: &Document<'_>, findings: &mut Vec<Finding>) -> Invoice {
    let folded = || document.lines.iter().map(|line| line.folded.as_str());
    let heading = voucher::heading(folded());
    let dates = dates(document);
    let (issuer, receiver) = parties::read(document);
    let lines: Vec<&str> = folded().collect();
    let authorization = voucher::authorization(&lines).map(|(kind, number)| {
        let due_date = dates.authorization_due.clone();
        Authorization {
            kind,
            number,
            due_date,
        }
    });
    Invoice {
        kind: heading.kind,
        letter: heading.letter,
        afip_code: heading.code,
        number: voucher::number(folded()),
        issue_date: dates.issue,
        due_date: dates.due,
        issuer,
        receiver,
        authorization,
        currency: Some(currency(document)),
        items: items::read(document),
        totals: totals::read(document, findings),
    }
}

fn repaired(changes: &[Change]) -> Option<Finding> {
    const SHOWN: usize = 5;
    if changes.is_empty() {
        return None;
    }
    let mut shown: Vec<String> = changes
        .iter()
        .take(SHOWN)
        .map(|c| format!("«{}» → «{}»", c.from, c.to))
        .collect();
    if changes.len() > SHOWN {
        shown.push("…".to_owned());
    }
    let (count, shown) = (changes.len(), shown.join(", "));
    Some(Finding::new(
        Code::OcrRepaired,
        "text",
        format!("Se corrigieron {count} números mal escaneados antes de leer: {shown}."),
        format!("{count} badly scanned numbers were repaired before reading: {shown}."),
    ))
}

fn currency(document: &Document<'_>) -> String {
    static FOREIGN: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"u\$s|us\$|\busd\b|dolares").expect("a constant pattern"));
    let foreign = document
        .lines
        .iter()
        .any(|line| FOREIGN.is_match(&line.folded));
    if foreign { "USD" } else { "ARS" }.to_owned()
}

#[derive(Default)]
struct Dates {
    issue: Option<String>,
    due: Option<String>,
    authorization_due: Option<String>,
}

/// Sorts dates by the labels before them: in the line, in the line above (a header), or none.
fn dates(document: &Document<'_>) -> Dates {
    static AUTHORIZATION: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\bc\.? ?a\.? ?[ei]\.?a?\b").expect("a constant pattern"));
    let mut dates = Dates::default();
    let mut unlabelled: Option<String> = None;
    let mut above: &str = "";
    for line in &document.lines {
        let found = date::find_all(&line.folded);
        let mut from = 0;
        let header = if from_header(&line.folded, &found) {
            date::labels(above)
        } else {
            Vec::new()
        };
        for (index, date) in found.iter().enumerate() {
            let label = date::labels(&line.folded[from..date.start]).last().copied();
            let role = label.or_else(|| {
                header
                    .get(index)
                    .or(header.last().filter(|_| header.len() == 1))
                    .copied()
            });
            let role = match role {
                // "Vto." alone below the CAE is the CAE's.
                Some(Role::Due)
                    if AUTHORIZATION.is_match(above) && dates.authorization_due.is_none() =>
                {
                    Role::AuthorizationDue
                }
                Some(role) => role,
                None => Role::Unlabelled,
            };
            let slot = match role {
                Role::Issue => &mut dates.issue,
                Role::Due => &mut dates.due,
                Role::AuthorizationDue => &mut dates.authorization_due,
                Role::Unlabelled => &mut unlabelled,
                Role::Other => {
                    from = date.end;
                    continue;
                }
            };
            slot.get_or_insert_with(|| date.value());
            from = date.end;
        }
        if !line.folded.trim().is_empty() {
            above = &line.folded;
        }
    }
    dates.issue = dates.issue.or(unlabelled);
    dates
}

/// Whether a line begins with a date, so that its labels may stand above.
fn from_header(folded: &str, found: &[date::Found]) -> bool {
    found
        .first()
        .is_some_and(|first| !folded[..first.start].contains(|c: char| c.is_ascii_alphabetic()))
}
