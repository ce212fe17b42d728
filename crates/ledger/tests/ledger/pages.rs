//! Lists of any size: no history that members can write makes a list too large for a reply.

use std::collections::BTreeSet;

use keyroll_core::command::{
    COMMAND_V, Command, Nothing, Purpose, RevealItem, SecretDescribe, SecretRef, SecretReveal,
};
use keyroll_core::{Action, Index, SecretId, TreeSize, cbor, cose};
use keyroll_wire::query::{
    AuditLog, PAGE_BYTES, PAGE_ROWS, QUERY_V, Query, Question, SecretHistory, SecretList,
    WorkspaceList,
};
use keyroll_wire::reply::{Answer, AuditRow, SecretRow, VersionRow};
use serde::Serialize;

use crate::support::{World, fresh, name, now, owner};

/// Checks the size of a page; only a first row that is larger by itself may exceed it.
fn small_enough<R: Serialize>(rows: &[R]) {
    let bytes: usize = rows.iter().map(|row| cbor::encode_row(row).len()).sum();
    assert!(bytes <= PAGE_BYTES, "{bytes} bytes in {} rows", rows.len());
}

async fn secret_pages(world: &World, first: SecretList) -> Vec<Vec<SecretRow>> {
    let (mut pages, mut ask) = (Vec::new(), first);
    loop {
        let Ok(Answer::SecretList(page)) =
            world.ask(&owner(), Question::SecretList(ask.clone())).await
        else {
            panic!("no list")
        };
        small_enough(&page.rows);
        pages.push(page.rows);
        ask.after = page.next;
        if ask.after.is_none() {
            return pages;
        }
    }
}

/// A secret with the largest possible row, deleted again so that its name is free.
async fn largest(world: &World, called: &str) -> SecretId {
    let id = world.create(&owner(), called, b"v").await.expect("created");
    let host = |n: usize| format!("{n}.{}.example", vec!["a".repeat(60); 3].join("."));
    let describe = SecretDescribe {
        id,
        name: name(called),
        hosts: Some((0..16).map(|n| host(n).parse().expect("a host")).collect()),
        restricted: None,
        description: Some("w".repeat(1_024).parse().expect("text")),
        rotate_every: None,
    };
    let delete = SecretRef {
        id,
        name: name(called),
    };
    for action in [
        Action::SecretDescribe(describe),
        Action::SecretDelete(delete),
    ] {
        world.act(&owner(), action).await.expect("done");
    }
    id
}

#[tokio::test]
async fn secrets_of_one_name_are_listed_whatever_their_number() {
    let world = World::with_demo().await;
    let mut made = BTreeSet::new();
    for _ in 0..140 {
        made.insert(largest(&world, "Key").await.0);
    }
    let list = SecretList {
        deleted: true,
        limit: PAGE_ROWS,
        ..SecretList::default()
    };
    let pages = secret_pages(&world, list.clone()).await;
    assert!(pages.len() > 1);
    let rows: Vec<SecretRow> = pages.into_iter().flatten().collect();
    let found: BTreeSet<_> = rows.iter().map(|row| row.id.0).collect();
    assert_eq!((rows.len(), found), (140, made));
    // By rows too, and after a whole name.
    let pages = secret_pages(
        &world,
        SecretList {
            limit: 99,
            ..list.clone()
        },
    )
    .await;
    let lengths: Vec<usize> = pages.iter().map(Vec::len).collect();
    assert_eq!(lengths, [99, 41]);
    let behind = SecretList {
        after: Some("key".to_owned()),
        ..list
    };
    assert_eq!(secret_pages(&world, behind).await, [Vec::new()]);
}

#[tokio::test]
async fn a_history_with_long_reasons_is_shown_page_by_page() {
    let (world, owner) = (World::with_demo().await, owner());
    let id = world.create(&owner, "Key", b"v").await.expect("created");
    let reason = "because ".repeat(128);
    for version in 2..=500 {
        let edited = world.edit_because(&owner, (id, "Key"), version, b"v", Some(&reason));
        edited.await.expect("edited");
    }
    let (mut found, mut pages, mut before) = (Vec::new(), 0, None);
    loop {
        let ask = SecretHistory {
            name: name("Key"),
            limit: PAGE_ROWS,
            before,
        };
        let Ok(Answer::SecretHistory(page)) = world.ask(&owner, Question::SecretHistory(ask)).await
        else {
            panic!("no history")
        };
        small_enough(&page.rows);
        found.extend(page.rows.iter().map(|row: &VersionRow| row.version.0));
        (pages, before) = (pages + 1, page.next);
        if before.is_none() {
            break;
        }
    }
    assert!(pages > 1);
    assert!(found.into_iter().eq((1..=500).rev()));
}

