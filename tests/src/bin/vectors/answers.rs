//! Every answer, with plausible content.

use keyroll_core::command::Nothing;
use keyroll_core::event::KeyRotated;
use keyroll_core::roles::Role;
use keyroll_core::state::{Lifecycle, ValueState};
use keyroll_core::{
    Code, Digest, Epoch, Event, Index, Millis, Rejection, Sequence, TreeSize, Version,
};
use keyroll_wire::query::{AuditOutcome, SignInName};
use keyroll_wire::reply::{
    Answer, AuditRow, AuditRows, CheckpointNote, Commits, DryRunEvents, IssuedCredential,
    KeyStatus, LogProblem, MemberRow, MemberRows, ProjectionDigest, ProjectionRebuild,
    ProjectionStatus, Receipt, Recovered, RecoveryPlan, RecoveryRow, RunRow, SecretReader,
    SecretRow, SecretRows, SecretVersion, SignInRow, SignInRows, Status, StorageProblem,
    StorageReport, UsedBy, VersionRow, VersionRows, WorkspaceAt, WorkspaceRow, WorkspaceRows,
};

use crate::log::Log;
use crate::queries::THEN;
use crate::world::{START, World, fixed, member, public};
use crate::{actions, log, tree};

/// One plan with losses, and one for a healthy log.
fn recovery_plan(world: &World, lost: bool) -> RecoveryPlan {
    let version = SecretVersion {
        name: "STRIPE_KEY".parse().expect("a name"),
        version: Some(Version(3)),
    };
    RecoveryPlan {
        plan: Digest([7; 32]),
        wrong: if lost {
            vec!["messages 4 to 4 of the log are missing (corrupt)".to_owned()]
        } else {
            Vec::new()
        },
        remake: lost,
        messages: 12,
        unreadable: u64::from(lost),
        workspaces: vec![RecoveryRow {
            lost: if lost { vec![version] } else { Vec::new() },
            erase: 0,
            known: lost.then_some(TreeSize(12)),
            values: u64::from(lost),
            entries: TreeSize(11),
            workspace: world.workspace.clone(),
        }],
    }
}

pub(crate) fn receipt(world: &World, log: &Log, index: u64) -> Receipt {
    let size = log.entries.len();
    Receipt {
        path: digests(&tree::path(log, index, size)),
        entry: log.entries[usize::try_from(index).expect("small")]
            .clone()
            .into(),
        index: Index(index),
        checkpoint: tree::note(world, log, size),
    }
}

pub(crate) fn digests(hashes: &[keyroll_merkle::Hash]) -> Vec<Digest> {
    hashes.iter().map(|hash| Digest(hash.0)).collect()
}

fn secret_row(world: &World, full: bool, state: Lifecycle) -> SecretRow {
    let new = world.new_secret("STRIPE_KEY", actions::VALUE, full);
    SecretRow {
        id: new.id,
        name: new.name,
        hosts: new.hosts,
        stale: false,
        state,
        unused: !full,
        used_by: if full {
            vec![UsedBy {
                block: "post".to_owned(),
                workflow: "billing".to_owned(),
            }]
        } else {
            vec![]
        },
        version: Version(3),
        created_at: Millis(START + 240_005),
        restricted: full,
        updated_at: Millis(START + 720_005),
        updated_by: member(&world.alice),
        description: new.description,
        value_state: None,
        rotate_every: new.rotate_every,
        updated_by_name: "owner".to_owned(),
        last_revealed_at: full.then_some(Millis(START + 600_005)),
    }
}

fn sign_in_rows(world: &World) -> SignInRows {
    let (open, member) = (world.sign_in(), member(&world.alice));
    let row = SignInRow {
        key: open.key,
        name: "owner".parse().expect("a member's name"),
        until: open.until,
        origin: open.origin,
        member,
        opened: Millis(START + 5),
    };
    let key = open.key;
    SignInRows {
        next: Some(SignInName { key, member }),
        rows: vec![row],
    }
}

