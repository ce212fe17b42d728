//! What an import does: the entries of a file, compared with the secrets that exist.

use std::collections::HashMap;

use keyroll_client::NewSecretSpec;
use keyroll_core::names::Text;
use keyroll_core::state::Lifecycle;
use keyroll_core::{Code, SecretId, SecretName, Version};
use keyroll_files::{Existing, ParsedEntry, Preview, preview};
use keyroll_wire::reply::SecretRow;
use serde_json::json;

use super::args::ImportArgs;
use super::file::{Parsed, listed};
use crate::context::Context;
use crate::error::Failure;
use crate::journal::Journal;
use crate::output::Table;
use crate::secret_rows;
use crate::session::Session;

/// The entries of a file, compared with the secrets that exist.
pub(super) struct ImportPlan<'a> {
    pub(super) args: &'a ImportArgs,
    pub(super) found: Vec<ParsedEntry>,
    pub(super) empty: Vec<SecretName>,
    pub(super) preview: Preview,
    /// Secrets that are to have a new version, by the position of their entry.
    pub(super) replace: Vec<(usize, Replacement)>,
    /// Secrets to which an earlier run of the same import gave a new version.
    pub(super) replaced_before: usize,
    pub(super) journal: Journal,
}

/// A secret that is to be made.
pub(super) type New<'a> = (SecretId, NewSecretSpec, &'a [u8]);

/// A secret that is to have a new version.
pub(super) struct Replacement {
    pub(super) id: SecretId,
    pub(super) name: SecretName,
    pub(super) next: Version,
}

/// One line of a preview.
struct PreviewRow {
    name: String,
    line: usize,
    action: &'static str,
}

impl<'a> ImportPlan<'a> {
    pub(super) async fn new(
        context: &Context,
        session: &Session,
        args: &'a ImportArgs,
        (bytes, parsed): (&[u8], Parsed),
    ) -> Result<Self, Failure> {
        let Parsed {
            secrets: found,
            empty,
        } = parsed;
        let mut journal = Journal::open(context, session, bytes)?;
        let active = secret_rows::all(session, false, None).await?;
        let gone = secret_rows::all(session, true, None).await?;
        let used: HashMap<SecretId, &SecretRow> = active
            .iter()
            .chain(&gone)
            .map(|row| (row.id, row))
            .collect();
        for secret in &found {
            // An id is never used twice: a secret that was imported and then deleted or renamed gets a new one.
            let spent = |id: &SecretId| {
                let row = used.get(id);
                row.is_some_and(|row| row.state != Lifecycle::Active || row.name != secret.name)
            };
            journal.assign(&secret.name, spent)?;
        }
        let targets: HashMap<SecretName, (SecretId, Version)> = active
            .iter()
            .map(|row| (row.name.clone(), (row.id, row.version.next())))
            .collect();
        let existing = active.into_iter().map(|row| {
            let own = journal.id(&row.name) == Some(row.id);
            (
                row.name.folded(),
                Existing {
                    name: row.name,
                    own,
                },
            )
        });
        let mut preview = preview(&found, &existing.collect());
        let (mut replace, mut replaced_before) = (Vec::new(), 0);
        if args.conflicts.replace {
            preview.taken.retain(|(at, known)| {
                // Another spelling is another name, which a person has to choose.
                let target = targets.get(known).filter(|_| *known == found[*at].name);
                let Some((id, next)) = target.copied() else {
                    return true;
                };
                if journal.replaced(known) {
                    replaced_before += 1;
                } else {
                    let name = known.clone();
                    replace.push((*at, Replacement { id, name, next }));
                }
                false
            });
        }
        Ok(Self {
            args,
            found,
            empty,
            preview,
            replace,
            replaced_before,
            journal,
        })
    }

