//! What can be worked out without a model: readers for the parts of an Argentine invoice, checks that hold them
//! against each other, OCR clean-up and price arithmetic. Pure functions, linear in the length of the text.

pub mod amount;
pub(crate) mod checks;
pub(crate) mod compare;
pub(crate) mod confidence;
pub mod cuit;
pub mod date;
pub(crate) mod decimal;
pub mod finding;
pub(crate) mod fold;
pub mod invoice;
mod item_line;
mod item_tokens;
mod items;
pub mod ocr;
pub(crate) mod ocr_numbers;
mod ocr_spacing;
mod parties;
pub mod pricing;
pub(crate) mod read;
mod totals;
pub(crate) mod totals_check;
pub mod voucher;
