//! Labels are compared without case and accents.

/// Lower case without the accents of Spanish, character by character: the result has as many characters as `text`,
/// and every ASCII byte keeps its value or becomes lower case.
pub(crate) fn fold(text: &str) -> String {
    text.chars().map(fold_char).collect()
}

pub(crate) fn fold_char(c: char) -> char {
    match c {
        'á' | 'Á' | 'à' | 'À' => 'a',
        'é' | 'É' | 'è' | 'È' => 'e',
        'í' | 'Í' | 'ì' | 'Ì' => 'i',
        'ó' | 'Ó' | 'ò' | 'Ò' => 'o',
        'ú' | 'Ú' | 'ù' | 'Ù' | 'ü' | 'Ü' => 'u',
        'ñ' | 'Ñ' => 'n',
        'º' | '°' => '°',
        '\t' | '\u{a0}' => ' ',
        other => other.to_ascii_lowercase(),
    }
}
