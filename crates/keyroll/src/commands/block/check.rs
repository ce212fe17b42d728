//! `keyroll block check`.

use std::path::Path;

use keyroll_core::state::Lifecycle;
use keyroll_core::{Code, SecretName};
use keyroll_resolver::{BlockFile, Code as BlockCode, ResolveError, key_shapes};
use serde_json::{Value, json};

use super::uses::{Use, uses};
use super::{FILE_BYTES, RunPython, read_limited};
use crate::context::Context;
use crate::error::Failure;
use crate::render::Table;
use crate::session::Session;

pub(crate) async fn run(
    context: &Context,
    path: &Path,
    offline: bool,
    how: &RunPython,
) -> Result<(), Failure> {
    let bytes = read_limited(path, FILE_BYTES)?;
    let file = BlockFile::parse(&bytes)?;
    let mut uses = uses(&file, how).await?;
    if !offline && uses.iter().any(|one| !one.dynamic) {
        let session = context.session().await?;
        for one in uses.iter_mut().filter(|one| !one.dynamic) {
            one.state = state(&session, &one.secret).await?;
        }
    }
    let table = Table::<Use>(vec![
        ("BLOCK", |one| one.block.clone()),
        ("SECRET", |one| one.secret.clone()),
        ("STATE", |one| one.state.to_owned()),
        ("PLACES", |one| one.places.clone()),
    ]);
    context.out.items(&uses, use_json, &table)?;
    let bad = uses
        .iter()
        .find(|one| !one.dynamic && !matches!(one.state, "active" | "not checked"));
    if let Some(bad) = bad {
        let message = format!("{}: the secret {} is {}", bad.block, bad.secret, bad.state);
        return Err(Failure::coded(Code::NotFound, message));
    }
    written_by_hand(path, &String::from_utf8_lossy(&bytes))?;
    let blocks = file.blocks.len();
    context.out.note(&format!(
        "{}: {blocks} blocks are well formed",
        path.display()
    ));
    Ok(())
}

/// Values that belong into a secret. What is found is not repeated.
fn written_by_hand(path: &Path, text: &str) -> Result<(), Failure> {
    let found: Vec<String> = key_shapes(text)
        .iter()
        .map(|key| {
            let line = text[..key.offset].matches('\n').count() + 1;
            format!("line {line}: {}", key.what)
        })
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    Err(ResolveError::new(
        BlockCode::BlockInvalid,
        format!(
            "{}: a value is written into a block by hand ({}): make it a secret and refer to it by name",
            path.display(),
            found.join("; ")
        ),
    )
    .into())
}

async fn state(session: &Session, secret: &str) -> Result<&'static str, Failure> {
    let name: SecretName = secret.parse()?;
    match session.secret(&name).await {
        Ok(row) if row.name != name => Ok("unknown (names differ in case)"),
        Ok(row) => Ok(match row.state {
            Lifecycle::Active => "active",
            Lifecycle::Deleted => "deleted",
            Lifecycle::Destroyed => "destroyed",
        }),
        Err(failure) if failure.code() == Code::NotFound.as_str() => Ok("unknown"),
        Err(failure) if failure.code() == Code::Denied.as_str() => Ok("out of your reach"),
        Err(failure) => Err(failure),
    }
}

fn use_json(one: &Use) -> Value {
    json!({"block": one.block, "secret": one.secret, "state": one.state, "places": one.places})
}
