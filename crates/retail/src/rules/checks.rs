//! Holds an invoice's facts against each other: the same code for what rules read and for what a model answered.

use rust_decimal::Decimal;

use super::cuit::{Cuit, CuitError};
use super::finding::{Code, Finding};
use super::invoice::{Authorization, Invoice, Party};
use super::totals_check::{self, Sum};
use super::voucher::{self, AUTHORIZATION_DIGITS, Kind, Letter};

/// The outcome: what to check, and which sums hold.
pub(crate) struct Checked {
    pub findings: Vec<Finding>,
    pub lines_that_hold: usize,
    pub lines_sum: Sum,
    pub total: Sum,
}

/// Checks everything that needs no document.
pub(crate) fn check(invoice: &Invoice) -> Checked {
    let mut findings = Vec::new();
    heading(invoice, &mut findings);
    parties(invoice, &mut findings);
    dates(invoice, &mut findings);
    if invoice.authorization.is_some() || !invoice.afip_code.is_some_and(voucher::is_fiscal_ticket)
    {
        authorization(invoice.authorization.as_ref(), &mut findings);
    }
    presence_of_amounts(invoice, &mut findings);
    let lines_that_hold = totals_check::lines(&invoice.items, &mut findings);
    let lines_sum = totals_check::lines_sum(invoice, &mut findings);
    let total = totals_check::total(&invoice.totals, &mut findings);
    totals_check::vat(invoice, &mut findings);
    Checked {
        findings,
        lines_that_hold,
        lines_sum,
        total,
    }
}

fn heading(invoice: &Invoice, findings: &mut Vec<Finding>) {
    if invoice.kind.is_none() || invoice.letter.is_none() {
        let field = if invoice.kind.is_none() {
            "kind"
        } else {
            "letter"
        };
        findings.push(Finding::new(
            Code::VoucherKind,
            field,
            "No se pudo determinar el tipo de comprobante o su letra (A, B, C, M, E).",
            "The kind of voucher or its letter (A, B, C, M, E) could not be told.",
        ));
    }
    if let Some(code) = invoice.afip_code {
        let agrees = voucher::of_code(code).is_some_and(|(kind, letter)| {
            invoice.kind.is_none_or(|k| k == kind) && invoice.letter.is_none_or(|l| l == letter)
        });
        if !agrees {
            findings.push(Finding::new(
                Code::VoucherCode,
                "afip_code",
                format!("El código {code:02} no corresponde al tipo y la letra del comprobante."),
                format!("Code {code:02} doesn't match the voucher's kind and letter."),
            ));
        }
    }
    if !invoice.number.as_deref().is_some_and(voucher::is_number) {
        let stated = invoice.number.as_deref().unwrap_or("—");
        findings.push(Finding::new(
            Code::NumberFormat,
            "number",
            format!("Falta el número de comprobante o no tiene la forma 0001-00001234: {stated}."),
            format!("The voucher's number is missing or not of the form 0001-00001234: {stated}."),
        ));
    }
    let itemised = invoice.totals.vat.iter().any(|vat| !vat.amount.is_zero());
    // Since 2025 a Factura B may tell the VAT it contains; a C never has any.
    if itemised && invoice.letter == Some(Letter::C) {
        findings.push(Finding::new(
            Code::VatLetter,
            "totals.vat",
            "Un comprobante C no discrimina IVA.",
            "A C voucher doesn't itemise VAT.",
        ));
    }
}

fn parties(invoice: &Invoice, findings: &mut Vec<Finding>) {
    party(&invoice.issuer, "issuer.cuit", true, findings);
    let receiver_needed = invoice.letter.is_some_and(Letter::itemises_vat);
    party(
        &invoice.receiver,
        "receiver.cuit",
        receiver_needed,
        findings,
    );
    let parsed = |party: &Party| {
        party
            .cuit
            .as_deref()
            .and_then(|text| Cuit::parse(text).ok())
    };
    if parsed(&invoice.issuer).is_some_and(|issuer| parsed(&invoice.receiver) == Some(issuer)) {
        findings.push(Finding::new(
            Code::CuitSame,
            "receiver.cuit",
            "Emisor y receptor tienen el mismo CUIT.",
            "Issuer and receiver have the same CUIT.",
        ));
    }
}

