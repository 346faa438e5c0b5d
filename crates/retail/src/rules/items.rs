//! The lines of an invoice: where its table begins and ends, and items broken over two lines.

use std::sync::LazyLock;

use regex::Regex;

use super::invoice::Item;
use super::item_line::{self, Context, Line};
use super::read::Document;
use super::totals;

/// The most items an invoice may have.
const MAX_ITEMS: usize = 2000;

/// Longer lines are no items.
const MAX_LINE: usize = 300;

/// Reads the items.
pub(crate) fn read(document: &Document<'_>) -> Vec<Item> {
    let mut reader = Reader {
        context: Context {
            style: document.style,
            ..Context::default()
        },
        ..Reader::default()
    };
    for line in &document.lines {
        if reader.items.len() >= MAX_ITEMS {
            break;
        }
        if line.folded.trim().is_empty() || line.folded.len() > MAX_LINE {
            continue;
        }
        if let Some(header) = header(&line.folded) {
            reader.start_table(header);
        } else if totals::begins_total(&line.folded) {
            reader.end_table();
        } else if reader.context.in_table || !is_heading(&line.folded) {
            reader.line(line.text);
        } else {
            reader.waiting = None;
        }
    }
    reader.end_table();
    reader.items
}

#[derive(Default)]
struct Reader {
    context: Context,
    items: Vec<Item>,
    /// A line that may belong to the next one: text without numbers, or numbers without text.
    waiting: Option<String>,
    /// Whether the waiting line came directly after an item.
    after_item: bool,
}

struct Header {
    price_first: bool,
}

impl Reader {
    fn start_table(&mut self, header: Header) {
        self.end_table();
        self.context.in_table = true;
        self.context.price_first = header.price_first;
    }

    fn end_table(&mut self) {
        self.flush();
        self.context.in_table = false;
        self.context.price_first = false;
    }

    fn line(&mut self, text: &str) {
        match item_line::read(text, self.context) {
            Line::Item(item) => {
                if let Some(joined) = self.joined(text, &item) {
                    self.waiting = None;
                    self.items.push(joined);
                } else {
                    self.flush();
                    self.items.push(item);
                }
                self.after_item = true;
            }
            Line::Numbers => self.numbers(text),
            Line::Text => {
                // A ticket puts "2 x 450,00" above the description with the total.
                let ahead = self
                    .waiting
                    .as_ref()
                    .filter(|waiting| starts_with_number(waiting))
                    .cloned();
                if let Some(item) =
                    ahead.and_then(|ahead| self.read_item(&format!("{ahead} {text}")))
                {
                    self.waiting = None;
                    self.items.push(item);
                    self.after_item = true;
                    return;
                }
                self.flush();
                self.waiting = Some(text.trim().to_owned());
            }
        }
    }

    /// Numbers alone complete the text above them, or wait for the text below.
    fn numbers(&mut self, text: &str) {
        let above = self
            .waiting
            .clone()
            .filter(|waiting| !starts_with_number(waiting) || self.context.in_table);
        if let Some(item) = above.and_then(|above| self.read_item(&format!("{above} {text}"))) {
            self.waiting = None;
            self.items.push(item);
            self.after_item = true;
        } else {
            self.flush();
            self.waiting = Some(text.trim().to_owned());
            self.after_item = false;
        }
    }

    fn read_item(&self, text: &str) -> Option<Item> {
        match item_line::read(text, self.context) {
            Line::Item(item) if text.len() <= MAX_LINE => Some(item),
            _ => None,
        }
    }

    /// `item` with the line above it: its quantity stood there, or its code.
    fn joined(&self, text: &str, item: &Item) -> Option<Item> {
        let above = self
            .waiting
            .as_ref()
            .filter(|waiting| starts_with_number(waiting))?;
        let joined = self.read_item(&format!("{above} {text}"))?;
        let amounts = |item: &Item| (item.quantity, item.unit_price, item.total);
        // An article's code and the beginning of its description stand above its amounts.
        let begun_above = self.context.in_table && amounts(&joined) == amounts(item);
        let fits = match item.quantity {
            None => joined.quantity.is_some(),
            Some(_) => begun_above && above.contains(char::is_alphabetic),
        };
        fits.then_some(joined)
    }

    /// Text that waits after an item goes on with that item's description.
    fn flush(&mut self) {
        let Some(waiting) = self.waiting.take() else {
            return;
        };
        let continues = self.context.in_table
            && self.after_item
            && !waiting.contains(':')
            && waiting.len() <= 80
            && !starts_with_number(&waiting);
        if let Some(item) = self.items.last_mut().filter(|_| continues) {
            for word in waiting
                .split([' ', '\t', '|'])
                .filter(|word| !word.is_empty())
            {
                item.description.push(' ');
                item.description.push_str(word);
            }
        }
        self.after_item = false;
    }
}

fn starts_with_number(text: &str) -> bool {
    text.trim_start().starts_with(|c: char| c.is_ascii_digit())
}

/// Whether a line names the columns of a table: three of them, and holds no amounts.
fn header(folded: &str) -> Option<Header> {
    static COLUMNS: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(concat!(
            r"(?P<q>\bcant(?:idad)?\b)|(?P<d>\bdescripcion\b|\bdetalle\b|\bproducto\b|\barticulo\b|\bconcepto\b)",
            r"|(?P<p>\bprecio\b|\bunitario\b|\bp\.? ?unit|\bunit\b)|(?P<t>\bimporte\b|\bsub ?total\b|\btotal\b)",
            r"|(?P<c>\bcod(?:igo)?\b)|(?P<b>\bbonif|\bdto\b|\bdesc\b)|(?P<u>\bu\. ?m|\bunidad\b)",
        ))
        .expect("a constant pattern")
    });
    static AMOUNT: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"[0-9][.,][0-9]{2}").expect("a constant pattern"));
    let mut seen: Vec<&str> = Vec::new();
    for captures in COLUMNS.captures_iter(folded) {
        let name = ["q", "d", "p", "t", "c", "b", "u"]
            .into_iter()
            .find(|name| captures.name(name).is_some());
        seen.extend(name.filter(|name| !seen.contains(name)));
    }
    if seen.len() < 3 || AMOUNT.is_match(folded) {
        return None;
    }
    let place = |name: &str| seen.iter().position(|column| *column == name);
    Some(Header {
        price_first: matches!((place("p"), place("q")), (Some(price), Some(quantity)) if price < quantity),
    })
}

/// Lines outside a table that hold the document's own data, not articles.
fn is_heading(folded: &str) -> bool {
    static DATA: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"\bc\.?u\.?i\.?[tl]\b|\bc\.?a\.?[ei]\b|\bfecha\b|\bvto\b|\bvenc|domicilio|\btel\b|factura|remito|\biibb\b|brutos")
            .expect("a constant pattern")
    });
    DATA.is_match(folded)
}
