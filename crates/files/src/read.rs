//! Reads a file in any of the formats.

use crate::collect::{Collector, Empty, ParsedFile, newlines};
use crate::{Format, dotenv, json, yaml};

/// Reads a file of secrets.
pub fn read(format: Format, bytes: &[u8], empty: Empty) -> ParsedFile {
    let mut collector = Collector::new(empty);
    match std::str::from_utf8(bytes) {
        Ok(text) => {
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            match format {
                Format::Dotenv => dotenv::read(text, &mut collector),
                Format::Json => json::read(text, &mut collector),
                Format::Yaml => yaml::read(text, &mut collector),
            }
        }
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            collector.problem(1 + newlines(before), "this is not UTF-8 text");
        }
    }
    collector.finish()
}
