//! One certificate in a PEM file (RFC 7468), and its DER.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::Failure;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The certificate of a file that holds one.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::file(path, &error))?;
    der(&text).ok_or_else(|| {
        let message = format!(
            "{} does not hold exactly one certificate in PEM, as the link of an invitation needs it",
            path.display()
        );
        Failure::usage(message)
    })
}

fn der(text: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(BEGIN)?;
    let (body, rest) = rest.split_once(END)?;
    if rest.contains(BEGIN) {
        return None;
    }
    let body: String = body.split_whitespace().collect();
    STANDARD.decode(body).ok().filter(|der| !der.is_empty())
}

/// The text of a PEM file.
pub(crate) fn pem(der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let mut text = format!("{BEGIN}\n");
    for line in encoded.as_bytes().chunks(64) {
        // Base64 is ASCII.
        text.push_str(std::str::from_utf8(line).unwrap_or_default());
        text.push('\n');
    }
    text.push_str(END);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_certificate_reads_back_and_two_are_refused() {
        for size in [1, 47, 48, 49, 700] {
            let wanted = vec![7; size];
            let text = pem(&wanted);
            assert!(text.lines().all(|line| line.len() <= 64), "{text}");
            assert_eq!(der(&text), Some(wanted));
            assert_eq!(der(&format!("{text}{text}")), None);
        }
        assert_eq!(der("no certificate"), None);
        assert_eq!(der(&format!("{BEGIN}{END}")), None);
    }
}
