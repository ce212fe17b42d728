//! Reveals of many secrets at once, for a file or for a command's environment.

use std::collections::VecDeque;

use keyroll_api::client::{Opened, Wanted};
use keyroll_core::command::Purpose;
use keyroll_core::names::Text;
use keyroll_core::{Code, Index, SecretName, limits};

use crate::commands::secret::rows;
use crate::context::Context;
use crate::error::Failure;
use crate::session::Session;

/// What is to be revealed.
pub(crate) struct Chosen {
    pub(crate) names: Vec<SecretName>,
    /// Restricted secrets, which nobody is shown.
    pub(crate) left_out: Vec<SecretName>,
}

/// What was revealed, in the order of names.
#[derive(Default)]
pub(crate) struct Revealed {
    pub(crate) values: Vec<Opened>,
    pub(crate) entries: Vec<Index>,
    /// What was told on stderr, for programs.
    pub(crate) warnings: Vec<String>,
}

/// Names as `--only` has them; none when it was not said.
pub(crate) fn names(only: &[String]) -> Result<Option<Vec<SecretName>>, Failure> {
    let mut names = Vec::new();
    for text in only {
        let name: SecretName = text.trim().parse()?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok((!only.is_empty()).then_some(names))
}

/// The names that were asked for, or all that may be seen and are not restricted. What was asked
/// for is left to the ledger to judge: its refusals are on record.
pub(crate) async fn choose(
    session: &Session,
    only: Option<Vec<SecretName>>,
) -> Result<Chosen, Failure> {
    if let Some(names) = only {
        let left_out = Vec::new();
        return Ok(Chosen { names, left_out });
    }
    let rows = rows::all(session, false, None).await?;
    let (restricted, open): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.restricted);
    let names = |rows: Vec<_>| {
        rows.into_iter()
            .map(|row: keyroll_api::reply::SecretRow| row.name)
            .collect()
    };
    Ok(Chosen {
        names: names(open),
        left_out: names(restricted),
    })
}

pub(crate) fn note_left_out(context: &Context, left_out: &[SecretName]) {
    if !left_out.is_empty() {
        let names: Vec<&str> = left_out.iter().map(SecretName::as_str).collect();
        context.out.note(&format!(
            "left out, as restricted secrets are shown to nobody: {}",
            names.join(", ")
        ));
    }
}

/// Reveals in one command: one entry.
pub(crate) async fn at_once(
    (context, session): (&Context, &Session),
    names: &[SecretName],
    purpose: &Purpose,
    reason: Option<&Text>,
) -> Result<Revealed, Failure> {
    let wanted: Vec<Wanted> = names
        .iter()
        .map(|name| Wanted {
            name: name.clone(),
            version: None,
        })
        .collect();
    let revealed = session.reveal(context.out, &wanted, purpose, reason);
    let revealed = revealed.await?;
    Ok(Revealed {
        values: revealed.values,
        entries: vec![revealed.index],
        warnings: revealed.warnings,
    })
}

/// Reveals in as few commands as fit. What is too large for one reply is refused before it is
/// recorded, and asked for in halves.
pub(crate) async fn paged(
    place: (&Context, &Session),
    names: &[SecretName],
    purpose: &Purpose,
    reason: Option<&Text>,
) -> Result<Revealed, Failure> {
    let mut pages: VecDeque<&[SecretName]> = names.chunks(limits::REVEAL_SECRETS).collect();
    let mut all = Revealed::default();
    while let Some(page) = pages.pop_front() {
        match at_once(place, page, purpose, reason).await {
            Ok(revealed) => {
                all.values.extend(revealed.values);
                all.entries.extend(revealed.entries);
                all.warnings.extend(revealed.warnings);
            }
            Err(failure) if failure.code() == Code::TooLarge.as_str() && page.len() > 1 => {
                let (first, second) = page.split_at(page.len() / 2);
                pages.push_front(second);
                pages.push_front(first);
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(all)
}
