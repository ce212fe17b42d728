//! `keyroll audit verify`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use clap::Args;
use keyroll_audit::bundle::{self, BundleError};
use keyroll_audit::report::{Problem, Report};
use keyroll_audit::verify::{Depth, Verifier};
use keyroll_core::{Code, TreeSize};
use keyroll_merkle::{Checkpoint, VerifierKey};
use keyroll_wire::Question;
use keyroll_wire::query::AuditStorage;
use keyroll_wire::reply::{Answer, LogProblem};
use serde_json::{Value, json};

use super::commits;
use crate::context::Context;
use crate::error::Failure;
use crate::exit_code::{Exit, Status};
use crate::output::Table;
use crate::session::{Session, answer};

/// The service reads every message and value.
const STORAGE: std::time::Duration = std::time::Duration::from_secs(3_600);

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Also verify the signature of every command, and decide every command again
    #[arg(long)]
    full: bool,
    /// Verify a bundle that `audit export` wrote. This needs no ledger and no home directory [default:
    /// verify the ledger]
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// Key that must have signed the bundle's checkpoint, as `audit key` prints it [default: any key of
    /// the ledger in the bundle]
    #[arg(long, value_name = "VKEY", requires = "bundle")]
    key: Option<String>,
    /// Also compare the streams with the read model, and look up every value (operators)
    #[arg(long, conflicts_with = "bundle")]
    storage: bool,
}

pub(crate) async fn run(context: &Context, args: VerifyArgs) -> Result<Status, Failure> {
    let mut report = if let Some(path) = &args.bundle {
        verify_bundle(path, args.key.as_deref())?
    } else {
        let depth = if args.full { Depth::Full } else { Depth::Quick };
        verify_ledger(&context.session().await?, depth).await?
    };
    if args.storage {
        storage(context, &mut report).await?;
    }
    let status = if report.ok() {
        Exit::Ok
    } else if report.wants_upgrade() {
        // The log may be whole, so this is no alarm.
        Exit::of(Code::UpgradeNeeded)
    } else {
        Exit::Unverified
    };
    match show(context, &report) {
        // The exit status gives the result even if the reader of the output has gone.
        Ok(()) | Err(Failure::Pipe) => Ok(status.into()),
        Err(failure) => Err(failure),
    }
}

/// Verifies the log from the first entry to the newest checkpoint. The client compares that checkpoint with
/// the trusted one, and so does the report: a checkpoint that the ledger signs during the verification does
/// not prove that the tail is complete.
pub(crate) async fn verify_ledger(session: &Session, depth: Depth) -> Result<Report, Failure> {
    let before = session.client.checkpoints().get(&session.workspace);
    let before = before
        .map_err(|error| Failure::local(format!("cannot read the trusted checkpoints: {error}")))?;
    let mut verifier = Verifier::new(session.client.ledger(), session.workspace.clone(), depth);
    let (now, problems, failure) = match feed(session, &mut verifier).await {
        (now, Ok(problems)) => (now, problems, None),
        (now, Err(failure)) if failure.is_unverified() => (now, Vec::new(), Some(failure)),
        (_, Err(failure)) => return Err(failure),
    };
    let mut report = verifier.finish(now.as_ref());
    report.against(before.as_ref().map(|seen| seen.size));
    let failure = failure.map(|failure| (failure.code().to_owned(), failure.message().to_owned()));
    let reported = problems.into_iter().map(|problem| {
        (
            problem.kind,
            format!(
                "message {} of the log: {}",
                problem.sequence, problem.detail
            ),
        )
    });
    for (kind, detail) in reported.chain(failure) {
        report.end_proven = false;
        report.problems.push(Problem {
            index: None,
            kind,
            detail,
        });
    }
    Ok(report)
}

