//! The arithmetic of an invoice: what has to add up, and within what.

use rust_decimal::Decimal;

use super::amount::{En, Es};
use super::decimal;
use super::finding::{Code, Finding};
use super::invoice::{Invoice, Item, Totals};

/// Rounding allowed for each amount that enters a sum: one cent.
pub(crate) const LINE_TOLERANCE: Decimal = decimal::constant(1, 2);

/// The VAT rates there are, in percent.
pub(crate) const VAT_RATES: [Decimal; 6] = [
    decimal::constant(0, 0),
    decimal::constant(25, 1),
    decimal::constant(5, 0),
    decimal::constant(105, 1),
    decimal::constant(21, 0),
    decimal::constant(27, 0),
];

/// Whether the parts add up to the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sum {
    /// Something to compare is missing.
    Unknown,
    Holds,
    Fails,
}

/// Quantity × price, less the discount in percent; `None` beyond the range of decimals.
pub(crate) fn line_total(
    quantity: Decimal,
    price: Decimal,
    discount: Option<Decimal>,
) -> Option<Decimal> {
    let share = (Decimal::ONE_HUNDRED - discount.unwrap_or_default()) / Decimal::ONE_HUNDRED;
    quantity.checked_mul(price)?.checked_mul(share)
}

/// Checks each line, and what of it is missing. Returns how many lines hold.
pub(crate) fn lines(items: &[Item], findings: &mut Vec<Finding>) -> usize {
    let mut hold = 0;
    for (index, item) in items.iter().enumerate() {
        match line(item) {
            Ok(()) => hold += 1,
            Err(problem) => findings.push(line_finding(index, item, problem)),
        }
        if let Some(rate) = item
            .vat_rate
            .filter(|rate| !VAT_RATES.contains(&rate.normalize()))
        {
            findings.push(rate_finding(format!("items[{index}].vat_rate"), rate));
        }
    }
    hold
}

enum LineProblem {
    Incomplete,
    Expected(Decimal),
}

fn line(item: &Item) -> Result<(), LineProblem> {
    let (Some(quantity), Some(price), Some(total)) = (item.quantity, item.unit_price, item.total)
    else {
        return Err(LineProblem::Incomplete);
    };
    let net = line_total(quantity, price, item.discount_percent).ok_or(LineProblem::Incomplete)?;
    // Some layouts print prices without VAT and the line's amount with it.
    let gross = item
        .vat_rate
        .and_then(|rate| net.checked_mul(Decimal::ONE + rate / Decimal::ONE_HUNDRED));
    let near = |expected: Decimal| {
        expected
            .checked_sub(total)
            .is_some_and(|d| d.abs() <= LINE_TOLERANCE)
    };
    if near(net) || gross.is_some_and(near) {
        Ok(())
    } else {
        Err(LineProblem::Expected(net))
    }
}

fn line_finding(index: usize, item: &Item, problem: LineProblem) -> Finding {
    let field = format!("items[{index}].total");
    match problem {
        LineProblem::Incomplete => Finding::new(
            Code::ItemIncomplete,
            format!("items[{index}]"),
            format!(
                "Al renglón «{}» le falta cantidad, precio unitario o importe.",
                item.description
            ),
            format!(
                "Line “{}” lacks its quantity, unit price or amount.",
                item.description
            ),
        ),
        LineProblem::Expected(expected) => {
            let (es, en) = shown([expected, item.total.unwrap_or_default()]);
            Finding::new(
                Code::LineTotal,
                field,
                format!(
                    "Cantidad × precio unitario − bonificación da {}; el renglón dice {}.",
                    es[0], es[1]
                ),
                format!(
                    "Quantity × unit price − discount is {}; the line says {}.",
                    en[0], en[1]
                ),
            )
        }
    }
}

