//! Integration tests of the pure part of retail.

mod invoices;
mod invoices_model;
mod junk;
mod ocr;
mod pricing;
