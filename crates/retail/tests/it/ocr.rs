//! OCR clean-up: what changes, what stays, and that a clean text stays clean.

use mainstay_retail::tasks::{Code, EnhanceOcr, EnhancedText, Task};
use proptest::prelude::*;
use serde_json::json;

fn enhance(text: &str) -> EnhancedText {
    EnhanceOcr {
        text: text.to_owned(),
    }
    .by_rules()
    .unwrap()
}

#[test]
fn spacing_and_digits_are_repaired_and_words_stay() {
    for (dirty, clean) in [
        ("F A C T U R A   A", "FACTURA A"),
        ("CUIT:3O-71234567-1", "CUIT: 30-71234567-1"),
        ("Total$1.2O0,5O", "Total $1.200,50"),
        ("Total   :   $ 1.234 ,56", "Total : $ 1.234,56"),
        ("Fecha:O5/O3/2O24", "Fecha: 05/03/2024"),
        ("12 / 03 / 2024", "12/03/2024"),
        ("N° 0001 - 00001234", "N° 0001-00001234"),
        ("CAE: 741234S6789O12", "CAE: 74123456789012"),
        ("7 4 1 2 3 4 5 6 7 8 9 0 1 2", "74123456789012"),
        ("IVA21% 2.1OO,OO", "IVA 21% 2.100,00"),
        ("SOL BOSSI OLLIZ IBIZA", "SOL BOSSI OLLIZ IBIZA"),
        (
            "Aceite 10W40 BZ-10 S.50 B12 5S",
            "Aceite 10W40 BZ-10 S.50 B12 5S",
        ),
        ("B0001-00001234", "B0001-00001234"),
        ("cant 1 2 3 4", "cant 1 2 3 4"),
        ("J. L. B. Perez", "J. L. B. Perez"),
        ("línea uno\n\n  línea  dos ", "línea uno\n\nlínea dos"),
    ] {
        assert_eq!(enhance(dirty).text, clean, "{dirty}");
    }
}

#[test]
fn changes_say_where_and_what() {
    let answer = enhance("Año CUIT 3O-71234567-1  F A C T U R A");
    let listed: Vec<_> = answer
        .changes
        .iter()
        .map(|c| (c.position, c.from.as_str(), c.to.as_str()))
        .collect();
    assert_eq!(
        listed,
        [
            (9, "3O-71234567-1", "30-71234567-1"),
            (22, "  F A C T U R A", " FACTURA")
        ]
    );
    assert_eq!(answer.check, []);
    assert_eq!(answer.confidence, 1.0);
}

#[test]
fn a_cuit_is_repaired_only_when_its_check_digit_then_holds() {
    let answer = enhance("CUIT: 3O-71234567-2");
    assert_eq!(answer.text, "CUIT: 3O-71234567-2");
    assert_eq!(answer.check[0].code, Code::OcrUnreadable);
    let answer = enhance("CUIT: 30-71234567-2");
    assert_eq!(answer.check[0].code, Code::CuitCheckDigit);
    assert!(answer.confidence < 1.0);
}

#[test]
fn repairs_that_nothing_confirms_lower_the_confidence() {
    assert_eq!(enhance("Total 100,00").confidence, 1.0);
    assert_eq!(enhance("Total 1OO,00").confidence, 0.5);
    assert_eq!(enhance("hola").confidence, 0.5);
}

fn accept(text: &str, answer: &str) -> EnhancedText {
    EnhanceOcr {
        text: text.to_owned(),
    }
    .accept(json!({ "text": answer }))
    .unwrap()
}

#[test]
fn a_models_text_may_differ_only_as_a_clean_up_may() {
    let fine = accept(
        "Razon Social:UNO  SA Total 1OO,00",
        "Razón Social: UNO SA Total 100,00",
    );
    assert_eq!(fine.check, []);
    let digit = accept("Total 100,00 pesos", "Total 700,00 pesos");
    assert_eq!(digit.check[0].code, Code::DigitChanged);
    let word = accept("Total 100,00 pesos", "Monto 100,00 pesos");
    assert_eq!(word.check[0].code, Code::TextAltered);
    let added = accept("Total 100,00 pesos", "Total 100,00 pesos argentinos");
    assert_eq!(added.check[0].code, Code::TextAltered);
    assert!(added.confidence < fine.confidence + 0.5);
}

