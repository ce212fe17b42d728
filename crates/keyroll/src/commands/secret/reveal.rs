//! `keyroll secret reveal`.

use std::io::IsTerminal as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use keyroll_client::{RequestedValue, RevealedValue};
use keyroll_core::command::{Nothing, Purpose};
use keyroll_core::{Code, Index, SecretName, Version};
use keyroll_wire::Receipt;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::error::Failure;
use crate::input::{secret_name, text};
use crate::session;

#[derive(Debug, Args)]
pub(crate) struct RevealArgs {
    /// Name of the secret
    name: String,
    /// Version to reveal [default: the current version]
    #[arg(long, value_name = "VERSION")]
    version: Option<u32>,
    /// Reason, for the audit log [default: none]
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

/// A revealed value for programs; borrowed, so that no copy outlives it.
#[derive(Serialize)]
struct RevealDocument<'a> {
    name: &'a SecretName,
    version: Version,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<&'a str>,
    index: Index,
    receipt: &'a Receipt,
    warnings: &'a [String],
}

pub(crate) async fn run(context: &Context, args: RevealArgs) -> Result<(), Failure> {
    let name = secret_name(&args.name, "reveal")?;
    let reason = text(args.reason)?;
    let session = context.session().await?;
    let wanted = [RequestedValue {
        name,
        version: args.version.map(Version),
    }];
    let purpose = Purpose::View(Nothing {});
    let reveal = session.reveal(context.out, &wanted, &purpose, reason.as_ref());
    let reveal = reveal.await?;
    let Some(opened) = reveal.values.first() else {
        return Err(Failure::coded(
            Code::Corrupt,
            "the ledger released no value",
        ));
    };
    if context.out.json {
        return document(context, opened, &reveal);
    }
    context.out.bytes(&opened.value)?;
    // A prompt right behind a value would look like a part of it.
    if std::io::stdout().is_terminal() {
        context.out.bytes(b"\n")
    } else {
        Ok(())
    }
}

fn document(
    context: &Context,
    opened: &RevealedValue,
    reveal: &session::Revealed,
) -> Result<(), Failure> {
    let text = std::str::from_utf8(&opened.value).ok();
    let encoded = Zeroizing::new(match text {
        Some(_) => String::new(),
        None => STANDARD.encode(&*opened.value),
    });
    context.out.document(&RevealDocument {
        name: &opened.name,
        version: opened.version,
        value: text,
        value_base64: text.is_none().then_some(encoded.as_str()),
        index: reveal.index,
        receipt: &reveal.receipt,
        warnings: &reveal.warnings,
    })
}
