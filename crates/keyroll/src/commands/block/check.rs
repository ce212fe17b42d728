//! `keyroll block check`.

use std::path::Path;

use keyroll_core::command::{Nothing, Purpose};
use keyroll_core::names::Text;
use keyroll_core::state::ValueState;
use keyroll_core::{Code, SecretName};
use keyroll_resolver::{Code as BlockCode, HardCodedValue, Redactor, ResolveError};
use serde_json::{Value, json};

use super::options::RunPython;
use super::source::Source;
use super::uses::{Use, uses};
use crate::context::Context;
use crate::error::Failure;
use crate::output::Table;
use crate::reveals::{self, RevealedSecrets, Selected, Selection};
use crate::secret_rows;
use crate::session::Session;

pub(crate) async fn run(
    context: &Context,
    path: &Path,
    (offline, values): (bool, Option<Selection>),
    how: &RunPython,
) -> Result<(), Failure> {
    let source = Source::read(path)?;
    let values = values.map(|values| values.parse()).transpose()?;
    let mut uses = uses(&source, how).await?;
    let named = uses.iter().any(|one| !one.dynamic);
    let session = if !offline && (named || values.is_some()) {
        Some(context.session().await?)
    } else {
        None
    };
    if let Some(session) = &session {
        look_up(session, &mut uses).await?;
    }
    let table = Table::<Use>(vec![
        ("BLOCK", |one| one.block.clone()),
        ("SECRET", |one| one.secret.clone()),
        ("STATE", in_words),
        ("PLACES", |one| one.places.clone()),
    ]);
    context.out.items(&uses, use_json, &table)?;
    for one in uses.iter().filter(|one| one.in_query) {
        let Use { block, secret, .. } = one;
        context.out.note(&format!(
            "{block}: {secret} is part of the URL's query, where servers and proxies log it. The block runs only \
             with --allow-query {secret}"
        ));
    }
    let known = match (&session, &values) {
        (Some(session), Some(values)) => Some(known((context, session), path, values).await?),
        _ => None,
    };
    verdict(uses.iter(), &source.hard_coded(known.as_ref()))?;
    let blocks = source.file.blocks.len();
    context.out.note(&format!(
        "{}: {blocks} blocks are well formed",
        path.display()
    ));
    Ok(())
}

/// The values to search for: all that may be revealed. A search can test guesses of a value, so it is a reveal
/// like any other, and the audit log records it.
async fn known(
    place: (&Context, &Session),
    path: &Path,
    selected: &Selected,
) -> Result<Redactor, Failure> {
    let (names, mut omitted) = reveals::choose(place, selected).await?;
    selected.check(&omitted, names.len(), "the file was not searched")?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A file name can hold characters that a reason cannot.
    let reason: Text = format!("block check --values {name}")
        .parse()
        .or_else(|_| "block check --values".parse())?;
    let purpose = Purpose::View(Nothing {});
    let why = (&purpose, Some(&reason));
    let RevealedSecrets { values, .. } =
        reveals::paged(place, &names, why, (selected, &mut omitted)).await?;
    let recorded = "the file was not searched, but the audit log has the reveals";
    selected.check(&omitted, values.len(), recorded)?;
    let (context, _) = place;
    let values: Vec<(&str, &[u8])> = values
        .iter()
        .map(|one| (one.name.as_str(), one.value.as_slice()))
        .collect();
    let known = Redactor::new(&values);
    let not_searched = |names: &[String], why: &str| {
        if !names.is_empty() {
            context
                .out
                .note(&format!("not searched for, {why}: {}", names.join(", ")));
        }
    };
    not_searched(
        known.unmasked(),
        "because values under 8 bytes occur by chance",
    );
    omitted.note(context, "not searched for");
    let searched = values.len() - known.unmasked().len();
    context
        .out
        .note(&format!("searched for the values of {searched} secrets"));
    Ok(known)
}

/// Reports all problems at once, without the values that were found.
pub(super) fn verdict<'a>(
    uses: impl Iterator<Item = &'a Use>,
    found: &[HardCodedValue],
) -> Result<(), Failure> {
    let missing: Vec<String> = uses
        .filter(|one| {
            let there = matches!(one.state, "active" | "not checked") && one.value_state.is_none();
            !one.dynamic && !there
        })
        .map(|one| {
            format!(
                "{}: the secret {} is {}",
                one.block,
                one.secret,
                in_words(one)
            )
        })
        .collect();
    let written: Vec<String> = found.iter().map(ToString::to_string).collect();
    let advice = "write {{secrets.NAME}} instead, or secrets.NAME in Python";
    let written = match written.as_slice() {
        [] => None,
        several => Some(format!(
            "a block contains a hard-coded value: {advice}\n{}",
            several.join("\n")
        )),
    };
    match (missing.as_slice(), written) {
        ([], None) => Ok(()),
        ([], Some(written)) => Err(ResolveError::new(BlockCode::BlockInvalid, written).into()),
        (missing, written) => {
            let mut message = missing.join("\n");
            if let Some(written) = written {
                message = format!("{message}\n{written}");
            }
            Err(Failure::coded(Code::NotFound, message))
        }
    }
}

/// The state of a secret that the caller may not access.
pub(super) const OUT_OF_REACH: &str = "out of your reach";

/// Looks up the states of the secrets.
pub(super) async fn look_up(session: &Session, uses: &mut [Use]) -> Result<(), Failure> {
    for one in uses.iter_mut().filter(|one| !one.dynamic) {
        (one.state, one.value_state) = state(session, &one.secret).await?;
    }
    Ok(())
}

async fn state(
    session: &Session,
    secret: &str,
) -> Result<(&'static str, Option<ValueState>), Failure> {
    let name: SecretName = secret.parse()?;
    match session.secret(&name).await {
        Ok(row) if row.name != name => Ok(("unknown (names differ in case)", None)),
        Ok(row) => Ok((secret_rows::state(row.state), row.value_state)),
        Err(failure) if failure.code() == Code::NotFound.as_str() => Ok(("unknown", None)),
        Err(failure) if failure.code() == Code::Denied.as_str() => Ok((OUT_OF_REACH, None)),
        Err(failure) => Err(failure),
    }
}

fn in_words(one: &Use) -> String {
    let gone = one.value_state.map(|state| match state {
        ValueState::Lost => ", but its current version is lost",
        _ => ", but its current version is destroyed",
    });
    format!("{}{}", one.state, gone.unwrap_or_default())
}

fn use_json(one: &Use) -> Value {
    json!({
        "block": one.block,
        "secret": one.secret,
        "state": one.state,
        "value_state": one.value_state.map(ValueState::as_str),
        "places": one.places,
    })
}
