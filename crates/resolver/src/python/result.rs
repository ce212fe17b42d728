//! The result of a Python block.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::redact::Redactor;
use crate::reference_locations::ReferenceLocation;

/// The secrets that a block's code uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Analysis {
    /// Every name that the code writes out, and where.
    pub references: BTreeMap<String, Vec<ReferenceLocation>>,
    /// Line and column, from one, of each use of `secrets` whose name is only known at run time. Such a use
    /// can reach only names that the code also writes out.
    pub dynamic: Vec<(usize, usize)>,
}

/// The result of a Python block, masked.
#[derive(Debug, Clone, PartialEq)]
pub struct PythonResult {
    /// The value of `result`. Null where the block assigned none or failed.
    pub result: Value,
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// Its standard error, with the traceback where it failed.
    pub stderr: Vec<u8>,
    /// Whether it ended with an exception, or without a result.
    pub failed: bool,
    /// The secrets that its code uses.
    pub analysis: Analysis,
    /// The secrets whose values are too short to be masked.
    pub unmasked: Vec<String>,
}

/// A JSON value with every string, key and number masked.
pub(super) fn masked(value: Value, redactor: &Redactor) -> Value {
    let text = |text: &str| {
        let masked = redactor.redact(text.as_bytes());
        String::from_utf8_lossy(&masked).into_owned()
    };
    match value {
        Value::String(string) => Value::String(text(&string)),
        Value::Number(number) => {
            let plain = number.to_string();
            let masked = text(&plain);
            if masked == plain {
                Value::Number(number)
            } else {
                Value::String(masked)
            }
        }
        Value::Array(items) => items
            .into_iter()
            .map(|item| masked(item, redactor))
            .collect(),
        Value::Object(fields) => fields
            .into_iter()
            .map(|(key, item)| (text(&key), masked(item, redactor)))
            .collect(),
        Value::Null | Value::Bool(_) => value,
    }
}
