//! What other models than the one that was asked for had in a call: Anthropic's iterations name the model that each ran
//! on, such as one that was consulted.
//!
//! Edge cases: an iteration without a model is of the one that was asked for. So are those of models beyond
//! [`MAX_OTHERS`], and of names that are too long for any model's.

use std::sync::Arc;

use flashops_core::usage::OtherModel;

use super::classes::Fallback;
use super::report::Report;
use crate::inspect::{MAX_MODEL_NAME, WireFormat};
use crate::json::{Cursor, Fault};

/// The most models that are told apart in one call.
pub(super) const MAX_OTHERS: usize = 8;

/// The sum of the iterations of each model that they name.
#[derive(Clone, Debug, Default)]
pub(super) struct Others(Vec<(Arc<str>, Report)>);

impl Others {
    /// Reads one iteration.
    pub(super) fn iteration(&mut self, cursor: &mut Cursor<'_>) -> Result<Report, Fault> {
        let (mut report, mut model) = (Report::default(), None);
        if cursor.peek()? != b'{' {
            return cursor.skip().map(|()| report);
        }
        cursor.object(|cursor, key| match (key.raw(), cursor.peek()?) {
            (b"model", b'"') => {
                model = cursor.string()?.decode().filter(|name| name.len() <= MAX_MODEL_NAME);
                Ok(())
            }
            _ => report.member(cursor, key),
        })?;
        if let Some(name) = model {
            self.add(&name, &report);
        }
        Ok(report)
    }

    fn add(&mut self, name: &str, report: &Report) {
        let is_full = self.0.len() >= MAX_OTHERS;
        match self.0.iter_mut().find(|(other, _)| **other == *name) {
            Some((_, sum)) => *sum = sum.plus(report),
            None if is_full => {}
            None => self.0.push((name.into(), *report)),
        }
    }

    /// These, or the ones before where none are named.
    pub(super) fn or(self, earlier: Self) -> Self {
        if self.0.is_empty() { earlier } else { self }
    }

    /// What each of them used.
    pub(super) fn usages(&self) -> Vec<OtherModel> {
        let nothing = Fallback { input: 0, output: 0 };
        let usage = |report: &Report| report.usage(WireFormat::AnthropicMessages, nothing);
        self.0.iter().map(|(name, report)| OtherModel { name: Arc::clone(name), usage: usage(report) }).collect()
    }
}