fn party(party: &Party, field: &str, needed: bool, findings: &mut Vec<Finding>) {
    let Some(text) = party.cuit.as_deref() else {
        if needed {
            findings.push(Finding::new(
                Code::CuitMissing,
                field,
                "No se encontró el CUIT.",
                "The CUIT was not found.",
            ));
        }
        return;
    };
    match Cuit::parse(text) {
        Ok(cuit) if cuit.is_known_type() => {}
        Ok(_) => findings.push(Finding::new(
            Code::CuitType,
            field,
            format!("El CUIT {text} empieza con un tipo que no se usa."),
            format!("The CUIT {text} begins with a type that isn't in use."),
        )),
        Err(CuitError::Format) => findings.push(Finding::new(
            Code::CuitFormat,
            field,
            format!("«{text}» no tiene los once dígitos de un CUIT."),
            format!("“{text}” hasn't the eleven digits of a CUIT."),
        )),
        Err(CuitError::CheckDigit { expected }) => findings.push(Finding::new(
            Code::CuitCheckDigit,
            field,
            format!("El dígito verificador de {text} no corresponde: debería ser {expected}, o hay otro dígito mal."),
            format!("The check digit of {text} doesn't hold: it should be {expected}, or another digit is wrong."),
        )),
    }
}

fn dates(invoice: &Invoice, findings: &mut Vec<Finding>) {
    let authorization_due = invoice
        .authorization
        .as_ref()
        .and_then(|a| a.due_date.as_deref());
    let issue = date(invoice.issue_date.as_deref(), "issue_date", findings);
    if invoice.issue_date.is_none() {
        findings.push(Finding::new(
            Code::DateMissing,
            "issue_date",
            "No se encontró la fecha de emisión.",
            "The issue date was not found.",
        ));
    }
    for (text, field) in [
        (invoice.due_date.as_deref(), "due_date"),
        (authorization_due, "authorization.due_date"),
    ] {
        let due = date(text, field, findings);
        if due.zip(issue).is_some_and(|(due, issue)| due < issue) {
            findings.push(Finding::new(
                Code::DateOrder,
                field,
                "El vencimiento es anterior a la fecha de emisión.",
                "The due date is before the issue date.",
            ));
        }
    }
}

fn date(text: Option<&str>, field: &str, findings: &mut Vec<Finding>) -> Option<jiff::civil::Date> {
    let text = text?;
    let date = super::date::parse(text);
    if date.is_none() {
        findings.push(Finding::new(
            Code::DateImpossible,
            field,
            format!("«{text}» no es una fecha que exista (día/mes/año)."),
            format!("“{text}” isn't a date that exists (day/month/year)."),
        ));
    }
    date
}

fn authorization(authorization: Option<&Authorization>, findings: &mut Vec<Finding>) {
    let Some(authorization) = authorization else {
        findings.push(Finding::new(
            Code::AuthorizationMissing,
            "authorization",
            "No se encontró CAE, CAEA ni CAI.",
            "No CAE, CAEA or CAI was found.",
        ));
        return;
    };
    let number = &authorization.number;
    if number.len() != AUTHORIZATION_DIGITS || !number.bytes().all(|b| b.is_ascii_digit()) {
        let length = number.chars().count();
        findings.push(Finding::new(
            Code::AuthorizationLength,
            "authorization.number",
            format!("El CAE «{number}» tiene {length} caracteres; debe tener 14 dígitos."),
            format!("The CAE “{number}” has {length} characters; it must have 14 digits."),
        ));
    }
    if authorization.due_date.is_none() {
        findings.push(Finding::new(
            Code::DateMissing,
            "authorization.due_date",
            "No se encontró el vencimiento del CAE.",
            "The CAE's due date was not found.",
        ));
    }
}

fn presence_of_amounts(invoice: &Invoice, findings: &mut Vec<Finding>) {
    if invoice.items.is_empty() {
        findings.push(Finding::new(
            Code::ItemsMissing,
            "items",
            "No se encontraron renglones.",
            "No item lines were found.",
        ));
    }
    match invoice.totals.total {
        None => findings.push(Finding::new(
            Code::TotalMissing,
            "totals.total",
            "No se encontró el total.",
            "The total was not found.",
        )),
        Some(total) if total < Decimal::ZERO && invoice.kind == Some(Kind::Factura) => findings
            .push(Finding::new(
                Code::Negative,
                "totals.total",
                "El total de una factura no puede ser negativo.",
                "The total of an invoice can't be negative.",
            )),
        Some(_) => {}
    }
}
