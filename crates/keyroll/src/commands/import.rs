//! `keyroll import`: secrets from a file, all or nothing per command.

mod args;
mod file;
mod plan;
mod replace;
mod send;

use keyroll_core::SecretName;
use serde_json::json;

pub(crate) use self::args::ImportArgs;
use self::file::{format, load, parse};
use self::plan::ImportPlan;
use self::send::ImportResult;
use crate::context::Context;
use crate::error::Failure;
use crate::input::{Confirmation, confirm};
use crate::session::Session;

pub(crate) async fn run(context: &Context, args: ImportArgs) -> Result<(), Failure> {
    let bytes = load(&args)?;
    let format = format(&args)?;
    let found = parse(context, &args, format, &bytes)?;
    let session = context.session().await?;
    let plan = ImportPlan::new(context, &session, &args, (&bytes, found)).await?;
    if args.dry.dry_run {
        plan.show(context)?;
        return plan.decide(&session).await;
    }
    plan.run(context, &session).await
}

impl ImportPlan<'_> {
    async fn run(mut self, context: &Context, session: &Session) -> Result<(), Failure> {
        if let Some(refusal) = self.refusal() {
            return Err(refusal);
        }
        if !(self.preview.create.is_empty() && self.replace.is_empty()) {
            self.note_newlines(context);
            self.note_replaced(context);
            // Before the question: the import must not fail halfway after it is confirmed.
            self.decide_replacements(session).await?;
            let (file, workspace) = (self.args.file.display(), &session.workspace);
            let confirmation = Confirmation {
                question: format!("Import {file} into {workspace}: {}?", self.words()),
                refusal: format!("{file} was not imported ({})", self.words()),
            };
            confirm(context, &confirmation)?;
            // Before anything is sent: another run recognises an interrupted import by its journal.
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
            count(skipped.len(), "left out, because their names are taken")
        );
        context.out.done(&json, &words)
    }
}
