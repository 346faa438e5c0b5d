//! The amounts at the foot of an invoice, by their labels.

use std::sync::LazyLock;

use regex::Regex;
use rust_decimal::Decimal;

use super::amount::{self, Amount, En, Es};
use super::finding::{Code, Finding};
use super::invoice::{Perception, Totals, Vat};
use super::read::Document;
use super::totals_check::VAT_RATES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Subtotal,
    VatContained,
    Perception,
    OtherTaxes,
    Untaxed,
    Exempt,
    Net,
    Vat,
    Discount,
    Total,
}

const KINDS: [(&str, Kind); 10] = [
    ("subtotal", Kind::Subtotal),
    ("contained", Kind::VatContained),
    ("perception", Kind::Perception),
    ("other", Kind::OtherTaxes),
    ("untaxed", Kind::Untaxed),
    ("exempt", Kind::Exempt),
    ("net", Kind::Net),
    ("vat", Kind::Vat),
    ("discount", Kind::Discount),
    ("total", Kind::Total),
];

static LABELS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"\b(?:(?P<subtotal>sub ?-?total)|(?P<contained>(?:importe )?iva contenido)",
        r"|(?P<perception>perc(?:epcion(?:es)?|ep)?\b\.?(?:(?: de| s/)? ?(?:i\.?i\.?b\.?b\.?|ing(?:resos|\.)? ?brutos|i\.?v\.?a\.?|caba|arba|agip|bs\.? ?as\.?)){0,3})",
        r"|(?P<other>(?:importe )?otros (?:tributos|impuestos)|imp(?:uestos|\.)? internos)",
        r"|(?P<untaxed>(?:importe )?(?:neto )?(?:conceptos )?no gravados?)",
        r"|(?P<exempt>(?:importe )?(?:operaciones |op\.? ?|neto )?exent[oa]s?)",
        r"|(?P<net>(?:importe |total |imp\.? ?)?(?:neto(?: gravado)?|gravado|base imponible))",
        r"|(?P<vat>(?:importe |total )?(?:i\.v\.a|iva)\b\.?(?: insc(?:ripto|r)?\.?)?)",
        r"|(?P<discount>(?:descuento|dto|bonificacion|bonif)\b\.?(?: general| global)?)",
        r"|(?P<total>(?:importe )?total))",
    ))
    .expect("a constant pattern")
});

/// More words after a label are a sentence.
const MAX_WORDS: usize = 5;

/// Lines longer than this hold no totals.
const MAX_LINE: usize = 400;

/// One labelled amount.
struct Labelled {
    kind: Kind,
    /// The label as it stands in the line, folded.
    label: String,
    rate: Option<Decimal>,
    amounts: Vec<Amount>,
}

/// Whether a line begins with the label of a total and holds an amount for it, or nothing else.
pub(crate) fn begins_total(folded: &str) -> bool {
    let labels = labels(folded);
    let Some((_, start, _)) = labels.first() else {
        return false;
    };
    let at_start = !folded[..*start].contains(|c: char| c.is_ascii_alphanumeric());
    let mut segments = labels.iter().enumerate().map(|(index, (kind, _, end))| {
        let until = labels
            .get(index + 1)
            .map_or(folded.len(), |(_, start, _)| *start);
        segment(&folded[*end..until], *kind)
    });
    let first = segments.next().flatten();
    at_start
        && first.is_some_and(|first| {
            !first.amounts.is_empty() || segments.all(|segment| segment.is_some())
        })
}

/// Reads the totals; what is doubtful goes to `findings`.
pub(crate) fn read(document: &Document<'_>, findings: &mut Vec<Finding>) -> Totals {
    let mut found: Vec<Labelled> = Vec::new();
    for (index, line) in document.lines.iter().enumerate() {
        if line.folded.len() <= MAX_LINE {
            let next = document
                .lines
                .get(index + 1)
                .map_or("", |line| line.folded.as_str());
            found.extend(labelled(&line.folded, next, document.style));
        }
    }
    collect(&found, findings)
}

/// Labels that stand where a column may begin: at the start, after a wide gap, a bar, or an amount.
fn labels(folded: &str) -> Vec<(Kind, usize, usize)> {
    let column = |start: usize| {
        let before = &folded[..start];
        let trimmed = before.trim_end_matches([' ', '-', '*', '(', '=']);
        trimmed.is_empty()
            || before.ends_with("  ")
            || trimmed.ends_with(|c: char| c.is_ascii_digit() || matches!(c, '|' | ';' | '%'))
    };
    LABELS
        .captures_iter(folded)
        .filter_map(|captures| {
            let whole = captures.get(0)?;
            let (_, kind) = KINDS
                .into_iter()
                .find(|(name, _)| captures.name(name).is_some())?;
            column(whole.start()).then_some((kind, whole.start(), whole.end()))
        })
        .collect()
}