/// Compares the sum of the lines with every amount it may stand for.
pub(crate) fn lines_sum(invoice: &Invoice, findings: &mut Vec<Finding>) -> Sum {
    let totals = &invoice.totals;
    let Some(sum) = sum(invoice
        .items
        .iter()
        .map(|item| item.total.unwrap_or_default()))
    else {
        return Sum::Unknown;
    };
    if invoice.items.is_empty() || invoice.items.iter().any(|item| item.total.is_none()) {
        return Sum::Unknown;
    }
    let net = totals
        .net
        .and_then(|net| add(net, &[totals.untaxed, totals.exempt]));
    let before_discount = net.and_then(|net| add(net, &[totals.discount]));
    let after_taxes = totals.total.and_then(|total| subtract_all(total, totals));
    let candidates: Vec<Decimal> = [
        totals.subtotal,
        net,
        before_discount,
        after_taxes,
        totals.total,
    ]
    .into_iter()
    .flatten()
    .collect();
    let Some(stated) = candidates.first() else {
        return Sum::Unknown;
    };
    let tolerance = LINE_TOLERANCE * Decimal::from(invoice.items.len());
    if candidates
        .iter()
        .any(|candidate| near(*candidate, sum, tolerance))
    {
        return Sum::Holds;
    }
    let (es, en) = shown([sum, *stated]);
    findings.push(Finding::new(
        Code::LinesSum,
        "items",
        format!(
            "Los renglones suman {}; el comprobante dice {}.",
            es[0], es[1]
        ),
        format!("The lines add up to {}; the voucher says {}.", en[0], en[1]),
    ));
    Sum::Fails
}

/// The total less what is added to the lines' own amounts on a voucher that doesn't itemise VAT.
fn subtract_all(total: Decimal, totals: &Totals) -> Option<Decimal> {
    let perceptions = sum(totals.perceptions.iter().map(|p| p.amount))?;
    total
        .checked_sub(perceptions)?
        .checked_sub(totals.other_taxes.unwrap_or_default())?
        .checked_add(totals.discount.unwrap_or_default())
}

/// Net + untaxed + exempt + VAT + perceptions + other taxes = total; without a net amount, the subtotal stands for it.
pub(crate) fn total(totals: &Totals, findings: &mut Vec<Finding>) -> Sum {
    let Some(stated) = totals.total else {
        return Sum::Unknown;
    };
    let vat = sum(totals.vat.iter().map(|vat| vat.amount));
    let perceptions = sum(totals.perceptions.iter().map(|p| p.amount));
    let bases = [
        totals
            .net
            .and_then(|net| add(net, &[totals.untaxed, totals.exempt])),
        totals.subtotal,
        totals
            .subtotal
            .and_then(|subtotal| subtotal.checked_sub(totals.discount?)),
        // Exempt vouchers may have neither.
        if totals.net.is_none() {
            add(Decimal::ZERO, &[totals.untaxed, totals.exempt]).filter(|base| !base.is_zero())
        } else {
            None
        },
    ];
    let sums: Vec<Decimal> = bases
        .into_iter()
        .flatten()
        .filter_map(|base| add(base, &[vat, perceptions, totals.other_taxes]))
        .collect();
    let Some(first) = sums.first() else {
        return Sum::Unknown;
    };
    let parts = 2 + totals.vat.len() + totals.perceptions.len();
    if sums
        .iter()
        .any(|sum| near(*sum, stated, LINE_TOLERANCE * Decimal::from(parts)))
    {
        return Sum::Holds;
    }
    let (es, en) = shown([*first, stated]);
    findings.push(Finding::new(
        Code::TotalsSum,
        "totals.total",
        format!(
            "Neto, IVA, percepciones y otros tributos suman {}; el total dice {}.",
            es[0], es[1]
        ),
        format!(
            "Net, VAT, perceptions and other taxes add up to {}; the total says {}.",
            en[0], en[1]
        ),
    ));
    Sum::Fails
}