fn version_rows(world: &World) -> VersionRows {
    let row = |version: u32, kind: &str, reason: Option<&str>, state: ValueState| VersionRow {
        at: Millis(START + 240_005),
        kind: kind.to_owned(),
        actor: member(&world.alice),
        state,
        reason: reason.map(|text| text.parse().expect("text")),
        seen_by: None,
        version: Version(version),
        actor_name: "owner".to_owned(),
        seen_by_count: None,
    };
    let seen = SecretReader {
        actor: member(&world.nightly),
        count: 3,
        index: Index(6),
        last_at: Millis(START + 600_005),
        first_at: Millis(START + 420_005),
        actor_name: "nightly".to_owned(),
    };
    let seen = VersionRow {
        seen_by: Some(vec![seen]),
        seen_by_count: Some(1),
        ..row(3, "rolled back from 1", None, ValueState::Live)
    };
    VersionRows {
        next: Some(Version(1)),
        rows: vec![
            row(4, "edited", None, ValueState::Lost),
            seen,
            row(
                2,
                "edited",
                Some("rotated after an incident"),
                ValueState::Destroyed,
            ),
            row(1, "created", None, ValueState::Erased),
        ],
    }
}

fn member_rows(world: &World) -> MemberRows {
    let row = |called: &str, role: Role, key, expires, removed| MemberRow {
        name: called.parse().expect("a member's name"),
        role,
        member: member(key),
        expires,
        removed,
        secrets: vec!["*".parse().expect("a pattern")],
    };
    MemberRows {
        next: Some(2),
        rows: vec![
            row("owner", Role::Owner, &world.alice, None, false),
            row(
                "Bob",
                Role::Auditor,
                &world.bob,
                Some(Millis(START + 7_200_000)),
                true,
            ),
        ],
    }
}

fn audit_rows(world: &World, log: &Log) -> AuditRows {
    let row = |index: usize, kind: &str, actor, called: &str, version: Option<u32>| AuditRow {
        at: Millis(START + (index as u64 + 1) * 60_000 + 5),
        run: None,
        kind: kind.to_owned(),
        actor,
        index: Index(index as u64),
        digest: Digest(log.leaves[index].0),
        reason: None,
        outcome: AuditOutcome::Granted,
        purpose: None,
        secrets: vec![SecretVersion {
            name: "STRIPE_KEY".parse().expect("a name"),
            version: version.map(Version),
        }],
        attempted: None,
        actor_name: called.to_owned(),
        sign_in_key: None,
        delegate_key: None,
    };
    let denied = AuditRow {
        reason: Some("role".to_owned()),
        outcome: AuditOutcome::Denied,
        purpose: Some(actions::agent_purpose(true)),
        attempted: Some("secret.reveal".to_owned()),
        ..row(5, "access.denied", member(&world.bob), "Bob", None)
    };
    let run = RunRow {
        run: "run-42".to_owned(),
        block: "charge".to_owned(),
        workflow: "billing".to_owned(),
    };
    let for_block = AuditRow {
        run: Some(run),
        purpose: Some(actions::block_purpose()),
        ..row(
            6,
            "secret.revealed",
            member(&world.nightly),
            "nightly",
            Some(1),
        )
    };
    let delegated = AuditRow {
        delegate_key: Some(public(&world.console)),
        ..row(7, "secret.edited", member(&world.alice), "owner", Some(2))
    };
    let signed_in = AuditRow {
        sign_in_key: Some(public(&world.console)),
        ..row(8, "secret.edited", member(&world.alice), "owner", Some(3))
    };
    let own = AuditRow {
        secrets: Vec::new(),
        ..row(
            12,
            "denials.summarized",
            log::ledger_actor(world),
            "ledger",
            None,
        )
    };
    AuditRows {
        rows: vec![denied, for_block, delegated, signed_in, own],
        before: Some(Index(5)),
    }
}

fn of_a_recovery(world: &World) -> Vec<Answer> {
    vec![
        Answer::AuditStorage(StorageReport {
            checked: 5,
            messages: 12,
            problems: vec![StorageProblem {
                kind: "value_lost".to_owned(),
                detail: "STRIPE_KEY, version 3: it is missing from the vault".to_owned(),
            }],
            warnings: vec!["1 stored values belong to no version".to_owned()],
        }),
        Answer::RecoverPlan(recovery_plan(world, true)),
        Answer::RecoverBegin(recovery_plan(world, false)),
        Answer::RecoverFinish(Recovered {
            added: 2,
            digest: Digest([7; 32]),
            erased: 1,
            entries: 14,
        }),
    ]
}

