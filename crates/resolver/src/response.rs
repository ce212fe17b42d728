//! The body of a response as text that can be masked.
//!
//! A value is found in text alone, so what a service declares about its body is undone first:
//! compression, then the charset. A body of which that cannot be done is an error: it cannot be masked.

use std::io::Read;

use encoding_rs::{Encoding, UTF_8};
use flate2::read::MultiGzDecoder;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use zeroize::Zeroizing;

use crate::error::{Code, ResolveError};

/// The largest response body, in bytes before and after decompression: it is held whole, and a gzip
/// stream can be a thousand times smaller than what it unpacks to.
pub(crate) const MAX_RESPONSE: usize = 10 * 1024 * 1024;

/// What a service declares about its body.
pub(crate) struct Declared {
    gzip: bool,
    /// None: as it is.
    charset: Option<&'static Encoding>,
    /// Whether it calls the body JSON.
    pub(crate) json: bool,
}

impl Declared {
    /// Reads the headers of a response, each line of them.
    ///
    /// # Errors
    ///
    /// `http_failed` for an encoding other than one of gzip, and for a charset that is not known.
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

    /// The body, unpacked and in UTF-8 where its charset is declared.
    ///
    /// # Errors
    ///
    /// `output_limit`, and `http_failed` for what is no gzip.
    pub(crate) fn decode(
        &self,
        body: Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>, ResolveError> {
        // The answer to HEAD has the headers of a body and none.
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

/// What all lines of a header list, in lower case. A line that is no text counts as one element.
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
            "the response has an encoding that was not asked for",
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
            .ok_or_else(|| failed("the response has a charset that is not known"))?;
        if charset.is_some_and(|known| known != encoding) {
            return Err(failed("the response declares two charsets"));
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
        .map_err(|_| {
            failed("the response cannot be read: it is not the gzip that it is said to be")
        })?;
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
