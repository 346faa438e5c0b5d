//! Arbitrary text: no panic, bounded answers, and time that grows with the length.

use mainstay_retail::rules::amount::{self, Style, format_argentine};
use mainstay_retail::rules::cuit::{Cuit, CuitError, check_digit};
use mainstay_retail::tasks::{AnalyzeInvoice, EnhanceOcr, MAX_TEXT_BYTES, Task};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::json;

fn all_tasks(text: &str) {
    if text.trim().is_empty() {
        return;
    }
    let analysis = AnalyzeInvoice {
        text: text.to_owned(),
    }
    .by_rules()
    .unwrap();
    assert!((0.0..=1.0).contains(&analysis.confidence));
    assert!(analysis.check.len() <= 101);
    let enhanced = EnhanceOcr {
        text: text.to_owned(),
    }
    .by_rules()
    .unwrap();
    assert!((0.0..=1.0).contains(&enhanced.confidence));
}

/// Pieces of invoices in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "(FACTURA|NOTA DE CREDITO|RECIBO|COD\\. [0-9]{1,3}) ?[ABCME]?",
        "(CUIT|CAE|Fecha|Vto|Neto|IVA [0-9]{1,2}%|Perc\\. IIBB|Total|Subtotal|Descuento):? ?",
        "[0-9]{1,9}[.,][0-9]{1,4}",
        "[0-9 .,/$%x-]{1,24}",
        "Cantidad  Descripcion  Precio  Importe\n",
        "\\PC{0,8}",
        "[\\n\\t |]{1,3}",
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn no_text_makes_the_rules_panic(text in any::<String>()) {
        all_tasks(&text);
    }

    #[test]
    fn no_mixture_of_invoice_parts_makes_the_rules_panic(text in pieces()) {
        all_tasks(&text);
    }

    #[test]
    fn what_the_rules_answer_has_the_shape_a_model_must_give(text in pieces()) {
        prop_assume!(!text.trim().is_empty());
        let task = AnalyzeInvoice { text };
        let invoice = serde_json::to_value(task.by_rules().unwrap().invoice).unwrap();
        prop_assert!(task.accept(invoice).is_ok());
    }

    #[test]
    fn a_cuit_holds_with_its_check_digit_and_with_no_other(kind in prop::sample::select(vec!["20", "23", "27", "30", "33"]), body in 0_u32..100_000_000) {
        let first = format!("{kind}{body:08}");
        let digit = check_digit(&first).unwrap();
        let right = Cuit::parse(&format!("{first}{digit}"));
        prop_assert!(right.is_ok_and(|cuit| cuit.is_known_type()));
        for other in (0..10).filter(|other| *other != digit) {
            let wrong = format!("{}-{}-{other}", &first[..2], &first[2..]);
            prop_assert_eq!(Cuit::parse(&wrong), Err(CuitError::CheckDigit { expected: digit }));
        }
    }

    #[test]
    fn amounts_survive_being_written_and_read(units in -1_000_000_000_000_i64..1_000_000_000_000, scale in 0_u32..=4) {
        let value = Decimal::new(units, scale);
        let read = amount::parse(&format_argentine(value), Style::Comma).unwrap();
        prop_assert_eq!(read.value, value);
        prop_assert_eq!(read.otherwise, None);
    }
}

/// A quadratic reader would take hours over the last of these, a single line of a mebibyte: `.config/nextest.toml` ends it
/// after minutes, and it fails.
#[test]
fn a_mebibyte_of_junk_is_read_to_its_end() {
    const SHORT: usize = 1 << 14;
    for piece in [
        "a",
        "1",
        "1 ",
        "- ",
        "O0",
        "30-",
        "1.",
        "$",
        "\n",
        "A B C D ",
        "IVA ",
        "Total 1,00 ",
        "CAE ",
        "ñ",
        "Fecha\n",
        "(",
        "1 / ",
        "1 Silla 2,00 2,00\n",
        "x 1 2 3 4 5 6 7\n",
        "31/02/2024 ",
        "nota de ",
        "Perc. iva iva iva ",
        "30712345671;",
    ] {
        all_tasks(&format!("{}x", piece.repeat(SHORT / piece.len())));
    }
    let piece = "CUIT 3O-71234567-1 ";
    all_tasks(&piece.repeat(MAX_TEXT_BYTES / piece.len()));
}

#[test]
fn unknown_fields_are_refused() {
    let result: Result<AnalyzeInvoice, _> =
        serde_json::from_value(json!({ "text": "x", "extra": 1 }));
    assert!(result.unwrap_err().to_string().contains("extra"));
}
