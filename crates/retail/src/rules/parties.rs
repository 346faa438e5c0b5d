//! Which CUIT is the issuer's and which the receiver's, by labels and by position.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::cuit::{self, Cuit};
use super::invoice::Party;
use super::read::{Document, TextLine};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Issuer,
    Receiver,
}

static ROLES: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?P<r>\bsenor(?:es)?\b|\bsr(?:es)?\b|\bcliente\b|\breceptor\b|\bapellido y nombre\b|\bcomprador\b|\badquirente\b|\bdestinatario\b)",
        r"|(?P<i>\bemisor\b|\bproveedor\b|\bvendedor\b)",
        r"|(?P<w>\bingresos brutos\b|\bing\.? ?brutos\b|\biibb\b|\binicio de act)",
    ))
    .expect("a constant pattern")
});

/// A line after a label of the receiver is still about the receiver for this many lines.
const SECTION_LINES: usize = 6;

struct Mention {
    text: String,
    role: Option<Role>,
}

/// Issuer and receiver.
pub(crate) fn read(document: &Document<'_>) -> (Party, Party) {
    let mentions = mentions(document);
    let with = |role: Role| {
        mentions
            .iter()
            .find(|m| m.role == Some(role))
            .map(|m| m.text.clone())
    };
    let mut free = mentions
        .iter()
        .filter(|m| m.role.is_none())
        .map(|m| m.text.clone());
    // Unlabelled ones go by position: the issuer's comes first.
    let (mut issuer, mut receiver) = (with(Role::Issuer), with(Role::Receiver));
    if issuer.is_none() {
        issuer = free.by_ref().find(|text| Some(text) != receiver.as_ref());
    }
    if receiver.is_none() {
        receiver = free.find(|text| Some(text) != issuer.as_ref());
    }
    let (issuer_name, receiver_name) = names(document);
    (
        Party {
            cuit: issuer,
            name: issuer_name,
        },
        Party {
            cuit: receiver,
            name: receiver_name,
        },
    )
}

fn mentions(document: &Document<'_>) -> Vec<Mention> {
    static LABEL: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"c\.? ?u\.? ?i\.? ?[tl]\.?(?: ?n(?:ro|°)?)?[ .:]*$")
            .expect("a constant pattern")
    });
    let mut mentions = Vec::new();
    let mut section: Option<(Role, usize)> = None;
    for (index, line) in document.lines.iter().enumerate() {
        let role_of_line = role_in(
            &line.folded,
            section.is_some_and(|(role, at)| role == Role::Receiver && at + SECTION_LINES >= index),
        );
        if let Some(role) = role_of_line {
            section = Some((role, index));
        }
        for candidate in cuit::candidates(&line.folded) {
            let labelled = LABEL.is_match(&line.folded[..candidate.start]);
            let parsed = Cuit::parse(&candidate.text);
            // Without a label only a check digit and a type in use tell a CUIT from any other number.
            if !labelled && !parsed.as_ref().is_ok_and(Cuit::is_known_type) {
                continue;
            }
            let in_section = section
                .filter(|(_, at)| at + SECTION_LINES >= index)
                .map(|(role, _)| role);
            let role = nearest_role(&line.folded, candidate.start)
                .or(role_of_line)
                .or(in_section.filter(|r| *r == Role::Receiver));
            let text = parsed.map_or(candidate.text, |cuit| cuit.to_string());
            mentions.push(Mention { text, role });
        }
    }
    mentions
}

/// The only role a line names. Gross income tax numbers stand beside either party's CUIT, so within the receiver's section they
/// say nothing.
fn role_in(folded: &str, in_receiver: bool) -> Option<Role> {
    let mut roles = ROLES
        .captures_iter(folded)
        .filter(|captures| !(in_receiver && captures.name("w").is_some()))
        .map(|captures| role_of(&captures));
    let first = roles.next()?;
    roles.all(|role| role == first).then_some(first)
}

fn role_of(captures: &Captures<'_>) -> Role {
    if captures.name("r").is_some() {
        Role::Receiver
    } else {
        Role::Issuer
    }
}

/// The last label before the CUIT when a line names both parties.
fn nearest_role(folded: &str, at: usize) -> Option<Role> {
    let roles: Vec<(usize, Role)> = ROLES
        .captures_iter(folded)
        .map(|captures| (captures.get(0).map_or(0, |m| m.start()), role_of(&captures)))
        .collect();
    let both = roles.iter().any(|(_, role)| *role != roles[0].1);
    let last = roles.iter().rev().find(|(start, _)| *start < at)?;
    both.then_some(last.1)
}

fn names(document: &Document<'_>) -> (Option<String>, Option<String>) {
    static RECEIVER: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?:apellido y nombre(?: ?/ ?razon social)?|\bsenor(?:es|\(es\))?|\bsr(?:\.?/es|\(es\)|es)?\.?|\bcliente|\breceptor|\bcomprador) ?: *").expect("a constant pattern")
    });
    static ISSUER: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^\W*(?:razon social|emisor|proveedor|vendedor) ?: *")
            .expect("a constant pattern")
    });
    static COMPANY: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^\W*[a-z&'. ]{3,60}? (?:s\.?a\.?|s\.?r\.?l\.?|s\.?a\.?s\.?|s\.?h\.?|s\.?c\.?a\.?|coop\.?)(?:\W|$)").expect("a constant pattern")
    });
    // The seller's CUIT often stands in the line of its name.
    static CUIT: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\bc\.? ?u\.? ?i\.? ?t\b").expect("a constant pattern"));
    let after = |label: &Regex, line: &TextLine<'_>| {
        let end = label.find(&line.folded)?.end();
        clean_name(&line.original_from(end))
    };
    let receiver = document
        .lines
        .iter()
        .find_map(|line| after(&RECEIVER, line));
    let issuer = document
        .lines
        .iter()
        .filter(|line| !RECEIVER.is_match(&line.folded))
        .find_map(|line| after(&ISSUER, line));
    let company = || {
        let line = document.lines.iter().take(8).find(|line| {
            let head = CUIT.split(&line.folded).next().unwrap_or_default();
            COMPANY.is_match(head) && !head.contains(':')
        })?;
        clean_name(line.text.trim())
    };
    (issuer.or_else(company), receiver)
}

/// Up to the next column or label.
fn clean_name(text: &str) -> Option<String> {
    static END: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"(?i)\s{3,}|\||\b(?:CUIT|C\.U\.I\.T|DNI|Domicilio|Cond|Fecha|Tel)\b")
            .expect("a constant pattern")
    });
    let end = END.find(text).map_or(text.len(), |m| m.start());
    let name = text[..end].trim().trim_end_matches(['-', ',', ':']).trim();
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    let letters = name.chars().filter(|c| c.is_alphabetic()).count();
    (letters >= 3 && name.chars().count() <= 120).then_some(name)
}
