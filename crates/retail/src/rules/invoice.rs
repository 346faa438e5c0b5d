//! An invoice's facts, as read from a document by rules or by a model.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::decimal;
use super::voucher::{AuthorizationKind, Kind, Letter};

/// What an invoice says. Absent is what the document doesn't say; amounts are exact decimals as text; dates are
/// `yyyy-mm-dd`, or as written when there is no such day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Invoice {
    /// Factura, nota de crédito, nota de débito or recibo.
    pub kind: Option<Kind>,
    /// A, B, C, E or M.
    pub letter: Option<Letter>,
    /// AFIP's code of the voucher, for example 1 for a Factura A.
    pub afip_code: Option<u16>,
    /// Point of sale and number, `0001-00001234`.
    pub number: Option<String>,
    /// When it was issued.
    pub issue_date: Option<String>,
    /// When it is to be paid.
    pub due_date: Option<String>,
    /// Who sells.
    pub issuer: Party,
    /// Who buys.
    pub receiver: Party,
    /// CAE, CAEA or CAI.
    pub authorization: Option<Authorization>,
    /// `ARS` unless the document says otherwise.
    pub currency: Option<String>,
    /// The lines.
    pub items: Vec<Item>,
    /// The amounts at the foot.
    pub totals: Totals,
}

/// Issuer or receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Party {
    /// CUIT or CUIL as `20-12345678-6`; as written when its check digit doesn't hold.
    pub cuit: Option<String>,
    /// Name or company name.
    pub name: Option<String>,
}

/// The tax office's authorisation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Authorization {
    /// CAE, CAEA or CAI.
    pub kind: AuthorizationKind,
    /// Its digits; fourteen when right.
    pub number: String,
    /// Until when it holds.
    pub due_date: Option<String>,
}

/// A line of the invoice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Item {
    /// The article's code.
    pub code: Option<String>,
    /// What it is.
    pub description: String,
    /// How many.
    #[serde(deserialize_with = "decimal::optional")]
    #[schema(value_type = Option<String>)]
    pub quantity: Option<Decimal>,
    /// Unit as written: `u`, `kg`, `lt`.
    pub unit: Option<String>,
    /// Price of one.
    #[serde(deserialize_with = "decimal::optional")]
    #[schema(value_type = Option<String>)]
    pub unit_price: Option<Decimal>,
    /// Discount in percent.
    #[serde(deserialize_with = "decimal::optional")]
    #[schema(value_type = Option<String>)]
    pub discount_percent: Option<Decimal>,
    /// VAT rate in percent.
    #[serde(deserialize_with = "decimal::optional")]
    #[schema(value_type = Option<String>)]
    pub vat_rate: Option<Decimal>,
    /// The line's amount.
    #[serde(deserialize_with = "decimal::optional")]
    #[schema(value_type = Option<String>)]
    pub total: Option<Decimal>,
}

/// The amounts at the foot of an invoice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Totals {
    /// Sum of the lines.
    #[serde(deserialize_with = "decimal::optional")]
    #[schema(value_type = Option<String>)]
    pub subtotal: Option<Decimal>,
    /// Discount on the whole, without sign.
    #[serde(deserialize_with = "decimal::optional")]
    #[schema(value_type = Option<String>)]
    pub discount: Option<Decimal>,
    /// Neto gravado.
    #[serde(deserialize_with = "decimal::optional")]
    #[schema(value_type = Option<String>)]
    pub net: Option<Decimal>,
    /// No gravado.
    #[serde(deserialize_with = "decimal::optional")]
    #[schema(value_type = Option<String>)]
    pub untaxed: Option<Decimal>,
    /// Exento.
    #[serde(deserialize_with = "decimal::optional")]
    #[schema(value_type = Option<String>)]
    pub exempt: Option<Decimal>,
    /// VAT by rate.
    pub vat: Vec<Vat>,
    /// VAT inside the prices, told for information; not added to the total.
    #[serde(deserialize_with = "decimal::optional")]
    #[schema(value_type = Option<String>)]
    pub vat_contained: Option<Decimal>,
    /// Percepciones: ingresos brutos, IVA.
    pub perceptions: Vec<Perception>,
    /// Other taxes.
    #[serde(deserialize_with = "decimal::optional")]
    #[schema(value_type = Option<String>)]
    pub other_taxes: Option<Decimal>,
    /// To be paid.
    #[serde(deserialize_with = "decimal::optional")]
    #[schema(value_type = Option<String>)]
    pub total: Option<Decimal>,
}

/// An amount of VAT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Vat {
    /// In percent: 21, 10.5, 27, 5, 2.5 or 0; absent when the document doesn't say.
    #[serde(default, deserialize_with = "decimal::optional")]
    #[schema(value_type = Option<String>)]
    pub rate: Option<Decimal>,
    /// What it is computed on, if the document says.
    #[serde(default, deserialize_with = "decimal::optional")]
    #[schema(value_type = Option<String>)]
    pub base: Option<Decimal>,
    /// The amount.
    #[serde(deserialize_with = "decimal::required")]
    #[schema(value_type = String)]
    pub amount: Decimal,
}

/// A perception.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Perception {
    /// As labelled in the document.
    pub label: String,
    /// The amount.
    #[serde(deserialize_with = "decimal::required")]
    #[schema(value_type = String)]
    pub amount: Decimal,
}
