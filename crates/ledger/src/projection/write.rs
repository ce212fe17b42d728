//! Writing: one transaction per batch, with the keys sorted within each table.

use keyroll_core::WorkspaceName;
use keyroll_core::state::{ValueState, Workflow};
use redb::{Database, Durability, ReadableTable as _, WriteTransaction};

use super::rows::put;
use super::schema::{
    BY_RUN, BY_SECRET, DELEGATIONS, DENIALS, DENIED_NAMES, ENDING, FORMER_NAMES, INVITATIONS,
    MEMBERS, MEMBERSHIPS, META, MemberRecord, NO_WORKSPACE, PROBLEMS, RECEIPTS, REVOKED,
    SECRET_NAMES, SECRETS, SIGN_IN_COUNTS, SIGN_INS, SecretRecord, TIMES, USES, VERSIONS,
    WORKFLOWS, WORKSPACE_NUMBERS, WORKSPACES, WorkflowRecord,
};
use super::write_batch::{EntryFacts, WorkspaceBatch, WriteBatch};
use super::{ProjectionError, commits, past, rows, tree, windows};

pub(super) fn write(
    db: &Database,
    batch: &WriteBatch,
    durable: bool,
) -> Result<(), ProjectionError> {
    let mut tx = db.begin_write()?;
    tx.set_durability(if durable {
        Durability::Immediate
    } else {
        Durability::None
    })?;
    if let Some((sequence, digest)) = &batch.head {
        let mut meta = tx.open_table(META)?;
        meta.insert("sequence", sequence.0.to_be_bytes().as_slice())?;
        meta.insert("digest", digest.0.as_slice())?;
    }
    if !batch.problems.is_empty() {
        let mut problems = tx.open_table(PROBLEMS)?;
        for problem in &batch.problems {
            let name = problem.workspace.as_ref();
            let number = name
                .and_then(|name| number_of(batch, name))
                .unwrap_or(NO_WORKSPACE);
            put(&mut problems, (number, problem.sequence.0), problem)?;
        }
    }
    for (number, workspace) in &batch.workspaces {
        write_head(&tx, *number, workspace)?;
        write_log(&tx, *number, workspace)?;
        write_rows(&tx, *number, workspace)?;
        write_workflows(&tx, *number, workspace)?;
        write_indexes(&tx, *number, workspace)?;
        past::write(&tx, *number, workspace)?;
    }
    keyroll_store::failpoint!("projection.before_commit");
    tx.commit()?;
    keyroll_store::failpoint!("projection.committed");
    Ok(())
}

fn number_of(batch: &WriteBatch, name: &WorkspaceName) -> Option<u32> {
    let of = |part: &WorkspaceBatch| part.head.as_ref().is_some_and(|head| head.name == *name);
    batch
        .workspaces
        .iter()
        .find(|(_, part)| of(part))
        .map(|(number, _)| *number)
}

fn write_head(
    tx: &WriteTransaction,
    number: u32,
    batch: &WorkspaceBatch,
) -> Result<(), ProjectionError> {
    if let Some(head) = &batch.head {
        put(&mut tx.open_table(WORKSPACES)?, number, head)?;
        tx.open_table(WORKSPACE_NUMBERS)?
            .insert(head.name.as_str(), number)?;
    }
    Ok(())
}

fn write_log(
    tx: &WriteTransaction,
    number: u32,
    batch: &WorkspaceBatch,
) -> Result<(), ProjectionError> {
    if batch.commits.is_empty() {
        return Ok(());
    }
    commits::write(tx, number, &batch.commits)?;
    tree::write(tx, number, batch)?;
    let mut times = tx.open_table(TIMES)?;
    for (at, index) in &batch.times {
        times.insert((number, at.0), index.0)?;
    }
    Ok(())
}

fn write_rows(
    tx: &WriteTransaction,
    number: u32,
    batch: &WorkspaceBatch,
) -> Result<(), ProjectionError> {
    if !batch.secrets.is_empty() {
        let (mut secrets, mut names) = (tx.open_table(SECRETS)?, tx.open_table(SECRET_NAMES)?);
        let mut sorted: Vec<_> = batch.secrets.iter().collect();
        sorted.sort_unstable_by_key(|(_, secret)| secret.ordinal);
        for (id, secret) in sorted {
            let key = (number, secret.ordinal);
            let before = secrets
                .get(key)?
                .map(|row| rows::decode::<SecretRecord>(row.value()))
                .transpose()?;
            let folded = secret.name.folded();
            match before.map(|record| record.secret.name.folded()) {
                Some(old) if old == folded => {}
                old => {
                    if let Some(old) = old {
                        names.remove((number, old.as_str(), secret.ordinal))?;
                    }
                    names.insert((number, folded.as_str(), secret.ordinal), ())?;
                }
            }
            let mut record = SecretRecord::of(*id, secret);
            record.secret.last_revealed_at = None;
            put(&mut secrets, key, &record)?;
        }
    }
    for (name, ordinal) in &batch.names {
        tx.open_table(FORMER_NAMES)?
            .insert((number, name.as_str(), *ordinal), ())?;
    }
    if !batch.versions.is_empty() {
        let (mut versions, mut ending) = (tx.open_table(VERSIONS)?, tx.open_table(ENDING)?);
        let mut sorted: Vec<_> = batch.versions.iter().collect();
        sorted.sort_unstable_by_key(|(ordinal, version, _)| (*ordinal, *version));
        for (ordinal, version, info) in sorted {
            put(&mut versions, (number, *ordinal, version.0), info)?;
            let key = (number, *ordinal, version.0);
            match info.state {
                ValueState::Live => {}
                ValueState::Destroyed => drop(ending.insert(key, ())?),
                ValueState::Erased | ValueState::Lost => drop(ending.remove(key)?),
            }
        }
    }
    write_members(tx, number, batch)?;
    for (identity, denials) in &batch.denials {
        put(&mut tx.open_table(DENIALS)?, (number, &identity.0), denials)?;
    }
    for (identity, key) in &batch.changes.revoked {
        tx.open_table(REVOKED)?
            .insert((number, &identity.0, &key.0), ())?;
    }
    for ((identity, key), end) in &batch.delegations {
        let mut delegations = tx.open_table(DELEGATIONS)?;
        let row = (number, &identity.0, &key.0);
        match end {
            Some(end) => drop(delegations.insert(row, end.0)?),
            None => drop(delegations.remove(row)?),
        }
    }
    write_access(tx, number, batch)
}

