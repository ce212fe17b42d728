//! A form as it stands in a file: its bytes, the rule of the schema that it follows, and its
//! decoded content.

use keyroll_core::cbor;
use keyroll_core::cose::{self, Form};
use serde::Serialize;
use serde_json::{Value, json};

/// A signed form, opened and verified before it is written to the file.
pub(crate) fn signed<F: Form>(name: &str, rule: &str, bytes: &[u8]) -> Value {
    let opened = cose::open::<F>(bytes).expect("our own bytes open");
    opened.verify().expect("our own signature holds");
    json!({
        "name": name,
        "rule": rule,
        "bytes": hex::encode(bytes),
        "external_aad": F::NAME,
        "signer": opened.signer,
        "payload": hex::encode(cbor::encode(&opened.payload)),
        "json": opened.payload,
    })
}

/// A form without a signature of its own.
pub(crate) fn plain<T: Serialize>(name: &str, rule: &str, form: &T) -> Value {
    json!({
        "name": name,
        "rule": rule,
        "bytes": hex::encode(cbor::encode(form)),
        "json": form,
    })
}