/// Each rate exists, and the amounts match the rates: by their own base, else all together by the net amount.
pub(crate) fn vat(invoice: &Invoice, findings: &mut Vec<Finding>) {
    let totals = &invoice.totals;
    for (index, vat) in totals.vat.iter().enumerate() {
        if let Some(rate) = vat
            .rate
            .filter(|rate| !VAT_RATES.contains(&rate.normalize()))
        {
            findings.push(rate_finding(format!("totals.vat[{index}].rate"), rate));
        }
        let expected = vat
            .rate
            .zip(vat.base)
            .and_then(|(rate, base)| base.checked_mul(rate / Decimal::ONE_HUNDRED));
        if let Some(expected) =
            expected.filter(|expected| !near(*expected, vat.amount, LINE_TOLERANCE))
        {
            findings.push(vat_finding(
                format!("totals.vat[{index}].amount"),
                expected,
                vat.amount,
            ));
        }
    }
    if totals.vat.iter().any(|vat| vat.base.is_some()) {
        return;
    }
    if let Some((expected, stated)) = vat_by_net(invoice) {
        findings.push(vat_finding("totals.vat".to_owned(), expected, stated));
    }
}

/// Expected and stated VAT when they differ. With several rates the bases are worked back from the amounts.
fn vat_by_net(invoice: &Invoice) -> Option<(Decimal, Decimal)> {
    let totals = &invoice.totals;
    let net = totals.net?;
    let charged: Vec<(Decimal, Decimal)> = totals
        .vat
        .iter()
        .map(|vat| {
            vat.rate
                .map(|rate| (rate / Decimal::ONE_HUNDRED, vat.amount))
        })
        .collect::<Option<_>>()?;
    let charged: Vec<_> = charged
        .into_iter()
        .filter(|(rate, amount)| !rate.is_zero() || !amount.is_zero())
        .collect();
    let slack = LINE_TOLERANCE * Decimal::from(invoice.items.len().max(1));
    match charged.as_slice() {
        [] => None,
        [(rate, stated)] => {
            let expected = net.checked_mul(*rate)?;
            (!near(expected, *stated, slack)).then_some((expected, *stated))
        }
        several => {
            let stated = sum(several.iter().map(|(_, amount)| *amount))?;
            let bases = sum(several
                .iter()
                .map(|(rate, amount)| amount.checked_div(*rate).unwrap_or_default()))?;
            let slack = sum(several
                .iter()
                .map(|(rate, _)| slack.checked_div(*rate).unwrap_or(slack)))?;
            // What the amounts should add up to if all bases shared the difference.
            let expected = stated.checked_mul(net)?.checked_div(bases)?;
            (!near(bases, net, slack)).then_some((expected, stated))
        }
    }
}

fn vat_finding(field: String, expected: Decimal, stated: Decimal) -> Finding {
    let (es, en) = shown([expected, stated]);
    Finding::new(
        Code::VatAmount,
        field,
        format!(
            "Con esa alícuota el IVA sería {}; el comprobante dice {}.",
            es[0], es[1]
        ),
        format!(
            "At that rate the VAT would be {}; the voucher says {}.",
            en[0], en[1]
        ),
    )
}

fn rate_finding(field: String, rate: Decimal) -> Finding {
    let (es, en) = (Es(rate.normalize()), En(rate.normalize()));
    Finding::new(
        Code::VatRate,
        field,
        format!("{es} % no es una alícuota de IVA (27, 21, 10,5, 5, 2,5 o 0)."),
        format!("{en} % is not a VAT rate (27, 21, 10.5, 5, 2.5 or 0)."),
    )
}

pub(crate) fn near(a: Decimal, b: Decimal, tolerance: Decimal) -> bool {
    a.checked_sub(b)
        .is_some_and(|difference| difference.abs() <= tolerance)
}

fn sum(mut amounts: impl Iterator<Item = Decimal>) -> Option<Decimal> {
    amounts.try_fold(Decimal::ZERO, Decimal::checked_add)
}

fn add(base: Decimal, more: &[Option<Decimal>]) -> Option<Decimal> {
    more.iter()
        .flatten()
        .try_fold(base, |sum, amount| sum.checked_add(*amount))
}

/// To the cent; the arithmetic behind it stays exact.
fn shown<const N: usize>(values: [Decimal; N]) -> ([Es; N], [En; N]) {
    let values = values.map(|value| value.round_dp(2));
    (values.map(Es), values.map(En))
}
