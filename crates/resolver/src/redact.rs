//! Masking of values in whatever a block returns: the one choke point for output and errors.
//!
//! A match is read symbol by symbol from where it may begin, and each symbol in any of its spellings;
//! no list of spellings of whole values is kept. Masking is a net against accidents, not a wall
//! against a service or a block that wants to leak.

mod attempt;
mod common;
mod entities;
mod index;
mod json;
mod pieces;
mod skip;
mod spelling;
mod stream;
mod targets;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::secret::SecretValues;
use index::Index;
pub(crate) use pieces::MIN_MASKED;
use pieces::pieces;
pub use stream::RedactStream;
use targets::{Piece, Targets};

/// Masks values. Cheap to clone. It holds the values, so it has no `Debug`.
#[derive(Clone)]
pub struct Redactor(Arc<Matcher>);

struct Matcher {
    targets: Targets,
    index: Index,
    /// What stands in for a value, by secret.
    labels: Vec<Vec<u8>>,
    /// The secrets.
    names: Vec<String>,
    unmasked: Vec<String>,
}

impl Matcher {
    fn is_empty(&self) -> bool {
        self.targets.all(targets::View::Bytes).is_empty()
    }
}

impl Redactor {
    /// A redactor for named values. Values under 8 bytes are not masked, see
    /// [`Redactor::unmasked`].
    pub fn new(values: &[(&str, &[u8])]) -> Self {
        Self::with_sent(values, &[])
    }

    /// A redactor for the values of a run and the forms in which they were sent.
    pub(crate) fn of(secrets: &SecretValues, sent: &[(&str, &[u8])]) -> Self {
        let values: Vec<(&str, &[u8])> = secrets
            .iter()
            .map(|(name, value)| (name, value.bytes.as_slice()))
            .collect();
        Self::with_sent(&values, sent)
    }

    fn with_sent(values: &[(&str, &[u8])], sent: &[(&str, &[u8])]) -> Self {
        let mut known: Vec<(Vec<u8>, usize)> = Vec::new();
        for (secret, (name, value)) in values.iter().enumerate() {
            known.extend(pieces(value).into_iter().map(|piece| (piece, secret)));
            let sent = sent
                .iter()
                .filter(|(sent, form)| sent == name && form.len() >= MIN_MASKED);
            known.extend(sent.map(|(_, form)| (form.to_vec(), secret)));
        }
        known.sort_unstable();
        known.dedup_by(|one, before| one.0 == before.0);
        let pieces = known.into_iter().map(|(bytes, secret)| Piece {
            bytes: Zeroizing::new(bytes),
            secret,
        });
        let targets = Targets::new(pieces.collect());
        let short = values.iter().filter(|(_, value)| value.len() < MIN_MASKED);
        Self(Arc::new(Matcher {
            index: Index::new(&targets),
            targets,
            labels: values
                .iter()
                .map(|(name, _)| format!("[REDACTED:{name}]").into_bytes())
                .collect(),
            names: values.iter().map(|(name, _)| (*name).to_owned()).collect(),
            unmasked: short.map(|(name, _)| (*name).to_owned()).collect(),
        }))
    }

    /// Names of values that are too short to be masked.
    pub fn unmasked(&self) -> &[String] {
        &self.0.unmasked
    }

    /// Masks a whole text.
    pub fn redact(&self, text: &[u8]) -> Vec<u8> {
        let mut stream = self.stream();
        let mut out = stream.push(text);
        out.extend(stream.finish());
        out
    }

    /// Masks a text of JSON so that it stays JSON: a number in which something would be masked becomes a
    /// string, and what joins the parts of arrays and objects stays. Any other text is masked as it is.
    pub fn redact_json(&self, text: &[u8]) -> Vec<u8> {
        json::redact(self, text).unwrap_or_else(|| self.redact(text))
    }

    /// Where in a text something would be masked, and the secret whose value it is.
    pub(crate) fn find(&self, text: &[u8]) -> Vec<(usize, &str)> {
        let marks = self.stream().marks(text);
        marks
            .into_iter()
            .map(|mark| (mark.start, self.0.names[mark.secret].as_str()))
            .collect()
    }

    /// Masks a text that comes in parts.
    pub fn stream(&self) -> RedactStream {
        RedactStream::new(&self.0)
    }
}
