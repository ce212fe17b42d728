//! Finds credentials that are hard-coded in a block file.

use std::fmt;

use crate::credential_patterns::find_credentials;
use crate::redact::Redactor;
use crate::source_map::{SourceMap, line_column, raw_offset, unquote};

/// Where a credential is in a block file. It contains no part of the credential.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HardCodedValue {
    /// The secret, if the credential is a known value.
    pub secret: Option<String>,
    /// A description of the credential.
    pub what: String,
    /// The block, if the credential is in one.
    pub block: Option<String>,
    /// The field, such as `headers.X-Api-Key`.
    pub field: String,
    /// The line in the file, from one.
    pub line: usize,
    /// The column in the file, from one.
    pub column: usize,
}

impl fmt::Display for HardCodedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(block) = &self.block {
            write!(f, "block {}, ", block.escape_debug())?;
        }
        let Self {
            field,
            line,
            column,
            what,
            ..
        } = self;
        write!(f, "{field}, line {line} column {column}: {what}")
    }
}

/// Finds text that looks like a key of a well-known service and, with a redactor, every spelling of its values
/// that it would mask. Each string is searched by itself, without its JSON escapes, as the block would send it.
///
/// ```
/// use keyroll_resolver::{Redactor, hard_coded_values};
///
/// let file = "{\"workflow\": \"w\", \"blocks\": [{\"name\": \"p\", \"type\": \"python\",\n\
///             \"code\": \"send('correct \\\"horse\\\" battery')\"}]}";
/// let known = Redactor::new(&[("Phrase", b"correct \"horse\" battery")]);
/// let found = hard_coded_values(file, Some(&known));
/// assert_eq!(
///     found[0].to_string(),
///     "block p, code, line 2 column 16: the value of the secret Phrase"
/// );
/// assert!(hard_coded_values(file, None).is_empty());
/// # Ok::<(), keyroll_resolver::ResolveError>(())
/// ```
pub fn hard_coded_values(file: &str, known: Option<&Redactor>) -> Vec<HardCodedValue> {
    let source_map = SourceMap::of(file);
    let mut found = Vec::new();
    for scalar in &source_map.scalars {
        let inside = &file[scalar.range.clone()];
        let unquoted = if scalar.is_string {
            unquote(inside)
        } else {
            inside.to_owned()
        };
        // The path of a key would repeat the key, which may be the credential.
        let field = if scalar.is_key {
            "a name".to_owned()
        } else {
            scalar.field.clone()
        };
        let mut add = |offset: usize, secret: Option<&str>, what: String| {
            let at = scalar.range.start + raw_offset(inside, offset);
            let (line, column) = line_column(file, at);
            found.push(HardCodedValue {
                secret: secret.map(str::to_owned),
                what,
                block: scalar.block.and_then(|block| source_map.name(file, block)),
                field: field.clone(),
                line,
                column,
            });
        };
        for (offset, name) in known
            .iter()
            .flat_map(|known| known.find(unquoted.as_bytes()))
        {
            add(
                offset,
                Some(name),
                format!("the value of the secret {name}"),
            );
        }
        for key in find_credentials(&unquoted) {
            add(
                key.offset,
                None,
                format!("text that looks like {}", key.what),
            );
        }
    }
    if let Some(known) = known {
        for one in &mut found {
            one.field = masked(known, &one.field);
            one.block = one.block.as_deref().map(|block| masked(known, block));
        }
    }
    found
}

/// Masks a field or a block's name. A field repeats the keys above it, which may be credentials.
fn masked(known: &Redactor, text: &str) -> String {
    String::from_utf8_lossy(&known.redact(text.as_bytes())).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "AKIAIOSFODNN7EXAMPLE";

    fn file(fields: &str) -> String {
        format!("{{\"workflow\": \"w\", \"blocks\": [{{\"name\": \"b\",\n{fields}}}]}}")
    }

    #[test]
    fn keys_are_found_behind_escapes() {
        for (fields, column, field) in [
            (format!("\"code\": \"x\\n{KEY}\""), 13, "code"),
            (format!("\"code\": \"\\t\\u0041{}\"", &KEY[1..]), 12, "code"),
            (
                "\"url\": \"https:\\/\\/hooks.slack.com\\/services\\/T0000000\\/B0000000\\/abcd1234\""
                    .to_owned(),
                9,
                "url",
            ),
            (format!("\"headers\": {{\"{KEY}\": \"\"}}"), 14, "a name"),
        ] {
            let found = hard_coded_values(&file(&fields), None);
            assert_eq!(found.len(), 1, "{fields}");
            let one = &found[0];
            let expected = (Some("b"), field, 2, column);
            assert_eq!(
                (one.block.as_deref(), &*one.field, one.line, one.column),
                expected
            );
            assert!(!one.to_string().contains("IOSFOD"), "{one}");
        }
        assert_eq!(
            hard_coded_values(&file("\"code\": \"secrets.AWS_Key\""), None),
            []
        );
    }

    #[test]
    fn known_values_are_found_in_their_spellings_and_not_repeated() {
        let values: [(&str, &[u8]); 3] = [
            ("Phrase", "pass/wörd \"one\"".as_bytes()),
            ("Number", b"123456789012"),
            ("Tiny", b"1234567"),
        ];
        let known = Redactor::new(&values);
        for (fields, secret, column) in [
            (
                "\"body\": {\"json\": {\"k\": \"pass/w\\u00f6rd \\\"one\\\"\"}}",
                "Phrase",
                25,
            ),
            ("\"body\": {\"json\": {\"k\": 123456789012}}", "Number", 24),
            ("\"body\": {\"json\": {\"x123456789012\": 1}}", "Number", 21),
            (
                "\"url\": \"https://a.example/?k=pass%2Fw%C3%B6rd%20%22one%22\"",
                "Phrase",
                30,
            ),
            (
                "\"headers\": {\"a\": \"Basic dTpwYXNzL3fDtnJkICJvbmUi\"}",
                "Phrase",
                27,
            ),
            (
                "\"code\": \"x = 'pass/w\\\\xf6rd \\\"one\\\"'\"",
                "Phrase",
                15,
            ),
        ] {
            let found = hard_coded_values(&file(fields), Some(&known));
            let [one] = found.as_slice() else {
                panic!("{fields}: {found:?}")
            };
            assert_eq!(one.secret.as_deref(), Some(secret), "{fields}");
            assert_eq!((one.line, one.column), (2, column), "{fields}: {one}");
            let shown = format!("{one} {one:?}");
            assert!(
                !shown.contains("rd \"one") && !shown.contains("123456"),
                "{shown}"
            );
        }
        let below = file("\"body\": {\"json\": {\"123456789012\": {\"k\": \"123456789012\"}}}");
        let found = hard_coded_values(&below, Some(&known));
        assert_eq!(found.len(), 2);
        assert!(!format!("{found:?}").contains("123456"), "{found:?}");
        assert_eq!(
            hard_coded_values(&file("\"code\": \"1234567 passwörd\""), Some(&known)),
            []
        );
    }
}
