//! Writes a file in any of the formats.

use keyroll_core::SecretName;
use zeroize::Zeroizing;

use crate::{Format, dotenv, json, yaml};

/// Why a format cannot hold a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unrepresentable {
    /// A dotenv file is UTF-8 text without NUL.
    NotText,
    /// No way of quoting it means the same to bash, python-dotenv and npm's dotenv.
    NoDotenvForm,
}

impl Format {
    /// Why a file of this format cannot hold a value; `None` if it can.
    pub fn cannot_hold(self, value: &[u8]) -> Option<Unrepresentable> {
        match (self, dotenv::text(value)) {
            (Self::Json | Self::Yaml, _) => None,
            (Self::Dotenv, None) => Some(Unrepresentable::NotText),
            (Self::Dotenv, Some(text)) => dotenv::form(text)
                .is_none()
                .then_some(Unrepresentable::NoDotenvForm),
        }
    }
}

/// Writes values, each under its name, so that reading gives exactly these bytes. Values that the format
/// [cannot hold](Format::cannot_hold) are left out.
pub fn write(format: Format, values: &[(&SecretName, &[u8])]) -> Zeroizing<Vec<u8>> {
    // Large enough at once: a buffer that grows leaves copies behind. The longest spelling of a
    // byte is `\u0000`.
    let size = |(name, value): &(&SecretName, &[u8])| name.as_str().len() + 6 * value.len() + 32;
    let mut out = Zeroizing::new(Vec::with_capacity(
        values.iter().map(size).sum::<usize>() + 8,
    ));
    match format {
        Format::Json => json::write(values, &mut out),
        Format::Yaml => yaml::write(values, &mut out),
        Format::Dotenv => {
            for (name, value) in values {
                if let Some(text) = dotenv::text(value)
                    && let Some(form) = dotenv::form(text)
                {
                    dotenv::write(name, text, form, &mut out);
                }
            }
        }
    }
    out
}
