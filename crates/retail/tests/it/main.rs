//! Integration tests of the pure part of retail.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod invoices;
mod invoices_model;
mod junk;
mod ocr;
mod pricing;
