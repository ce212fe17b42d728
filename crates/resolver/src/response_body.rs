//! Turning the body of a response into text that can be masked.
//!
//! Masking works on UTF-8 text. So the body is decompressed and then decoded from its charset. A body for
//! which that fails cannot be masked, and is an error.

use std::io::Read;

use encoding_rs::{Encoding, UTF_8};
use flate2::read::MultiGzDecoder;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use zeroize::Zeroizing;

use crate::error::{Code, ResolveError};

/// The largest response body in bytes, before and after decompression. It is held whole, and gzip can
/// compress a thousand times.
pub(crate) const MAX_RESPONSE: usize = 10 * 1024 * 1024;

/// The declarations of the headers about the body (RFC 9110, section 8).
pub(crate) struct RepresentationMetadata {
    gzip: bool,
    /// None: not declared.
    charset: Option<&'static Encoding>,
    /// Whether the media type is JSON.
    pub(crate) json: bool,
}

impl RepresentationMetadata {
    /// Reads the headers of a response, every line of each.
    ///
    /// # Errors
    ///
    /// `http_failed` for a content coding other than one gzip, and for an unknown charset.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, ResolveError> {
        let types = elements(headers, &CONTENT_TYPE, ';');
        Ok(Self {
            gzip: gzip(&elements(headers, &CONTENT_ENCODING, ','))?,
            charset: charset(&types)?,
            json: types
                .iter()
                .any(|one| one == "application/json" || one.ends_with("+json")),
        })
    }

    /// The body, decompressed, and in UTF-8 if its charset is declared.
    ///
    /// # Errors
    ///
    /// `output_limit`, and `http_failed` for a body that is not gzip.
    pub(crate) fn decode(
        &self,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>, ResolveError> {
        // The response to HEAD declares a body but has none.
        let body = if self.gzip && !body.is_empty() {
            unpack(&body)?
        } else {
            body
        };
        let marked = Encoding::for_bom(&body).map(|(encoding, _)| encoding);
        match self.charset.or(marked) {
            None => Ok(body),
            Some(charset) if charset == UTF_8 && marked.is_none() => Ok(body),
            Some(charset) => {
                let (text, _, _) = charset.decode(&body);
                Ok(Zeroizing::new(text.into_owned().into_bytes()))
            }
        }
    }
}

fn failed(detail: &str) -> ResolveError {
    ResolveError::new(Code::HttpFailed, detail)
}

/// The list elements of all lines of a header, in lower case. A line that is not ASCII text counts as one
/// element.
fn elements(headers: &HeaderMap, name: &HeaderName, separator: char) -> Vec<String> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.to_str().unwrap_or("?").split(separator))
        .map(|element| element.trim().to_ascii_lowercase())
        .filter(|element| !element.is_empty())
        .collect()
}

fn gzip(codings: &[String]) -> Result<bool, ResolveError> {
    let applied = codings.iter().filter(|coding| *coding != "identity");
    match applied.map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(false),
        ["gzip" | "x-gzip"] => Ok(true),
        _ => Err(failed(
            "the response has a `Content-Encoding` other than gzip, so it cannot be masked",
        )),
    }
}

fn charset(types: &[String]) -> Result<Option<&'static Encoding>, ResolveError> {
    let mut charset = None;
    for parameter in types {
        let Some(label) = parameter.strip_prefix("charset").map(str::trim_start) else {
            continue;
        };
        let Some(label) = label.strip_prefix('=') else {
            continue;
        };
        let label = label.trim().trim_matches(['"', '\'']);
        let encoding = Encoding::for_label(label.as_bytes())
            .ok_or_else(|| failed("the response has an unknown charset, so it cannot be masked"))?;
        if charset.is_some_and(|known| known != encoding) {
            return Err(failed(
                "the response declares two charsets, so it cannot be masked",
            ));
        }
        charset = Some(encoding);
    }
    Ok(charset)
}

fn unpack(body: &[u8]) -> Result<Zeroizing<Vec<u8>>, ResolveError> {
    let mut out = Zeroizing::new(Vec::new());
    let limit = u64::try_from(MAX_RESPONSE).unwrap_or(u64::MAX) + 1;
    MultiGzDecoder::new(body)
        .take(limit)
        .read_to_end(&mut out)
        .map_err(|_| failed("the response declares gzip, but is not valid gzip"))?;
    check_size(out.len())?;
    Ok(out)
}

/// # Errors
///
/// `output_limit` for more than [`MAX_RESPONSE`] bytes.
pub(crate) fn check_size(bytes: usize) -> Result<(), ResolveError> {
    if bytes > MAX_RESPONSE {
        return Err(ResolveError::new(
            Code::OutputLimit,
            "the response is larger than 10 MiB after decompression",
        ));
    }
    Ok(())
}
