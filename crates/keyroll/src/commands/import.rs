//! `keyroll import`: secrets from a file, all or nothing per command.

mod file;
mod replace;

use std::collections::HashMap;
use std::path::PathBuf;

use clap::Args;
use keyroll_client::{NewSecretSpec, parts};
use keyroll_core::names::Text;
use keyroll_core::state::Lifecycle;
use keyroll_core::{Code, Index, SecretId, SecretName, Version};
use keyroll_files::{Existing, Format, ParsedEntry, Preview, preview};
use keyroll_wire::reply::SecretRow;
use serde_json::json;

use self::file::{Parsed, format, listed, load, parse};
use self::replace::Replacement;
use crate::context::Context;
use crate::error::Failure;
use crate::input::confirm;
use crate::journal::Journal;
use crate::options::DryRun;
use crate::output::Table;
use crate::secret_rows;
use crate::session::Session;

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The file
    file: PathBuf,
    /// Its format: dotenv, json or yaml [default: by extension]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    #[command(flatten)]
    conflicts: ConflictPolicy,
    /// Leave out names whose value is empty; else nothing is imported when there are any
    #[arg(long)]
    skip_empty: bool,
    /// Reveal them to runners' blocks only, to nobody else
    #[arg(long)]
    restricted: bool,
    #[command(flatten)]
    dry: DryRun,
}

/// What becomes of names that are taken. Nothing is imported when there are any and nothing is said.
#[derive(Debug, Args)]
struct ConflictPolicy {
    /// Leave out names that are taken; else nothing is imported when there are any
    #[arg(long)]
    skip_existing: bool,
    /// Give secrets whose names are taken the file's values, each as a new version
    #[arg(long, conflicts_with = "skip_existing")]
    replace: bool,
}

pub(crate) async fn run(context: &Context, args: ImportArgs) -> Result<(), Failure> {
    let bytes = load(&args)?;
    let format = format(&args)?;
    let found = parse(context, &args, format, &bytes)?;
    let session = context.session().await?;
    let import = Import::new(context, &session, &args, (&bytes, found)).await?;
    if args.dry.dry_run {
        import.show(context)?;
        return import.decide(&session).await;
    }
    import.run(context, &session).await
}

/// What a file holds, held against what exists.
struct Import<'a> {
    args: &'a ImportArgs,
    found: Vec<ParsedEntry>,
    empty: Vec<SecretName>,
    preview: Preview,
    /// What is to have a new version, by position among what was found.
    replace: Vec<(usize, Replacement)>,
    /// What an earlier run of the same import has given a new version.
    replaced_before: usize,
    journal: Journal,
}

/// A secret that is to be made.
type New<'a> = (SecretId, NewSecretSpec, &'a [u8]);

/// What came of the commands.
#[derive(Default)]
struct ImportResult {
    entries: Vec<Index>,
    /// Secrets that were there already.
    before: usize,
    /// Secrets that have a new version.
    replaced: usize,
}