#[test]
fn a_models_answer_that_is_another_text_is_rejected() {
    let task = EnhanceOcr {
        text: "Total 100,00 pesos".to_owned(),
    };
    assert!(
        task.accept(json!({ "text": "I can't help with that." }))
            .is_err()
    );
    assert!(task.accept(json!({ "texto": "Total" })).is_err());
    assert_eq!(task.accept(json!({ "text": 5 })).unwrap_err().path, "text");
}

#[test]
fn an_empty_or_huge_text_is_refused_by_name() {
    assert_eq!(
        EnhanceOcr { text: " \n".into() }
            .by_rules()
            .unwrap_err()
            .field,
        "text"
    );
    assert_eq!(
        EnhanceOcr {
            text: "x".repeat((1 << 20) + 1)
        }
        .validate()
        .unwrap_err()
        .field,
        "text"
    );
}

/// Text that looks like a scan: what the rules look for, glued and spaced at random.
fn scan() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[0-9OoIlSBZ.,/$% -]{1,16}",
        "[A-Z]( {1,3}[A-Z]){0,6}",
        "(CUIT|CAE|Fecha|Total|IVA|N°|Vto\\.)(:|: | |)",
        "[0-9]{2} ?- ?[0-9]{8} ?- ?[0-9O]",
        "[0-9O]{1,2} ?/ ?[0-9O]{1,2} ?/ ?[0-9]{4}",
        "[0-9]( [0-9O]){6,9}",
        "[ \\t\\n]{1,3}",
        "[a-zñáé]{1,8}",
        ".{0,6}",
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| match pieces.concat() {
        blank if blank.trim().is_empty() => blank + "x",
        text => text,
    })
}

fn dark(text: &str) -> usize {
    text.chars().filter(|c| !c.is_whitespace()).count()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn cleaning_twice_is_cleaning_once(text in scan()) {
        let once = enhance(&text).text;
        prop_assert_eq!(&enhance(&once).text, &once);
    }

    #[test]
    fn only_white_space_is_added_or_dropped_and_changes_rebuild_the_text(text in scan()) {
        let answer = enhance(&text);
        prop_assert_eq!(dark(&answer.text), dark(&text));
        let original: Vec<char> = text.chars().collect();
        let (mut rebuilt, mut at) = (String::new(), 0);
        for change in &answer.changes {
            rebuilt.extend(&original[at..change.position]);
            at = change.position + change.from.chars().count();
            prop_assert_eq!(original[change.position..at].iter().collect::<String>(), change.from.clone());
            rebuilt.push_str(&change.to);
        }
        rebuilt.extend(&original[at..]);
        prop_assert_eq!(rebuilt, answer.text);
    }
}

#[test]
fn a_quantity_is_repaired_only_where_the_line_confirms_it() {
    let table = [
        (
            "1O Silla 18.500,00 185.000,00",
            "10 Silla 18.500,00 185.000,00",
        ),
        ("S Disco 2.300,50 11.502,50", "5 Disco 2.300,50 11.502,50"),
        ("Clavo 1OO 12,00 1.200,00", "Clavo 100 12,00 1.200,00"),
        // Nothing leads from one amount to the other.
        (
            "1O Silla 18.500,00 180.000,00",
            "1O Silla 18.500,00 180.000,00",
        ),
        // A quantity that holds is there already; the letter is part of a name.
        (
            "S 5 Disco 2.300,50 11.502,50",
            "S 5 Disco 2.300,50 11.502,50",
        ),
        ("Caja S 2.300,50 11.502,50", "Caja S 2.300,50 11.502,50"),
        ("B-12 Vaso 100,00 1.200,00", "B-12 Vaso 100,00 1.200,00"),
    ];
    for (text, expected) in table {
        assert_eq!(enhance(text).text, expected);
    }
}

#[test]
fn gaps_inside_an_amount_are_closed_after_a_currency_sign() {
    let table = [
        ("Total $ 1 . 234 ,50", "Total $ 1.234,50"),
        ("Total $ 18 500,00", "Total $ 18500,00"),
        ("3 500,00 1.500,00", "3 500,00 1.500,00"),
    ];
    for (text, expected) in table {
        assert_eq!(enhance(text).text, expected);
    }
}
