//! `keyroll member remove NAME --all-workspaces`.

use keyroll_core::command::MemberRemove;
use keyroll_core::{Action, Code, MemberId, WorkspaceName};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::Failure;
use crate::input::{Confirmation, can_confirm, confirm};
use crate::options::DryRun;
use crate::output::Table;
use crate::session::Session;

/// What became of a person in one workspace.
struct Removal {
    workspace: WorkspaceName,
    /// The refusal, if the person is still a member.
    refused: Option<Failure>,
}

/// Removes a person from each of the caller's workspaces where the person is a member. A refusal in one
/// does not prevent the removal from the others.
pub(super) async fn remove(context: &Context, member: &str, dry: DryRun) -> Result<(), Failure> {
    let confirmation = |who: &str| Confirmation {
        question: format!(
            "Remove {who} from all of your workspaces? The ledger then refuses all commands of this member there."
        ),
        refusal: format!("{who} was not removed"),
    };
    if !dry.dry_run {
        can_confirm(context, &confirmation(member))?;
    }
    let client = context.client().await?;
    let workspaces = client.workspaces().await?;
    let mut sessions: Vec<Session> = Vec::new();
    for row in workspaces {
        sessions.push(Session {
            client: client.clone(),
            workspace: row.workspace,
        });
    }
    let (id, named) = identify(context, &sessions, member).await?;
    if !dry.dry_run {
        confirm(context, &confirmation(&named))?;
    }
    let mut outcomes = Vec::new();
    for session in sessions {
        if let Some(outcome) = remove_from(&session, id, dry).await? {
            outcomes.push(outcome);
        }
    }
    report(context, &named, &outcomes, dry)
}

/// The key of the person: a name may be another person's in another workspace, so it counts in the workspace
/// of the settings alone.
async fn identify(
    context: &Context,
    sessions: &[Session],
    member: &str,
) -> Result<(MemberId, String), Failure> {
    if let Ok(id) = member.parse::<MemberId>() {
        return Ok((id, id.to_string()));
    }
    let workspace = context.settings()?.workspace()?;
    let session = sessions
        .iter()
        .find(|session| session.workspace == workspace)
        .ok_or_else(|| {
            let message = format!(
                "{workspace} is none of your workspaces. Name the member by key, or choose the workspace with -w"
            );
            Failure::coded(Code::NotFound, message)
        })?;
    let row = session.member(member).await?;
    Ok((row.member, format!("{} ({})", row.name, row.member)))
}

async fn remove_from(
    session: &Session,
    member: MemberId,
    dry: DryRun,
) -> Result<Option<Removal>, Failure> {
    let rows = session.members().await?;
    if !rows.iter().any(|row| row.member == member && !row.removed) {
        return Ok(None);
    }
    let action = Action::MemberRemove(MemberRemove { member });
    let refused = match session.perform(action, dry).await {
        Ok(_) => None,
        // The ledger itself is out of reach: the rest would fail too.
        Err(failure) if failure.code() == Code::Unreachable.as_str() => return Err(failure),
        Err(failure) => Some(failure),
    };
    Ok(Some(Removal {
        workspace: session.workspace.clone(),
        refused,
    }))
}

fn report(
    context: &Context,
    named: &str,
    outcomes: &[Removal],
    dry: DryRun,
) -> Result<(), Failure> {
    if outcomes.is_empty() {
        let message = format!("{named} is in none of your workspaces");
        return Err(Failure::coded(Code::NotFound, message));
    }
    let of = |refused: bool| -> Vec<&Removal> {
        let all = outcomes.iter();
        all.filter(|outcome| outcome.refused.is_some() == refused)
            .collect()
    };
    let (left, removed) = (of(true), of(false));
    // A command that fails prints no data: all that happened stands in its message.
    if let Some(first) = left.first().and_then(|outcome| outcome.refused.as_ref()) {
        let gone: Vec<&str> = removed
            .iter()
            .map(|outcome| outcome.workspace.as_str())
            .collect();
        let gone = if gone.is_empty() {
            "nowhere".to_owned()
        } else {
            gone.join(", ")
        };
        let left: Vec<&str> = left
            .iter()
            .map(|outcome| outcome.workspace.as_str())
            .collect();
        let message = format!(
            "{named} is still a member of {}: {}. Removed from: {gone}",
            left.join(", "),
            first.message()
        );
        return Err(Failure::coded(Code::Denied, message));
    }
    let json = |outcome: &Removal| -> Value {
        json!({"workspace": outcome.workspace, "removed": !dry.dry_run, "dry_run": dry.dry_run})
    };
    let rows: Vec<(String, Value)> = removed
        .iter()
        .map(|outcome| (outcome.workspace.to_string(), json(outcome)))
        .collect();
    let verb = if dry.dry_run {
        "WOULD BE REMOVED FROM"
    } else {
        "REMOVED FROM"
    };
    let table = Table::<(String, Value)>(vec![(verb, |row| row.0.clone())]);
    context.out.items(&rows, |row| row.1.clone(), &table)
}
