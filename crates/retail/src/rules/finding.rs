//! What a person should check, in words and with a code that programs can rely on.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One thing in an answer that a person should check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What kind of thing it is. Codes are stable.
    pub code: Code,
    /// Where in the answer it stands, for example `issuer.cuit` or `items[2].total`.
    pub field: String,
    /// The finding in Spanish.
    pub es: String,
    /// The finding in English.
    pub en: String,
}

impl Finding {
    /// A finding about `field` with its text in both languages.
    pub fn new(
        code: Code,
        field: impl Into<String>,
        es: impl Into<String>,
        en: impl Into<String>,
    ) -> Self {
        Self {
            code,
            field: field.into(),
            es: es.into(),
            en: en.into(),
        }
    }
}

/// The most findings an answer lists; the rest are counted in a last one.
pub const MAX_FINDINGS: usize = 100;

/// Keeps the first [`MAX_FINDINGS`], without duplicates, and says how many were left out.
pub(crate) fn bounded(all: Vec<Finding>) -> Vec<Finding> {
    let mut kept: Vec<Finding> = Vec::new();
    let mut left_out = 0_usize;
    for finding in all {
        if kept.len() >= MAX_FINDINGS {
            left_out += 1;
        } else if !kept.contains(&finding) {
            kept.push(finding);
        }
    }
    if left_out > 0 {
        kept.push(Finding::new(
            Code::More,
            "check",
            format!("Hay {left_out} observaciones más que no se listan."),
            format!("There are {left_out} more findings that are not listed."),
        ));
    }
    kept
}

/// The kinds of finding. The names (kebab case in JSON) never change meaning.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// An amount can be read in two ways.
    AmountAmbiguous,
    /// A CAE, CAEA or CAI that hasn't 14 digits.
    AuthorizationLength,
    /// No CAE, CAEA or CAI was found.
    AuthorizationMissing,
    /// The suggested price loses money.
    BelowCost,
    /// The suggested price is under the stated minimum.
    BelowMinimum,
    /// The suggested price leaves less than the target margin.
    BelowTarget,
    /// The suggested price stands out from the competitors' prices.
    Competitors,
    /// The check digit of a CUIT doesn't hold.
    CuitCheckDigit,
    /// What stands in a CUIT's place isn't eleven digits.
    CuitFormat,
    /// A CUIT that is needed was not found.
    CuitMissing,
    /// Issuer and receiver have the same CUIT.
    CuitSame,
    /// The first two digits of a CUIT are of no known kind.
    CuitType,
    /// A date that doesn't exist.
    DateImpossible,
    /// A date that is needed was not found.
    DateMissing,
    /// A due date before the issue date.
    DateOrder,
    /// A digit was replaced by another digit.
    DigitChanged,
    /// A line of which quantity, price or total is missing.
    ItemIncomplete,
    /// No item lines were found.
    ItemsMissing,
    /// Quantity × unit price − discount isn't the line's total.
    LineTotal,
    /// The lines don't add up to the net amount, the subtotal or the total.
    LinesSum,
    /// Amounts with a decimal comma and with a decimal point in one document.
    MixedFormats,
    /// More findings than are listed.
    More,
    /// An amount is below zero where that makes no sense.
    Negative,
    /// The answer holds something that the document doesn't.
    NotInDocument,
    /// The voucher's number was not found or has the wrong form.
    NumberFormat,
    /// Characters were repaired before the document was read.
    OcrRepaired,
    /// A number that still holds letters.
    OcrUnreadable,
    /// The suggested price is far from the current one.
    PriceJump,
    /// The price isn't a multiple of the rounding step.
    RoundingStep,
    /// The rules read something else in the document.
    RulesDiffer,
    /// The text differs from the original by more than a clean-up may.
    TextAltered,
    /// The total was not found.
    TotalMissing,
    /// Several different totals were found.
    TotalSeveral,
    /// Net, VAT, perceptions and the rest don't add up to the total.
    TotalsSum,
    /// An amount of VAT that doesn't match its rate.
    VatAmount,
    /// VAT is itemised on a voucher whose letter doesn't itemise it.
    VatLetter,
    /// A VAT rate that doesn't exist.
    VatRate,
    /// The AFIP code and the voucher's name or letter disagree.
    VoucherCode,
    /// The voucher's kind or letter was not found.
    VoucherKind,
}