/// Adds the problems that the service finds in its streams. Only the service can read them, so this part
/// rests on its word.
async fn storage(context: &Context, report: &mut Report) -> Result<(), Failure> {
    let client = context.client().await?;
    let ask = Question::AuditStorage(AuditStorage {
        workspace: report.workspace.clone(),
    });
    let answered = client.query_within(None, ask, STORAGE).await?;
    let found = answer!(answered, Answer::AuditStorage)?;
    report.warnings.extend(found.warnings);
    let problems = found.problems.into_iter().map(|problem| Problem {
        index: None,
        kind: problem.kind,
        detail: problem.detail,
    });
    report.problems.extend(problems);
    Ok(())
}

async fn feed(
    session: &Session,
    verifier: &mut Verifier,
) -> (Option<Checkpoint>, Result<Vec<LogProblem>, Failure>) {
    let checkpoint = match session.client.checkpoint(&session.workspace).await {
        Ok((_, checkpoint)) => checkpoint,
        Err(error) => return (None, Err(error.into())),
    };
    let size = TreeSize(checkpoint.size);
    let fed = commits::each(session, size, |commit| {
        verifier.commit(commit);
        Ok(())
    });
    let fed = fed.await;
    (Some(checkpoint), fed)
}

fn verify_bundle(path: &Path, key: Option<&str>) -> Result<Report, Failure> {
    let failed = |error: std::io::Error| Failure::file(path, &error);
    let key = key.map(parse_key).transpose()?;
    let file = BufReader::new(File::open(path).map_err(failed)?);
    bundle::verify(file, key.as_ref()).map_err(|error| match error {
        BundleError::Io(error) => failed(error),
        BundleError::Malformed(_) => Failure::Reported {
            code: Code::Malformed.as_str(),
            exit: Exit::Unverified,
            message: format!("{}: {error}", path.display()),
        },
    })
}

fn parse_key(text: &str) -> Result<VerifierKey, Failure> {
    VerifierKey::parse(text.trim()).map_err(|error| Failure::usage(format!("--key: {error}")))
}

fn show(context: &Context, report: &Report) -> Result<(), Failure> {
    if context.out.json {
        return context.out.document(&report_json(report));
    }
    context.out.facts(
        &(),
        &[
            ("workspace", report.workspace.to_string()),
            ("ledger", report.ledger.to_string()),
            ("entries", report.entries.to_string()),
            ("root", report.root.to_string()),
            (
                "by service",
                by_service(report.asserted),
            ),
            (
                "end",
                if report.end_proven {
                    "proven"
                } else {
                    "not proven: later entries may have been cut off; compare with a newer checkpoint"
                }
                .to_owned(),
            ),
            ("result", result(report).to_owned()),
        ],
    )?;
    for warning in &report.warnings {
        context
            .out
            .line(&format!("warning: {}", crate::output::plain(warning)))?;
    }
    let table = Table::<Problem>(vec![
        ("ENTRY", |problem| {
            problem
                .index
                .map(|index| index.to_string())
                .unwrap_or_default()
        }),
        ("PROBLEM", |problem| problem.kind.clone()),
        ("DETAIL", |problem| problem.detail.clone()),
    ]);
    context.out.items(&report.problems, |_| (), &table)
}

fn by_service(entries: u64) -> String {
    let were = if entries == 1 {
        "entry was"
    } else {
        "entries were"
    };
    format!("{entries} {were} made by the service itself, not by a member")
}

fn result(report: &Report) -> &'static str {
    if report.ok() {
        "verified"
    } else if report.wants_upgrade() {
        "not verified to the end. Upgrade keyroll and verify again"
    } else {
        "NOT VERIFIED"
    }
}

fn report_json(report: &Report) -> Value {
    let problem = |problem: &Problem| json!({"index": problem.index, "kind": problem.kind, "detail": problem.detail});
    json!({
        "workspace": report.workspace,
        "entries": report.entries,
        "root": report.root.to_string(),
        "ok": report.ok(),
        "end_proven": report.end_proven,
        "warnings": report.warnings,
        "problems": report.problems.iter().map(problem).collect::<Vec<_>>(),
    })
}
