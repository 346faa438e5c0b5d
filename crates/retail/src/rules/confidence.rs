//! How far an invoice analysis can be trusted, from what was found and what confirmed it.

use super::checks::Checked;
use super::finding::{Code, Finding};
use super::invoice::Invoice;
use super::totals_check::Sum;

/// Found, and nothing in the document could confirm or deny it.
const UNCONFIRMED: f64 = 0.5;

/// What a finding about the document itself (not about one fact) takes off.
const DOUBT: f64 = 0.05;

/// The weighted share of an invoice's facts that were found and confirmed, `0..=1`, to two decimals.
///
/// Facts and weights: kind and letter 1, number 1, issue date 1, issuer's CUIT 2, receiver's CUIT 1 (when there is one or the
/// letter needs one), authorisation 1, lines 2, total 3. A fact scores 1 when found and free of findings, 0.5 when found and
/// nothing could confirm it, 0 when missing or contradicted; lines score the share of them that add up, halved when their
/// sum fails. Each further kind of finding (ambiguity, repairs, what the document doesn't hold) takes off 0.05.
pub(crate) fn of(invoice: &Invoice, checked: &Checked, all: &[Finding]) -> f64 {
    let clear = |field: &str| !all.iter().any(|finding| finding.field.starts_with(field));
    let fact = |found: bool, field: &str| f64::from(u8::from(found && clear(field)));
    let kind = fact(invoice.kind.is_some() && clear("afip_code"), "kind")
        .min(fact(invoice.letter.is_some(), "letter"));
    let mut scores = vec![
        (1.0, kind),
        (1.0, fact(invoice.number.is_some(), "number")),
        (1.0, fact(invoice.issue_date.is_some(), "issue_date")),
        (2.0, fact(invoice.issuer.cuit.is_some(), "issuer.cuit")),
        (1.0, fact(invoice.authorization.is_some(), "authorization")),
        (2.0, lines(invoice, checked)),
        (
            3.0,
            if clear("totals.total") {
                total(invoice, checked)
            } else {
                0.0
            },
        ),
    ];
    if invoice.receiver.cuit.is_some()
        || invoice
            .letter
            .is_some_and(super::voucher::Letter::itemises_vat)
    {
        scores.push((1.0, fact(invoice.receiver.cuit.is_some(), "receiver.cuit")));
    }
    let weights: f64 = scores.iter().map(|(weight, _)| weight).sum();
    let score: f64 = scores
        .iter()
        .map(|(weight, score)| weight * score)
        .sum::<f64>()
        / weights;
    rounded(score - DOUBT * doubts(all))
}

fn lines(invoice: &Invoice, checked: &Checked) -> f64 {
    if invoice.items.is_empty() {
        return 0.0;
    }
    let hold = share(checked.lines_that_hold, invoice.items.len());
    match checked.lines_sum {
        Sum::Holds => hold,
        Sum::Unknown | Sum::Fails => hold * UNCONFIRMED,
    }
}

fn total(invoice: &Invoice, checked: &Checked) -> f64 {
    let confirmed_by_lines = checked.lines_sum == Sum::Holds && invoice.totals.vat.is_empty();
    match (invoice.totals.total, checked.total) {
        (None, _) | (_, Sum::Fails) => 0.0,
        (Some(_), Sum::Holds) => 1.0,
        (Some(_), Sum::Unknown) if confirmed_by_lines => 1.0,
        (Some(_), Sum::Unknown) => UNCONFIRMED,
    }
}

/// How many kinds of doubt about the document there are.
fn doubts(findings: &[Finding]) -> f64 {
    const KINDS: [Code; 7] = [
        Code::AmountAmbiguous,
        Code::MixedFormats,
        Code::OcrRepaired,
        Code::NotInDocument,
        Code::RulesDiffer,
        Code::VatAmount,
        Code::VatLetter,
    ];
    KINDS
        .iter()
        .map(|kind| {
            f64::from(u8::from(
                findings.iter().any(|finding| finding.code == *kind),
            ))
        })
        .sum()
}

/// `part / whole`; 0 of an empty whole.
pub(crate) fn share(part: usize, whole: usize) -> f64 {
    let exact = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    if whole == 0 {
        0.0
    } else {
        exact(part) / exact(whole)
    }
}

/// Within `0..=1`, to two decimals.
pub(crate) fn rounded(value: f64) -> f64 {
    (value.clamp(0.0, 1.0) * 100.0).round() / 100.0
}
