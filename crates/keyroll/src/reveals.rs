//! Reveals many secrets at once, for a file or for a command's environment.

use std::collections::{BTreeSet, VecDeque};

use clap::Args;
use keyroll_client::{RequestedValue, RevealedValue};
use keyroll_core::command::Purpose;
use keyroll_core::names::Text;
use keyroll_core::state::ValueState;
use keyroll_core::{Code, Index, SecretName, limits};

use crate::context::Context;
use crate::error::Failure;
use crate::omitted::{Omitted, Reason};
use crate::secret_rows;
use crate::session::Session;

/// The options that select secrets.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Only these secrets, separated by commas [default: all that you may reveal]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    only: Vec<String>,
    /// Leave out these secrets, separated by commas [default: none]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    except: Vec<String>,
    /// Fail if a secret is destroyed, lost, too large or of the wrong form. By default keyroll leaves it out
    #[arg(long)]
    strict: bool,
}

/// A [`Selection`] with parsed names.
pub(crate) struct Selected {
    pub(crate) only: Option<Vec<SecretName>>,
    except: Vec<SecretName>,
    strict: bool,
}

impl Selection {
    /// All secrets except some.
    pub(crate) const fn of_all(except: Vec<String>, strict: bool) -> Self {
        let only = Vec::new();
        Self {
            only,
            except,
            strict,
        }
    }

    pub(crate) fn parse(&self) -> Result<Selected, Failure> {
        let only = names(&self.only)?;
        Ok(Selected {
            only: (!only.is_empty()).then_some(only),
            except: names(&self.except)?,
            strict: self.strict,
        })
    }
}

impl Selected {
    /// Fails if a requested secret was left out: with `--strict`, and where none of the named secrets is left.
    pub(crate) fn check(&self, omitted: &Omitted, left: usize, what: &str) -> Result<(), Failure> {
        let nothing_left = left == 0 && self.only.is_some();
        match omitted.failure(what) {
            Some(failure) if self.strict || nothing_left => Err(failure),
            _ => Ok(()),
        }
    }
}

