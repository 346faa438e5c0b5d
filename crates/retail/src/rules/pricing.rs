//! Price arithmetic. Gross margin is the share of the sale price before VAT that isn't cost: price = cost / (1 − margin).
//! Markup is the share of the cost that is added: (price − cost) / cost.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::amount::{En, Es};
use super::finding::{Code, Finding};
use super::{confidence, decimal};

/// A change of the price by more than this share is worth a look.
const JUMP: Decimal = decimal::constant(20, 2);

/// As many competitors' prices as make the market known.
const KNOWN_MARKET: usize = 3;

/// Decimals of the shares in an answer.
const SHARE_DECIMALS: u32 = 6;

/// How a price becomes a multiple of the step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// Never under the target margin.
    #[default]
    Up,
    /// To the nearest multiple, half away from zero.
    Nearest,
    /// Never over the computed price.
    Down,
}

/// Figures that have been checked: cost and step above zero, margin in `0..1`, at most a thousand millions and 6 after.
#[derive(Clone, Debug)]
pub(crate) struct Figures<'a> {
    pub cost: Decimal,
    pub currency: &'a str,
    pub target_margin: Decimal,
    /// In percent.
    pub vat_rate: Decimal,
    pub current_price: Option<Decimal>,
    pub competitor_prices: &'a [Decimal],
    pub minimum_price: Option<Decimal>,
    pub step: Decimal,
    pub rounding: Rounding,
    /// Whether prices given, rounded and suggested include VAT. Cost never does.
    pub include_vat: bool,
}

/// A price, what it leaves, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PricingAdvice {
    /// Before VAT, to the cent when it follows from a price with VAT.
    #[schema(value_type = String)]
    pub net_price: Decimal,
    /// With VAT, to the cent when it follows from a price before VAT.
    #[schema(value_type = String)]
    pub price_with_vat: Decimal,
    /// Of all amounts.
    pub currency: String,
    /// Gross margin that the suggested price leaves after rounding, `0.30` for 30 %: (price − cost) / price, before VAT.
    #[schema(value_type = String)]
    pub margin: Decimal,
    /// (price − cost) / cost, before VAT.
    #[schema(value_type = String)]
    pub markup: Decimal,
    /// The margin asked for.
    #[schema(value_type = String)]
    pub target_margin: Decimal,
    /// In percent.
    #[schema(value_type = String)]
    pub vat_rate: Decimal,
    /// Change against the current price, `0.10` for 10 % more.
    #[schema(value_type = Option<String>)]
    pub change: Option<Decimal>,
    /// Why this price.
    pub reasons: Vec<Reason>,
    /// `0..=1`: up to 0.5 for the share of limits that are met (cost, target margin, rounding step, minimum); 0.2 if there is a current price
    /// and the change is at most 20 %; up to 0.3 for competitors' prices, in full from three on, if the suggestion lies among them.
    pub confidence: f64,
    /// What a person should check.
    pub check: Vec<Finding>,
}

/// A reason, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// In Spanish.
    pub es: String,
    /// In English.
    pub en: String,
}

impl Reason {
    fn new(es: String, en: String) -> Self {
        Self { es, en }
    }
}