fn status(entries: u64) -> Status {
    Status {
        entries,
        version: "0.1.0".to_owned(),
        problems: vec!["message 9 of the log: foreign".to_owned()],
        warnings: Vec::new(),
        projected: Sequence(4),
        under_way: vec!["billing: 1 destroyed values to erase".to_owned()],
        nats_server: "keyroll-1 2.12.0".to_owned(),
        log_sequence: Sequence(4),
        sync_verified: true,
        clock_ahead_ms: -3,
    }
}

fn credential() -> Answer {
    Answer::LedgerCredential(IssuedCredential {
        jwt: "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.e30.AA".to_owned(),
        not_after: Millis(START + 3_600_000),
    })
}

pub(crate) fn answers(world: &World, log: &Log) -> Vec<Answer> {
    let size = log.entries.len();
    let commits = log
        .commits
        .iter()
        .map(|commit| commit.clone().into())
        .collect();
    let row = WorkspaceRow {
        role: Role::Editor,
        size: TreeSize(size as u64),
        workspace: world.workspace.clone(),
    };
    let at = ProjectionStatus {
        entries: 14,
        projected: Sequence(4),
        workspaces: 1,
        log_sequence: Sequence(4),
    };
    let digest = ProjectionDigest {
        digest: Digest(fixed("read model")),
        entries: 14,
        projected: Sequence(4),
    };
    let rebuilt = ProjectionRebuild {
        root: Digest(fixed("roots")),
        digest: Digest(fixed("read model")),
        millis: 7,
        entries: 14,
        identical: true,
    };
    let mut answers = vec![
        Answer::SecretList(SecretRows {
            next: Some("stripe_key".to_owned()),
            rows: vec![
                secret_row(world, false, Lifecycle::Deleted),
                secret_row(world, false, Lifecycle::Destroyed),
            ],
        }),
        Answer::SecretList(SecretRows {
            next: None,
            rows: Vec::new(),
        }),
        Answer::SecretShow(Box::new(secret_row(world, true, Lifecycle::Active))),
        Answer::SecretList(SecretRows {
            next: None,
            rows: [ValueState::Destroyed, ValueState::Erased, ValueState::Lost]
                .map(|state| SecretRow {
                    value_state: Some(state),
                    ..secret_row(world, true, Lifecycle::Active)
                })
                .into(),
        }),
        Answer::SecretHistory(version_rows(world)),
        Answer::MemberList(member_rows(world)),
        Answer::SignInList(sign_in_rows(world)),
        Answer::InvitationList(crate::invitations::rows(world)),
        Answer::KeyStatus(KeyStatus {
            done: 7,
            epoch: Epoch(2),
            total: 9,
            ending: 1,
            erased: None,
            problem: Some(Rejection::new(Code::Busy, "a copy is not there yet")),
            retiring: Some(Epoch(1)),
            to_erase: None,
        }),
        Answer::WorkspaceAt(WorkspaceAt {
            at: THEN,
            root: Digest(tree::root(log, 5).0),
        }),
        Answer::AuditLog(audit_rows(world, log)),
        Answer::AuditCommits(Commits {
            next: Some(Index(14)),
            commits,
            problems: vec![LogProblem {
                kind: "stale".to_owned(),
                detail: "a commit of entry 3 again".to_owned(),
                sequence: Sequence(9),
            }],
        }),
        Answer::AuditProve(receipt(world, log, 10)),
        Answer::AuditCheckpoint(CheckpointNote {
            checkpoint: tree::note(world, log, size),
        }),
        Answer::AuditExtends(Nothing {}),
        Answer::Receipt(receipt(world, log, 3)),
        Answer::CommandDryRun(DryRunEvents {
            events: vec![Event::KeyRotated(KeyRotated { epoch: Epoch(2) })],
        }),
        Answer::WorkspaceList(WorkspaceRows {
            next: Some(row.workspace.clone()),
            rows: vec![row],
        }),
        credential(),
        Answer::Status(Box::new(status(size as u64))),
        Answer::ProjectionStatus(at),
        Answer::ProjectionDigest(digest),
        Answer::ProjectionRebuild(rebuilt),
    ];
    answers.extend(of_a_recovery(world));
    answers
}
