//! Holds a model's answer against the document: what it names has to stand there, and the rules' reading is a second opinion.

use std::collections::HashSet;
use std::fmt;

use rust_decimal::Decimal;

use super::amount::{self, En, Es, Style};
use super::date;
use super::finding::{Code, Finding};
use super::fold;
use super::invoice::Invoice;
use super::ocr;

/// The numbers and dates that a document holds.
struct Contents {
    /// The digits of every token and of every line.
    digits: HashSet<String>,
    lines: Vec<String>,
    amounts: HashSet<Decimal>,
    dates: HashSet<String>,
}

impl Contents {
    fn new(text: &str) -> Self {
        let (text, _) = ocr::repair_numbers(text);
        let folded = fold::fold(&text);
        let words = || {
            folded.split(|c: char| {
                c.is_whitespace() || matches!(c, '|' | ';' | ':' | '$' | '%' | '(' | ')')
            })
        };
        let read = |word: &str| amount::parse(word, Style::Unknown);
        let amounts = words()
            .map(|word| word.trim_end_matches(|c: char| !c.is_ascii_digit()))
            .filter_map(read)
            .flat_map(|amount| [Some(amount.value), amount.otherwise])
            .flatten()
            .map(|value| value.abs().normalize())
            .collect();
        let dates = folded
            .lines()
            .flat_map(date::find_all)
            .map(|found| found.value())
            .collect();
        Self {
            digits: words().map(digits).collect(),
            lines: folded.lines().map(digits).collect(),
            amounts,
            dates,
        }
    }

    fn has_digits(&self, text: &str) -> bool {
        let wanted = digits(text);
        self.digits.contains(&wanted) || self.lines.iter().any(|line| line.contains(&wanted))
    }

    fn has_amount(&self, value: Decimal) -> bool {
        value.is_zero() || self.amounts.contains(&value.abs().normalize())
    }
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// Reports what `invoice` states and `text` doesn't hold, and where `rules` read something else.
pub(crate) fn compare(text: &str, invoice: &Invoice, rules: &Invoice) -> Vec<Finding> {
    let contents = Contents::new(text);
    let mut findings = Vec::new();
    for (field, value) in numbers(invoice) {
        if !contents.has_digits(&value) {
            findings.push(absent(&field, &value, &value));
        }
    }
    for (field, value) in dates(invoice) {
        if !contents.dates.contains(&value) {
            findings.push(absent(&field, &value, &value));
        }
    }
    for (field, value) in amounts(invoice) {
        if !contents.has_amount(value) {
            findings.push(absent(&field, Es(value), En(value)));
        }
    }
    let facts = |invoice: &Invoice| [numbers(invoice), dates(invoice), headline(invoice)].concat();
    let read: Vec<(String, String)> = facts(rules);
    for (field, value) in facts(invoice) {
        if let Some((_, other)) = read
            .iter()
            .find(|(name, other)| *name == field && digits(other) != digits(&value))
        {
            findings.push(differs(&field, &value, other));
        }
    }
    findings
}

fn numbers(invoice: &Invoice) -> Vec<(String, String)> {
    let authorization = invoice.authorization.as_ref().map(|a| a.number.clone());
    some([
        ("number", invoice.number.clone()),
        ("issuer.cuit", invoice.issuer.cuit.clone()),
        ("receiver.cuit", invoice.receiver.cuit.clone()),
        ("authorization.number", authorization),
    ])
}

fn dates(invoice: &Invoice) -> Vec<(String, String)> {
    let authorization_due = invoice
        .authorization
        .as_ref()
        .and_then(|a| a.due_date.clone());
    some([
        ("issue_date", invoice.issue_date.clone()),
        ("due_date", invoice.due_date.clone()),
        ("authorization.due_date", authorization_due),
    ])
}

fn headline(invoice: &Invoice) -> Vec<(String, String)> {
    let text = |value: Option<Decimal>| value.map(|value| format!("{:.2}", value.round_dp(2)));
    some([
        ("totals.total", text(invoice.totals.total)),
        ("totals.net", text(invoice.totals.net)),
    ])
}

fn some<const N: usize>(fields: [(&str, Option<String>); N]) -> Vec<(String, String)> {
    fields
        .into_iter()
        .filter_map(|(field, value)| Some((field.to_owned(), value?)))
        .collect()
}

fn amounts(invoice: &Invoice) -> Vec<(String, Decimal)> {
    let totals = &invoice.totals;
    let mut all: Vec<(String, Option<Decimal>)> = [
        ("totals.subtotal", totals.subtotal),
        ("totals.discount", totals.discount),
        ("totals.net", totals.net),
        ("totals.untaxed", totals.untaxed),
        ("totals.exempt", totals.exempt),
        ("totals.other_taxes", totals.other_taxes),
        ("totals.total", totals.total),
    ]
    .map(|(field, value)| (field.to_owned(), value))
    .into();
    all.extend(
        totals
            .vat
            .iter()
            .enumerate()
            .map(|(i, vat)| (format!("totals.vat[{i}].amount"), Some(vat.amount))),
    );
    all.extend(
        totals
            .perceptions
            .iter()
            .enumerate()
            .map(|(i, p)| (format!("totals.perceptions[{i}].amount"), Some(p.amount))),
    );
    for (i, item) in invoice.items.iter().enumerate() {
        all.push((
            format!("items[{i}].quantity"),
            item.quantity.filter(|q| *q != Decimal::ONE),
        ));
        all.push((format!("items[{i}].unit_price"), item.unit_price));
        all.push((format!("items[{i}].total"), item.total));
    }
    all.into_iter()
        .filter_map(|(field, value)| Some((field, value?)))
        .collect()
}

fn absent(field: &str, es: impl fmt::Display, en: impl fmt::Display) -> Finding {
    Finding::new(
        Code::NotInDocument,
        field,
        format!("«{es}» no aparece en el documento."),
        format!("“{en}” doesn't appear in the document."),
    )
}

fn differs(field: &str, value: &str, other: &str) -> Finding {
    Finding::new(
        Code::RulesDiffer,
        field,
        format!("El modelo leyó «{value}»; las reglas leyeron «{other}»."),
        format!("The model read “{value}”; the rules read “{other}”."),
    )
}
