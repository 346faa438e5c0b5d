//! The three AI tasks of a shop: clean up scanned text, suggest a price, analyse an invoice.

mod analyze_invoice;
mod enhance_ocr;
mod pricing;
mod schema;

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

pub use analyze_invoice::{AnalyzeInvoice, InvoiceAnalysis};
pub use enhance_ocr::{EnhanceOcr, EnhancedText};
pub use pricing::Pricing;

pub use crate::rules::finding::{Code, Finding};
pub use crate::rules::pricing::{PricingAdvice, Rounding};

/// The longest text a task takes, in bytes.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

/// One AI task, implemented by its request. The answer has one type, whoever made it.
pub trait Task: DeserializeOwned + Send + Sync + 'static {
    /// The answer, made by a model or by rules.
    type Output: Serialize + DeserializeOwned + Send + 'static;

    /// The task's name, as in its route and in metrics.
    const NAME: &'static str;

    /// Checks what the types alone can't.
    ///
    /// # Errors
    /// Names the first field that is wrong and how to put it right.
    fn validate(&self) -> Result<(), InvalidRequest>;

    /// What to ask a model. The document is quoted as JSON data, so that nothing in it reads as an instruction.
    fn prompt(&self) -> Prompt;

    /// The JSON schema of the answer a model has to give.
    fn answer_schema() -> Value;

    /// Turns a model's answer into the task's output. What doesn't hold against the document and the arithmetic is
    /// listed in `check`; nothing is corrected.
    ///
    /// # Errors
    /// When the answer hasn't the schema's shape, or breaks what no person could repair by checking.
    fn accept(&self, answer: Value) -> Result<Self::Output, RejectedAnswer>;

    /// Does the task by rules, without a model.
    ///
    /// # Errors
    /// The same as [`Task::validate`].
    fn by_rules(&self) -> Result<Self::Output, InvalidRequest>;
}

/// What a model is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// The task, its rules and the meaning of every field.
    pub system: String,
    /// The document or the figures, as one JSON object.
    pub user: String,
}

/// A request that a task can't take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}; {remedy}")]
pub struct InvalidRequest {
    /// The field that is wrong.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to send instead.
    pub remedy: String,
}

impl InvalidRequest {
    pub(crate) fn new(
        field: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            field: field.into(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

/// A model's answer that can't be used; the rules answer instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model's answer is unusable at `{path}`: {problem}")]
pub struct RejectedAnswer {
    /// Where in the answer.
    pub path: String,
    /// What is wrong there.
    pub problem: String,
}

fn read_answer<T: DeserializeOwned>(answer: Value) -> Result<T, RejectedAnswer> {
    serde_path_to_error::deserialize(answer).map_err(|error| RejectedAnswer {
        path: error.path().to_string(),
        problem: error.into_inner().to_string(),
    })
}

fn check_text(text: &str) -> Result<(), InvalidRequest> {
    if text.trim().is_empty() {
        return Err(InvalidRequest::new(
            "text",
            "is empty",
            "send the document's text",
        ));
    }
    if text.len() > MAX_TEXT_BYTES {
        let problem = format!("has {} bytes, more than {MAX_TEXT_BYTES}", text.len());
        return Err(InvalidRequest::new(
            "text",
            problem,
            "send one document at a time",
        ));
    }
    Ok(())
}