impl Figures<'_> {
    fn vat_factor(&self) -> Decimal {
        Decimal::ONE + self.vat_rate / Decimal::ONE_HUNDRED
    }

    /// Cost on the side of prices: with VAT if they include it.
    fn cost_in_prices(&self) -> Decimal {
        if self.include_vat {
            self.cost * self.vat_factor()
        } else {
            self.cost
        }
    }

    /// The least price that leaves the target margin.
    fn required(&self) -> Decimal {
        self.cost_in_prices() / (Decimal::ONE - self.target_margin)
    }

    fn leaves_target(&self, price: Decimal) -> bool {
        price * (Decimal::ONE - self.target_margin) >= self.cost_in_prices()
    }

    fn is_multiple(&self, price: Decimal) -> bool {
        (price % self.step).is_zero()
    }

    /// The price that the rules suggest.
    pub(crate) fn suggest(&self) -> Decimal {
        let price = match self.rounding {
            Rounding::Up => self.up(self.required()),
            Rounding::Nearest => {
                (self.required() / self.step)
                    .round_dp_with_strategy(0, rust_decimal::RoundingStrategy::MidpointAwayFromZero)
                    * self.step
            }
            Rounding::Down => (self.required() / self.step).floor() * self.step,
        };
        // A step larger than the price rounds to nothing.
        let price = if price.is_zero() { self.step } else { price };
        // Division ends after 28 digits; the margin must hold exactly.
        let price = if self.rounding == Rounding::Up && !self.leaves_target(price) {
            price + self.step
        } else {
            price
        };
        self.minimum_price
            .map_or(price, |minimum| price.max(self.up(minimum)))
    }

    fn up(&self, price: Decimal) -> Decimal {
        (price / self.step).ceil() * self.step
    }

    /// What a price, suggested by rules or by a model, leaves; and what speaks against it.
    pub(crate) fn evaluate(&self, price: Decimal, reasons: Vec<Reason>) -> PricingAdvice {
        let exact_net = if self.include_vat {
            price / self.vat_factor()
        } else {
            price
        };
        let (net_price, price_with_vat) = if self.include_vat {
            (exact_net.round_dp(2), price)
        } else {
            (price, (price * self.vat_factor()).round_dp(2))
        };
        let share =
            |part: Decimal, whole: Decimal| (part / whole).round_dp(SHARE_DECIMALS).normalize();
        let change = self
            .current_price
            .map(|current| share(price - current, current));
        let mut check = Vec::new();
        self.check_limits(price, &mut check);
        self.check_market(price, change, &mut check);
        PricingAdvice {
            net_price,
            price_with_vat,
            currency: self.currency.to_owned(),
            margin: share(exact_net - self.cost, exact_net),
            markup: share(exact_net - self.cost, self.cost),
            target_margin: self.target_margin,
            vat_rate: self.vat_rate,
            change,
            reasons,
            confidence: self.confidence(price, change),
            check,
        }
    }

    fn check_limits(&self, price: Decimal, check: &mut Vec<Finding>) {
        let mut add =
            |code, es: String, en: String| check.push(Finding::new(code, "net_price", es, en));
        let (es, en) = (Es(price), En(price));
        if price < self.cost_in_prices() {
            add(
                Code::BelowCost,
                format!("El precio {es} está por debajo del costo."),
                format!("The price {en} is below cost."),
            );
        } else if !self.leaves_target(price) {
            add(
                Code::BelowTarget,
                format!("El precio {es} deja menos que el margen buscado."),
                format!("The price {en} leaves less than the target margin."),
            );
        }
        if let Some(minimum) = self.minimum_price.filter(|minimum| price < *minimum) {
            add(
                Code::BelowMinimum,
                format!("El precio {es} es menor que el mínimo {}.", Es(minimum)),
                format!("The price {en} is under the minimum {}.", En(minimum)),
            );
        }
        if !self.is_multiple(price) {
            add(
                Code::RoundingStep,
                format!("El precio {es} no es múltiplo de {}.", Es(self.step)),
                format!("The price {en} isn't a multiple of {}.", En(self.step)),
            );
        }
    }

    fn check_market(&self, price: Decimal, change: Option<Decimal>, check: &mut Vec<Finding>) {
        if let Some((lowest, highest)) = self
            .market()
            .filter(|(lowest, highest)| price < *lowest || price > *highest)
        {
            let es = [price, lowest, highest].map(Es);
            let en = [price, lowest, highest].map(En);
            check.push(Finding::new(
                Code::Competitors,
                "net_price",
                format!(
                    "El precio {} queda fuera del rango de la competencia ({} a {}).",
                    es[0], es[1], es[2]
                ),
                format!(
                    "The price {} is outside the competitors' range ({} to {}).",
                    en[0], en[1], en[2]
                ),
            ));
        }
        if let Some(change) = change.filter(|change| change.abs() > JUMP) {
            let percent = (change * Decimal::ONE_HUNDRED).round_dp(1);
            check.push(Finding::new(
                Code::PriceJump,
                "change",
                format!("El precio cambia {} % respecto del actual.", Es(percent)),
                format!(
                    "The price changes by {} % from the current one.",
                    En(percent)
                ),
            ));
        }
    }

    fn market(&self) -> Option<(Decimal, Decimal)> {
        Some((
            *self.competitor_prices.iter().min()?,
            *self.competitor_prices.iter().max()?,
        ))
    }

    /// See [`PricingAdvice::confidence`].
    fn confidence(&self, price: Decimal, change: Option<Decimal>) -> f64 {
        let mut limits = vec![
            price >= self.cost_in_prices(),
            self.leaves_target(price),
            self.is_multiple(price),
        ];
        limits.extend(self.minimum_price.map(|minimum| price >= minimum));
        let met = confidence::share(limits.iter().filter(|met| **met).count(), limits.len());
        let steady = change.is_some_and(|change| change.abs() <= JUMP);
        let among = self
            .market()
            .is_some_and(|(lowest, highest)| price >= lowest && price <= highest);
        let known = if among {
            self.competitor_prices.len().min(KNOWN_MARKET)
        } else {
            0
        };
        let steady = if steady { 0.2 } else { 0.0 };
        confidence::rounded(0.5 * met + steady + 0.3 * confidence::share(known, KNOWN_MARKET))
    }

    /// Why the rules suggest `price`.
    pub(crate) fn reasons(&self, price: Decimal) -> Vec<Reason> {
        let target = (self.target_margin * Decimal::ONE_HUNDRED).normalize();
        let required = self.required().round_dp(4).normalize();
        let (es, en) = (
            [self.cost, target, required].map(Es),
            [self.cost, target, required].map(En),
        );
        let mut reasons = vec![Reason::new(
            format!(
                "Costo {} y margen buscado {} % dan {}: costo / (1 − margen).",
                es[0], es[1], es[2]
            ),
            format!(
                "Cost {} and target margin {} % give {}: cost / (1 − margin).",
                en[0], en[1], en[2]
            ),
        )];
        if price != self.required() {
            reasons.push(Reason::new(
                format!(
                    "Redondeado a múltiplos de {}: {}.",
                    Es(self.step),
                    Es(price)
                ),
                format!("Rounded to multiples of {}: {}.", En(self.step), En(price)),
            ));
        }
        if let Some(minimum) = self
            .minimum_price
            .filter(|minimum| self.required() < *minimum)
        {
            let (es, en) = (Es(minimum), En(minimum));
            reasons.push(Reason::new(
                format!("El precio mínimo {es} es mayor que el que da el margen."),
                format!("The minimum price {en} is higher than what the margin gives."),
            ));
        }
        if let Some((lowest, _)) = self.market().filter(|(lowest, _)| price < *lowest) {
            let (es, en) = (Es(lowest), En(lowest));
            reasons.push(Reason::new(
                format!("La competencia más barata vende a {es}: hay lugar para subir."),
                format!("The cheapest competitor sells at {en}: there is room to go up."),
            ));
        }
        reasons
    }
}
