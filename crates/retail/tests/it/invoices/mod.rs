//! Made-up invoices in many layouts, read by rules: what must be read, and exactly which findings must be reported.

mod clean;
mod counter;
mod faulty;
mod noisy;
mod supplier;

use mainstay_retail::tasks::{AnalyzeInvoice, InvoiceAnalysis, Task};
use serde_json::Value;

/// A document with what to expect of it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    /// JSON pointers into the invoice and their values; `-` for null.
    pub(crate) facts: &'static [(&'static str, &'static str)],
    /// The codes of all findings, in alphabetical order, each once.
    pub(crate) codes: &'static [&'static str],
}

pub(crate) fn analyse(text: &str) -> InvoiceAnalysis {
    AnalyzeInvoice {
        text: text.to_owned(),
    }
    .by_rules()
    .unwrap()
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(list)) => list.len().to_string(),
        Some(other) => other.to_string(),
    }
}

fn problems(case: &Case) -> Vec<String> {
    let analysis = analyse(case.text);
    let invoice = serde_json::to_value(&analysis.invoice).unwrap();
    let mut problems = Vec::new();
    for (pointer, expected) in case.facts {
        let found = shown(invoice.pointer(pointer));
        if found != *expected {
            problems.push(format!(
                "{}: {pointer} is {found}, expected {expected}",
                case.name
            ));
        }
    }
    let mut codes: Vec<String> = analysis
        .check
        .iter()
        .map(|f| shown(Some(&serde_json::to_value(f.code).unwrap())))
        .collect();
    codes.sort();
    codes.dedup();
    if codes != case.codes {
        let said: Vec<_> = analysis
            .check
            .iter()
            .map(|f| format!("{}: {}", f.field, f.en))
            .collect();
        problems.push(format!(
            "{}: findings {codes:?}, expected {:?}; {said:#?}",
            case.name, case.codes
        ));
    }
    problems
}

#[test]
fn every_invoice_is_read_and_only_its_own_faults_are_reported() {
    let problems: Vec<String> = all().flat_map(problems).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    let known = clean::CASES.iter().chain(faulty::CASES).chain(noisy::CASES);
    known.chain(supplier::CASES).chain(counter::CASES)
}

#[test]
fn there_are_enough_invoices_and_each_has_its_own_name() {
    let names: std::collections::BTreeSet<_> = all().map(|case| case.name).collect();
    assert_eq!(names.len(), all().count());
    assert!(names.len() >= 25);
}

#[test]
fn clean_invoices_score_higher_than_faulty_ones() {
    let lowest = clean::CASES
        .iter()
        .map(|case| analyse(case.text).confidence)
        .fold(1.0, f64::min);
    assert!(lowest >= 0.8, "{lowest}");
    for case in faulty::CASES {
        let score = analyse(case.text).confidence;
        assert!(score < 1.0, "{}: {score}", case.name);
    }
}
