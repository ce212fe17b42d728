//! Masking of secret values in text.
//!
//! The output and the errors of a block pass through here, and nowhere else. A match is read symbol by symbol
//! from where it may begin, and each symbol in any of its spellings. No list of spellings of whole values is
//! kept. Masking protects against accidents, not against a service or a block that wants to leak a value.
//!
//! | file | holds |
//! |---|---|
//! | `value_parts` | the parts of a value that are masked on their own: lines, strings of JSON |
//! | `needles` | all that is searched for, by `alphabet`: bytes, `hex` digits, `base64` characters |
//! | `prefilter` | where a needle may begin, by `wu_manber` and a Bloom filter (`prefix_filter`) |
//! | `match_attempt`, `budget` | matching a needle from there on, and the bound on the work |
//! | `unescape` | decoding of escapes: backslashes, percent-encoding, HTML, shell quotes |
//! | `stream` | masking text that arrives in chunks |
//! | `json` | masking that keeps JSON well-formed |

mod alphabet;
mod base64;
mod budget;
mod hex;
mod json;
mod match_attempt;
mod needles;
mod prefilter;
mod prefix_filter;
mod stream;
#[cfg(test)]
mod tests;
mod unescape;
mod value_parts;
mod wu_manber;

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::error::ResolveError;
use crate::secret::SecretValues;
use alphabet::Alphabet;
use needles::{Needles, ValuePart};
use prefilter::Prefilter;
pub use stream::RedactStream;
pub(crate) use value_parts::MIN_MASKED;
use value_parts::value_parts;

/// Masks values. Cheap to clone. It holds the values, so it has no `Debug`.
#[derive(Clone)]
pub struct Redactor(Arc<Matcher>);

struct Matcher {
    needles: Needles,
    prefilter: Prefilter,
    /// The text that replaces a value, by secret.
    labels: Vec<Vec<u8>>,
    /// The names of the secrets.
    names: Vec<String>,
    unmasked: Vec<String>,
}

impl Matcher {
    fn is_empty(&self) -> bool {
        self.needles.all(Alphabet::Bytes).is_empty()
    }
}

impl Redactor {
    /// A redactor for named values. It does not mask values under 8 bytes, see [`Redactor::unmasked`].
    pub fn new(values: &[(&str, &[u8])]) -> Self {
        Self::with_encoded(values, &[])
    }

    /// A redactor for the values of a run and for the values as the request encoded them.
    pub(crate) fn of(secrets: &SecretValues, encoded: &[(&str, &[u8])]) -> Self {
        let values: Vec<(&str, &[u8])> = secrets
            .iter()
            .map(|(name, value)| (name, value.bytes.as_slice()))
            .collect();
        Self::with_encoded(&values, encoded)
    }

    fn with_encoded(values: &[(&str, &[u8])], encoded: &[(&str, &[u8])]) -> Self {
        let mut known: Vec<(Vec<u8>, usize)> = Vec::new();
        for (secret, (name, value)) in values.iter().enumerate() {
            known.extend(value_parts(value).into_iter().map(|part| (part, secret)));
            let encoded = encoded
                .iter()
                .filter(|(encoded, bytes)| encoded == name && bytes.len() >= MIN_MASKED);
            known.extend(encoded.map(|(_, bytes)| (bytes.to_vec(), secret)));
        }
        known.sort_unstable();
        known.dedup_by(|one, before| one.0 == before.0);
        let parts = known.into_iter().map(|(bytes, secret)| ValuePart {
            bytes: Zeroizing::new(bytes),
            secret,
        });
        let needles = Needles::new(parts.collect());
        let short = values.iter().filter(|(_, value)| value.len() < MIN_MASKED);
        Self(Arc::new(Matcher {
            prefilter: Prefilter::new(&needles),
            needles,
            labels: values
                .iter()
                .map(|(name, _)| format!("[REDACTED:{name}]").into_bytes())
                .collect(),
            names: values.iter().map(|(name, _)| (*name).to_owned()).collect(),
            unmasked: short.map(|(name, _)| (*name).to_owned()).collect(),
        }))
    }

    /// The names of the secrets whose values are too short to be masked.
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

    /// Masks a JSON text and keeps it well-formed: a number in which a value occurs becomes a string, and
    /// brackets, commas and colons stay. Masks any other text as [`Redactor::redact`] does.
    pub fn redact_json(&self, text: &[u8]) -> Vec<u8> {
        json::redact(self, text).unwrap_or_else(|| self.redact(text))
    }

    /// Masks text that a library may have worded in an error.
    pub(crate) fn redact_error(&self, error: ResolveError) -> ResolveError {
        error.map_detail(|detail| {
            String::from_utf8_lossy(&self.redact(detail.as_bytes())).into_owned()
        })
    }

    /// Where values occur in a text, with the names of their secrets.
    pub(crate) fn find(&self, text: &[u8]) -> Vec<(usize, &str)> {
        let spans = self.stream().spans(text);
        spans
            .into_iter()
            .map(|span| (span.start, self.0.names[span.secret].as_str()))
            .collect()
    }

    /// Masks text that arrives in chunks.
    pub fn stream(&self) -> RedactStream {
        RedactStream::new(&self.0)
    }
}