fn labelled(folded: &str, next: &str, style: amount::Style) -> Vec<Labelled> {
    let labels = labels(folded);
    let mut all: Vec<Labelled> = Vec::new();
    for (index, (kind, start, end)) in labels.iter().enumerate() {
        let until = labels
            .get(index + 1)
            .map_or(folded.len(), |(_, start, _)| *start);
        let Some(Segment {
            rate,
            words,
            amounts,
        }) = segment(&folded[*end..until], *kind)
        else {
            continue;
        };
        let amounts = amounts
            .iter()
            .filter_map(|text| amount::parse(text, style))
            .collect();
        all.push(Labelled {
            kind: *kind,
            label: [folded[*start..*end].trim(), &words]
                .join(" ")
                .trim_end()
                .to_owned(),
            rate,
            amounts,
        });
    }
    let only_labels = all.len() == labels.len() && begins_total(folded);
    if only_labels && all.iter().all(|labelled| labelled.amounts.is_empty()) {
        // The amounts stand below their labels.
        for (labelled, amount) in all.iter_mut().zip(amounts_alone(next, labels.len(), style)) {
            labelled.amounts.push(amount);
        }
    }
    all.retain(|labelled| !labelled.amounts.is_empty());
    all
}

/// The amounts of a line that holds exactly `count` of them and no words.
fn amounts_alone(folded: &str, count: usize, style: amount::Style) -> Vec<Amount> {
    let words = folded.replace("$ ", "$");
    let amounts: Option<Vec<Amount>> = words
        .split_whitespace()
        .map(|word| amount::parse(word, style))
        .collect();
    amounts
        .filter(|amounts| amounts.len() == count)
        .unwrap_or_default()
}

/// What stands after a label.
struct Segment {
    rate: Option<Decimal>,
    /// Words that say more of it: a province, the way of payment.
    words: String,
    amounts: Vec<String>,
}

/// Perceptions name their province and discounts their reason; other labels stand directly before their amount.
fn takes_words(kind: Kind) -> bool {
    matches!(kind, Kind::Perception | Kind::Discount | Kind::VatContained)
}

/// With cents or a currency sign: not the number of a law or a resolution.
fn is_money(text: &str) -> bool {
    let cents = text
        .rsplit([',', '.'])
        .next()
        .filter(|last| last.len() == 2);
    text.contains('$') || cents.is_some_and(|_| text.contains([',', '.']))
}

/// The rate and the amounts after a label; `None` if other words stand there.
fn segment(text: &str, kind: Kind) -> Option<Segment> {
    const FILLERS: [&str; 22] = [
        "a",
        "pagar",
        "en",
        "pesos",
        "ars",
        "usd",
        "u$s",
        "de",
        "del",
        "la",
        "factura",
        "comprobante",
        "general",
        "final",
        "s/",
        "sobre",
        "al",
        "alicuota",
        "tasa",
        "base",
        "x",
        "ri",
    ];
    static RATE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\(? ?([0-9]{1,2}(?:[.,][0-9]{1,2})?) ?% ?\)?").expect("a constant pattern")
    });
    let rate = RATE
        .captures(text)
        .and_then(|c| amount::parse(&c[1], amount::Style::Unknown))
        .map(|rate| rate.value);
    let text = RATE
        .replace_all(text, " ")
        .replace("$ ", "$")
        .replace("- $", "-$");
    let (mut amounts, mut words) = (Vec::<String>::new(), Vec::<String>::new());
    for word in text.split([' ', '|', ';', ':', '=', '#', '*']) {
        let word = word
            .trim_matches(['.', ',', ')', '('])
            .trim_end_matches(':');
        if amount::parse(word, amount::Style::Unknown).is_some() {
            amounts.push(word.to_owned());
        } else if word.contains(|c: char| c.is_alphanumeric()) && !FILLERS.contains(&word) {
            // Words after the amounts are somebody else's.
            if amounts
                .last()
                .is_some_and(|last| !takes_words(kind) || is_money(last))
            {
                break;
            }
            if !takes_words(kind) || words.len() == MAX_WORDS {
                return None;
            }
            // A number before more words is a law's or a resolution's.
            words.append(&mut amounts);
            words.push(word.to_owned());
        }
    }
    if !words.is_empty() && amounts.last().is_some_and(|last| !is_money(last)) {
        return None;
    }
    if !words.is_empty() {
        let last = amounts.len().saturating_sub(1);
        words.extend(amounts.drain(..last));
    }
    Some(Segment {
        rate,
        words: words.join(" "),
        amounts,
    })
}