    pub(super) fn show(&self, context: &Context) -> Result<(), Failure> {
        // Entries that an earlier run replaced keep `done`.
        let mut actions = vec!["done"; self.found.len()];
        for at in &self.preview.create {
            actions[*at] = "create";
        }
        for (at, _) in &self.replace {
            actions[*at] = "replace";
        }
        let taken = if self.args.conflicts.skip_existing {
            "skip"
        } else {
            "refuse"
        };
        for (at, _) in &self.preview.taken {
            actions[*at] = taken;
        }
        let row = |(found, action): (&ParsedEntry, &'static str)| PreviewRow {
            name: found.name.to_string(),
            line: found.line,
            action,
        };
        let rows: Vec<PreviewRow> = self.found.iter().zip(actions).map(row).collect();
        let table = Table::<PreviewRow>(vec![
            ("NAME", |row| row.name.clone()),
            ("LINE", |row| row.line.to_string()),
            ("ACTION", |row| row.action.to_owned()),
        ]);
        let json = |row: &PreviewRow| json!({"name": row.name, "line": row.line, "action": row.action, "dry_run": true});
        context.out.items(&rows, json, &table)?;
        let fate = match self.refusal() {
            Some(_) if self.args.conflicts.replace => {
                "the import would fail: names are taken in another spelling"
            }
            Some(_) => "the import would fail: names are taken. Add --skip-existing or --replace",
            None => "dry run: nothing was sent",
        };
        context.out.note(&format!("{}; {fate}", self.words()));
        Ok(())
    }

    pub(super) fn words(&self) -> String {
        let count = |count: usize, what: &str| (count > 0).then(|| format!("{count} {what}"));
        let preview = &self.preview;
        let words = [
            Some(format!("{} to create", preview.create.len())),
            count(self.replace.len(), "to replace by a new version"),
            count(preview.done.len() + self.replaced_before, "imported before"),
            count(preview.taken.len(), "whose name is taken"),
        ];
        words.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// The failure for names that are taken, unless they are to be left out.
    pub(super) fn refusal(&self) -> Option<Failure> {
        if self.args.conflicts.skip_existing || self.preview.taken.is_empty() {
            return None;
        }
        let taken = self.preview.taken.iter().map(|(at, known)| {
            let found = &self.found[*at];
            format!(
                "line {}: the name {} is taken (by {known})",
                found.line, found.name
            )
        });
        let message = format!(
            "nothing was sent: {}\n{}",
            if self.args.conflicts.replace {
                "these names are taken in another spelling, and --replace needs the same spelling"
            } else {
                "these names are taken. Add --skip-existing to leave them out, or --replace to give them new \
                 versions. keyroll cannot compare the values"
            },
            listed(taken)
        );
        Some(Failure::coded(Code::Conflict, message))
    }

    pub(super) fn new_secrets(&self) -> Result<Vec<New<'_>>, Failure> {
        let nothing: Text = "".parse()?;
        let new = |at: &usize| {
            let found = &self.found[*at];
            let spec = NewSecretSpec {
                name: found.name.clone(),
                description: nothing.clone(),
                hosts: Vec::new(),
                restricted: self.args.restricted,
                rotate_every: None,
            };
            Some((self.journal.id(&found.name)?, spec, found.value.as_slice()))
        };
        Ok(self.preview.create.iter().filter_map(new).collect())
    }

    /// Notes trailing newlines, which nobody sees; in a file they are on purpose, so they stay.
    pub(super) fn note_newlines(&self, context: &Context) {
        let ends = |at: &&usize| self.found[**at].value.ends_with(b"\n");
        let replaced = self.replace.iter().map(|(at, _)| at);
        let names: Vec<String> = self
            .preview
            .create
            .iter()
            .chain(replaced)
            .filter(ends)
            .map(|at| self.found[*at].name.to_string())
            .collect();
        if names.is_empty() {
            return;
        }
        let shown = listed(names.into_iter()).replace('\n', ", ");
        context.out.note(&format!(
            "these values end with a newline, which stays: {shown}"
        ));
    }
}