/// Whether secrets exist under exactly these ids and names.
async fn landed(session: &Session, secrets: &[New<'_>]) -> Result<bool, Failure> {
    let rows = secret_rows::all(session, false, None).await?;
    let known: HashMap<SecretId, SecretName> =
        rows.into_iter().map(|row| (row.id, row.name)).collect();
    Ok(secrets
        .iter()
        .all(|(id, spec, _)| known.get(id) == Some(&spec.name)))
}

/// One line of a preview.
struct PreviewRow {
    name: String,
    line: usize,
    action: &'static str,
}

impl<'a> Import<'a> {
    async fn new(
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
            // An id is never used twice: what was imported and is gone, or has another name now, is
            // imported anew.
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
                // Another spelling is another name, which somebody has to choose.
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

    fn show(&self, context: &Context) -> Result<(), Failure> {
        // What an earlier run replaced is neither of those that follow.
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
                "nothing would be imported: names are taken in another spelling"
            }
            Some(_) => {
                "nothing would be imported: names are taken, see --skip-existing and --replace"
            }
            None => "nothing was sent",
        };
        context.out.note(&format!("{}; {fate}", self.words()));
        Ok(())
    }

    /// Whether the ledger would take the commands, each by itself.
    async fn decide(&self, session: &Session) -> Result<(), Failure> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        let new = self.new_secrets()?;
        for part in parts(&new) {
            let (client, workspace) = (&session.client, &session.workspace);
            client.dry_run_import(workspace, &new[part]).await?;
        }
        self.decide_replacements(session).await
    }

    fn words(&self) -> String {
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

    /// Names that are taken, unless they are to be left out.
    fn refusal(&self) -> Option<Failure> {
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
                "these names are taken in another spelling, and --replace needs the same one"
            } else {
                "whether the values are the same is not known; --skip-existing leaves these out, --replace \
                 makes new versions of them"
            },
            listed(taken)
        );
        Some(Failure::coded(Code::Conflict, message))
    }

    async fn run(mut self, context: &Context, session: &Session) -> Result<(), Failure> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        if !(self.preview.create.is_empty() && self.replace.is_empty()) {
            self.note_newlines(context);
            self.note_replaced(context);
            // Half of an import, or a yes for nothing, helps nobody.
            self.decide_replacements(session).await?;
            let (file, workspace) = (self.args.file.display(), &session.workspace);
            confirm(
                context,
                &format!("Import {file} into {workspace}: {}?", self.words()),
            )?;
            // Before anything is sent: what is cut short is recognised by it.
            self.journal.save()?;
        }
        let new = self.new_secrets()?;
        let count = new.len();
        let mut sent = self.send(context, session, &new).await?;
        drop(new);
        self.send_replacements(context, session, &mut sent).await?;
        self.journal.remove()?;
        self.report(context, session, (count, &sent))
    }

    async fn send(
        &self,
        context: &Context,
        session: &Session,
        new: &[New<'_>],
    ) -> Result<ImportResult, Failure> {
        let parts = parts(new);
        let mut done = ImportResult::default();
        for (number, part) in (1..).zip(&parts) {
            let secrets = &new[part.clone()];
            match session.client.import(&session.workspace, secrets).await {
                Ok(acted) => {
                    for warning in &acted.warnings {
                        context.out.warn(warning);
                    }
                    done.entries.push(acted.index);
                }
                // One that was cut short a moment ago may come in only now.
                Err(error)
                    if error.code() == Code::Conflict && landed(session, secrets).await? =>
                {
                    done.before += secrets.len();
                }
                Err(error) => {
                    let imported = self.preview.done.len() + part.start;
                    return Err(Failure::from(error).within(&format!(
                        "command {number} of {} ({imported} secrets are imported; the same import \
                         again goes on from there)",
                        parts.len()
                    )));
                }
            }
            if parts.len() > 1 {
                let (end, all) = (part.end, new.len());
                context.out.note(&format!("imported {end} of {all}"));
            }
        }
        Ok(done)
    }

    fn report(
        &self,
        context: &Context,
        session: &Session,
        (new, sent): (usize, &ImportResult),
    ) -> Result<(), Failure> {
        let (workspace, entries) = (&session.workspace, sent.entries.as_slice());
        let created = new - sent.before;
        let before = self.preview.done.len() + sent.before + self.replaced_before;
        let name = |(at, _): &(usize, SecretName)| self.found[*at].name.clone();
        let skipped: Vec<SecretName> = self.preview.taken.iter().map(name).collect();
        let json = json!({
            "workspace": workspace,
            "created": created,
            "replaced": sent.replaced,
            "done_before": before,
            "skipped": skipped,
            "skipped_empty": self.empty,
            "entries": entries,
        });
        let place = match entries {
            [] => String::new(),
            [one] => format!(" (entry {one})"),
            [first, .., last] => format!(" (entries {first} to {last})"),
        };
        let count = |count: usize, what: &str| match count {
            0 => String::new(),
            count => format!("; {count} {what}"),
        };
        let words = format!(
            "imported {created} secrets into {workspace}{place}{}{}{}",
            count(sent.replaced, "given a new version"),
            count(before, "were imported before"),
            count(skipped.len(), "left out, as their names are taken")
        );
        context.out.done(&json, &words)
    }

    fn new_secrets(&self) -> Result<Vec<New<'_>>, Failure> {
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

    /// A newline at the end cannot be seen, so it is said; in a file it was written on purpose.
    fn note_newlines(&self, context: &Context) {
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
            "these values end with a newline, which is kept: {shown}"
        ));
    }
}
