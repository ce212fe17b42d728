//! `keyroll block check`.

use std::path::Path;

use keyroll_core::state::Lifecycle;
use keyroll_core::{Code, SecretName};
use keyroll_resolver::{Block, BlockFile, plan, references};
use serde_json::{Value, json};

use super::read;
use crate::context::Context;
use crate::error::Failure;
use crate::render::Table;
use crate::session::Session;

/// A secret that a block names.
struct Use {
    block: String,
    secret: String,
    places: String,
    state: &'static str,
}

pub(crate) async fn run(context: &Context, path: &Path, offline: bool) -> Result<(), Failure> {
    let file = read(path)?;
    let mut uses = uses(&file)?;
    if !offline && !uses.is_empty() {
        let session = context.session().await?;
        for one in &mut uses {
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
        .find(|one| !matches!(one.state, "active" | "not checked"));
    if let Some(bad) = bad {
        let message = format!("{}: the secret {} is {}", bad.block, bad.secret, bad.state);
        return Err(Failure::coded(Code::NotFound, message));
    }
    let blocks = file.blocks.len();
    context.out.note(&format!(
        "{}: {blocks} blocks are well formed",
        path.display()
    ));
    Ok(())
}

fn uses(file: &BlockFile) -> Result<Vec<Use>, Failure> {
    let mut uses = Vec::new();
    for block in &file.blocks {
        if let Block::External(_) = block {
            // Also whether method, URL and headers make a request.
            plan(file, Some(block.name()))?;
        }
        for (secret, places) in references(block)? {
            let places = places
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ");
            uses.push(Use {
                block: block.name().to_owned(),
                secret,
                places,
                state: "not checked",
            });
        }
    }
    Ok(uses)
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