fn collect(found: &[Labelled], findings: &mut Vec<Finding>) -> Totals {
    let mut totals = Totals::default();
    let mut stated: Vec<Decimal> = Vec::new();
    let mut net_rates: Vec<Option<Decimal>> = Vec::new();
    for labelled in found {
        let Some(last) = labelled.amounts.last() else {
            continue;
        };
        let value = last.value;
        report_ambiguity(labelled.kind, last, findings);
        match labelled.kind {
            Kind::Subtotal => totals.subtotal = Some(value),
            Kind::VatContained => totals.vat_contained = Some(value),
            Kind::Perception => totals.perceptions.push(Perception {
                label: labelled.label.clone(),
                amount: value,
            }),
            Kind::OtherTaxes => totals.other_taxes = Some(value),
            Kind::Untaxed => totals.untaxed = Some(value),
            Kind::Exempt => totals.exempt = Some(value),
            Kind::Net => {
                // One net amount for each rate.
                let more = labelled.rate.is_some() && !net_rates.contains(&labelled.rate);
                let before = totals
                    .net
                    .filter(|_| more && net_rates.iter().all(Option::is_some))
                    .unwrap_or_default();
                totals.net = before.checked_add(value);
                net_rates.push(labelled.rate);
            }
            Kind::Vat => totals.vat.push(vat(labelled, value)),
            Kind::Discount => totals.discount = Some(value.abs()),
            Kind::Total => stated.push(value),
        }
    }
    totals
        .vat
        .retain(|vat| !(vat.amount.is_zero() && found.len() > 1));
    totals
        .perceptions
        .retain(|perception| !perception.amount.is_zero());
    totals.total = stated.last().copied();
    if stated.iter().any(|value| Some(*value) != totals.total) {
        let all = |format: fn(Decimal) -> String| {
            let amounts: Vec<_> = stated.iter().copied().map(format).collect();
            amounts.join("; ")
        };
        let (es, en) = (all(amount::format_argentine), all(amount::format_english));
        findings.push(Finding::new(
            Code::TotalSeveral,
            "totals.total",
            format!("Hay varios totales distintos ({es}); se tomó el último."),
            format!("There are several different totals ({en}); the last one was taken."),
        ));
    }
    totals
}

/// The rate stands before a percent sign, or is a bare number before the amount; a further number is the base.
fn vat(labelled: &Labelled, amount: Decimal) -> Vat {
    let before: Vec<Decimal> = labelled.amounts[..labelled.amounts.len() - 1]
        .iter()
        .map(|a| a.value)
        .collect();
    let bare = before
        .first()
        .copied()
        .filter(|value| labelled.rate.is_none() && VAT_RATES.contains(&value.normalize()));
    let rate = labelled.rate.or(bare).map(|rate| rate.normalize());
    let base = before
        .into_iter()
        .skip(usize::from(bare.is_some()))
        .next_back();
    Vat { rate, base, amount }
}

fn report_ambiguity(kind: Kind, amount: &Amount, findings: &mut Vec<Finding>) {
    let Some(otherwise) = amount.otherwise else {
        return;
    };
    let (es, en) = (
        [amount.value, otherwise].map(Es),
        [amount.value, otherwise].map(En),
    );
    findings.push(Finding::new(
        Code::AmountAmbiguous,
        field(kind),
        format!(
            "El importe se leyó como {}, pero podría ser {}.",
            es[0], es[1]
        ),
        format!("The amount was read as {}, but it may be {}.", en[0], en[1]),
    ));
}

fn field(kind: Kind) -> &'static str {
    match kind {
        Kind::Subtotal => "totals.subtotal",
        Kind::VatContained => "totals.vat_contained",
        Kind::Perception => "totals.perceptions",
        Kind::OtherTaxes => "totals.other_taxes",
        Kind::Untaxed => "totals.untaxed",
        Kind::Exempt => "totals.exempt",
        Kind::Net => "totals.net",
        Kind::Vat => "totals.vat",
        Kind::Discount => "totals.discount",
        Kind::Total => "totals.total",
    }
}