fn write_access(
    tx: &WriteTransaction,
    number: u32,
    batch: &WorkspaceBatch,
) -> Result<(), ProjectionError> {
    for ((member, key), known) in &batch.sign_ins {
        let mut sign_ins = tx.open_table(SIGN_INS)?;
        let row = (number, &member.0, &key.0);
        match known {
            Some(known) => put(&mut sign_ins, row, known)?,
            None => drop(sign_ins.remove(row)?),
        }
    }
    for (key, known) in &batch.invitations {
        let mut invitations = tx.open_table(INVITATIONS)?;
        match known {
            Some(known) => put(&mut invitations, (number, &key.0), known)?,
            None => drop(invitations.remove((number, &key.0))?),
        }
    }
    for (member, count) in &batch.sign_in_counts {
        let mut counts = tx.open_table(SIGN_IN_COUNTS)?;
        put(&mut counts, (number, &member.0), count)?;
    }
    Ok(())
}

fn write_members(
    tx: &WriteTransaction,
    number: u32,
    batch: &WorkspaceBatch,
) -> Result<(), ProjectionError> {
    if batch.members.is_empty() {
        return Ok(());
    }
    let (mut members, mut memberships) = (tx.open_table(MEMBERS)?, tx.open_table(MEMBERSHIPS)?);
    for (identity, member) in &batch.members {
        let record = MemberRecord {
            identity: *identity,
            member: member.clone(),
        };
        put(&mut members, (number, &identity.0), &record)?;
        if member.removed {
            memberships.remove((&identity.0, number))?;
        } else {
            memberships.insert((&identity.0, number), ())?;
        }
    }
    Ok(())
}

fn write_workflows(
    tx: &WriteTransaction,
    number: u32,
    batch: &WorkspaceBatch,
) -> Result<(), ProjectionError> {
    if batch.workflows.is_empty() {
        return Ok(());
    }
    let (mut workflows, mut uses) = (tx.open_table(WORKFLOWS)?, tx.open_table(USES)?);
    for (name, workflow) in &batch.workflows {
        let key = (number, name.as_str());
        let before = workflows
            .remove(key)?
            .map(|row| rows::decode::<WorkflowRecord>(row.value()))
            .transpose()?;
        for (secret, block) in before.iter().flat_map(|record| pairs(&record.workflow)) {
            uses.remove((number, secret, name.as_str(), block))?;
        }
        let Some(workflow) = workflow else { continue };
        for (secret, block) in pairs(workflow) {
            uses.insert((number, secret, name.as_str(), block), ())?;
        }
        let record = WorkflowRecord {
            name: name.clone(),
            workflow: workflow.clone(),
        };
        put(&mut workflows, key, &record)?;
    }
    Ok(())
}

/// Each secret's name with each block that references it.
fn pairs(workflow: &Workflow) -> impl Iterator<Item = (&str, &str)> {
    workflow.blocks.iter().flat_map(|block| {
        let names = block.secrets.iter();
        names.map(|secret| (secret.as_str(), block.name.as_str()))
    })
}

fn write_indexes(
    tx: &WriteTransaction,
    number: u32,
    batch: &WorkspaceBatch,
) -> Result<(), ProjectionError> {
    let mut receipts = tx.open_table(RECEIPTS)?;
    let mut by_actor: Vec<_> = batch
        .entries
        .iter()
        .map(|e| (e.actor, e.command, e.index.0))
        .collect();
    by_actor.sort_unstable();
    for (actor, command, index) in by_actor {
        receipts.insert((number, actor, &command.0), index)?;
    }
    windows::write(tx, number, batch)?;
    let mut secrets = tx.open_table(BY_SECRET)?;
    let pairs = |e: &EntryFacts| {
        let index = e.index.0;
        let row = |ordinal: &u32| (*ordinal, index, released_at(e, *ordinal));
        e.secrets.iter().map(row).collect::<Vec<_>>()
    };
    let mut by_secret: Vec<_> = batch.entries.iter().flat_map(pairs).collect();
    by_secret.sort_unstable();
    for (ordinal, index, released) in by_secret {
        secrets.insert((number, ordinal, index), released)?;
    }
    let mut runs: Vec<_> = batch
        .entries
        .iter()
        .filter_map(|entry| Some((entry.run?, entry.index.0)))
        .collect();
    runs.sort_unstable();
    let mut by_run = tx.open_table(BY_RUN)?;
    for (run, index) in runs {
        by_run.insert((number, run, index), ())?;
    }
    let mut names = tx.open_table(DENIED_NAMES)?;
    for entry in &batch.entries {
        for name in &entry.denied {
            names.insert((number, name.as_str(), entry.index.0), ())?;
        }
    }
    Ok(())
}

/// When an entry released a value of a secret; 0 when it released none.
fn released_at(entry: &EntryFacts, ordinal: u32) -> u64 {
    let released = entry.revealed.iter().any(|(of, _)| *of == ordinal);
    if released { entry.at.0 } else { 0 }
}