async fn audit_pages(world: &World, first: AuditLog) -> Vec<Vec<AuditRow>> {
    let (mut pages, mut ask) = (Vec::new(), first);
    loop {
        let Ok(Answer::AuditLog(page)) = world.ask(&owner(), Question::AuditLog(ask.clone())).await
        else {
            panic!("no rows")
        };
        small_enough(&page.rows);
        pages.push(page.rows);
        match page.before {
            Some(next) if ask.before.is_none_or(|before| next < before) => ask.before = Some(next),
            Some(next) => panic!("{next} does not lead on"),
            None => return pages,
        }
    }
}

#[tokio::test]
async fn rows_that_name_hundreds_of_secrets_are_read_page_by_page() {
    let world = World::with_demo().await;
    let called = |n: usize| format!("K{n:0>127}");
    for n in 0..256 {
        let made = world.create(&owner(), &called(n), b"v").await;
        made.expect("created");
    }
    let item = |n| RevealItem {
        id: None,
        name: name(&called(n)),
        version: None,
    };
    for _ in 0..20 {
        let reveal = SecretReveal {
            names: (0..256).map(item).collect(),
            reason: None,
            purpose: Purpose::Run(Nothing {}),
            session: world.session(&owner()).await.reference,
        };
        let revealed = world.act(&owner(), Action::SecretReveal(reveal)).await;
        assert_eq!(revealed.expect("revealed").released.len(), 256);
    }
    let everything = AuditLog {
        limit: PAGE_ROWS,
        ..AuditLog::default()
    };
    let pages = audit_pages(&world, everything.clone()).await;
    assert!(pages.len() > 1);
    let indexes: BTreeSet<Index> = pages.iter().flatten().map(|row| row.index).collect();
    assert_eq!(indexes.len() as u64, indexes.last().expect("rows").0 + 1);
    let of_names: usize = pages.iter().flatten().map(|row| row.secrets.len()).sum();
    assert_eq!(of_names, 256 + 20 * 256);
    // Two indexes serve this filter.
    let both = AuditLog {
        action: Some("secret.revealed".to_owned()),
        secret: Some(name(&called(3))),
        ..everything
    };
    let rows: usize = audit_pages(&world, both).await.iter().map(Vec::len).sum();
    assert_eq!(rows, 20);
}

#[tokio::test]
async fn workspaces_are_listed_page_by_page() {
    let world = World::with_demo().await;
    let count = PAGE_ROWS + 5;
    for n in 1..count {
        let workspace: keyroll_core::WorkspaceName = format!("w{n:05}").parse().expect("a name");
        let command = Command {
            v: COMMAND_V,
            at: now(),
            id: fresh(),
            action: Action::WorkspaceCreate(Nothing {}),
            ledger: world.id(),
            workspace: workspace.clone(),
            member: None,
            approval: None,
            delegation: None,
        };
        let request = keyroll_wire::reply::CommandRequest {
            seen: TreeSize(0),
            values: vec![],
            command: cose::sign(&command, &owner()).into(),
        };
        let made = world
            .ledger
            .command(&workspace, &cbor::encode(&request))
            .await;
        assert_eq!(made.refusal, None);
    }
    world.ledger.caught_up().await.expect("caught up");
    let (mut names, mut lengths, mut after) = (BTreeSet::new(), Vec::new(), None);
    loop {
        let query = Query {
            v: QUERY_V,
            at: now(),
            ask: Question::WorkspaceList(WorkspaceList { after }),
            seen: TreeSize(0),
            ledger: world.id(),
            workspace: None,
            member: None,
            delegation: None,
        };
        let signed = cose::sign(&query, &owner());
        let Ok(Answer::WorkspaceList(page)) = world.ask_bytes(None, &signed).await else {
            panic!("no list")
        };
        lengths.push(page.rows.len());
        names.extend(page.rows.into_iter().map(|row| row.workspace));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(lengths, [PAGE_ROWS as usize, 5]);
    assert_eq!(names.len(), count as usize);
}
