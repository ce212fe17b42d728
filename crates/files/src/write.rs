//! A file of values.

use keyroll_core::SecretName;
use zeroize::Zeroizing;

use crate::{Format, dotenv, json, yaml};

/// Why values cannot be written in a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// A dotenv file is text without NUL.
    #[error("a dotenv file cannot hold bytes that are no text: write {0} as json or yaml")]
    NotText(SecretName),
}

/// Writes values, each under its name, such that reading gives exactly these bytes.
///
/// # Errors
/// [`WriteError`].
pub fn write(
    format: Format,
    values: &[(&SecretName, &[u8])],
) -> Result<Zeroizing<Vec<u8>>, WriteError> {
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
                let text = std::str::from_utf8(value).ok();
                let text = text.filter(|text| !text.contains('\0'));
                let text = text.ok_or_else(|| WriteError::NotText((*name).clone()))?;
                dotenv::write(name, text, &mut out);
            }
        }
    }
    Ok(out)
}