fn names(texts: &[String]) -> Result<Vec<SecretName>, Failure> {
    let mut names = Vec::new();
    for text in texts {
        let name: SecretName = text.trim().parse()?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// The revealed secrets, in the order of their names.
#[derive(Default)]
pub(crate) struct RevealedSecrets {
    pub(crate) values: Vec<RevealedValue>,
    pub(crate) entries: Vec<Index>,
    /// The warnings on stderr, for programs.
    pub(crate) warnings: Vec<String>,
}

/// The names that the caller requested, or all that the caller sees and that can be revealed. The ledger judges
/// requested names, and records its refusals.
pub(crate) async fn choose(
    (context, session): (&Context, &Session),
    selected: &Selected,
) -> Result<(Vec<SecretName>, Omitted), Failure> {
    let mut unknown: BTreeSet<String> = selected.except.iter().map(SecretName::folded).collect();
    let excepted = |name: &SecretName| {
        let folded = name.folded();
        selected.except.iter().any(|one| one.folded() == folded)
    };
    let (mut names, mut omitted) = (Vec::new(), Omitted::default());
    if let Some(only) = &selected.only {
        names.extend(only.iter().filter(|name| !excepted(name)).cloned());
        for name in only {
            unknown.remove(&name.folded());
        }
        warn_of_unknown(context, selected, &unknown, "--only does not name it");
        if names.is_empty() {
            let words = "--except excludes every secret that --only names";
            return Err(Failure::usage(words));
        }
        return Ok((names, omitted));
    }
    for row in secret_rows::all(session, false, None).await? {
        unknown.remove(&row.name.folded());
        let reason = match row.value_state {
            _ if excepted(&row.name) => continue,
            _ if row.restricted => Reason::Restricted,
            None | Some(ValueState::Live) => {
                names.push(row.name);
                continue;
            }
            Some(ValueState::Lost) => Reason::Lost,
            Some(ValueState::Destroyed | ValueState::Erased) => Reason::Destroyed,
        };
        omitted.add(row.name, reason);
    }
    warn_of_unknown(
        context,
        selected,
        &unknown,
        "you see no secret of that name",
    );
    Ok((names, omitted))
}

fn warn_of_unknown(context: &Context, selected: &Selected, unknown: &BTreeSet<String>, why: &str) {
    let names = selected.except.iter();
    for name in names.filter(|name| unknown.contains(&name.folded())) {
        let words = format!("--except names {name}, but {why}");
        context.out.warn(&words);
    }
}

/// Reveals in one command: one entry.
async fn at_once(
    (context, session): (&Context, &Session),
    names: &[SecretName],
    (purpose, reason): (&Purpose, Option<&Text>),
) -> Result<RevealedSecrets, Failure> {
    let wanted: Vec<RequestedValue> = names
        .iter()
        .map(|name| RequestedValue {
            name: name.clone(),
            version: None,
        })
        .collect();
    let revealed = session.reveal(context.out, &wanted, purpose, reason);
    let revealed = revealed.await?;
    Ok(RevealedSecrets {
        values: revealed.values,
        entries: vec![revealed.index],
        warnings: revealed.warnings,
    })
}

/// How many secrets may be left out because their reveal failed. The read model knows the destroyed and the
/// recorded losses, so more failures mean a broken vault, and each costs several commands to find.
const FAILED_AT_MOST: usize = 100;

/// Reveals in as few commands as fit. If a command fails because of one secret, this sends it again in halves,
/// until that secret is alone and is left out.
pub(crate) async fn paged(
    place: (&Context, &Session),
    names: &[SecretName],
    why: (&Purpose, Option<&Text>),
    (selected, omitted): (&Selected, &mut Omitted),
) -> Result<RevealedSecrets, Failure> {
    let is_listed = selected.only.is_none();
    let mut pages: VecDeque<&[SecretName]> = names.chunks(limits::REVEAL_SECRETS).collect();
    let mut all = RevealedSecrets::default();
    let mut failed = 0;
    while let Some(page) = pages.pop_front() {
        let failure = match at_once(place, page, why).await {
            Ok(revealed) => {
                all.values.extend(revealed.values);
                all.entries.extend(revealed.entries);
                all.warnings.extend(revealed.warnings);
                continue;
            }
            Err(failure) => failure,
        };
        match (of_one_secret(&failure, is_listed), page) {
            (Some(reason), [name]) if failed < FAILED_AT_MOST => {
                failed += 1;
                omitted.add(name.clone(), reason);
            }
            (Some(_), page) if page.len() > 1 => {
                let (first, second) = page.split_at(page.len() / 2);
                pages.push_front(second);
                pages.push_front(first);
            }
            _ if all.entries.is_empty() => return Err(failure),
            _ => {
                let count = all.entries.len();
                return Err(
                    failure.within(&format!("{count} earlier reveals are in the audit log"))
                );
            }
        }
    }
    Ok(all)
}

/// The reason if one secret caused a failure, so that the others can still be revealed. A listed secret may be
/// deleted before its turn comes; if the caller named it, that is a failure.
fn of_one_secret(failure: &Failure, is_listed: bool) -> Option<Reason> {
    let reasons = [
        (Code::Destroyed, Reason::Destroyed),
        (Code::ValueLost, Reason::Lost),
        (Code::TooLarge, Reason::TooLarge),
    ];
    let gone = [
        (Code::Deleted, Reason::Gone),
        (Code::NotFound, Reason::Gone),
    ];
    let gone = gone.into_iter().filter(|_| is_listed);
    let fits = |(code, _): &(Code, Reason)| code.as_str() == failure.code();
    let mut reasons = reasons.into_iter().chain(gone);
    reasons.find(fits).map(|(_, reason)| reason)
}
