//! Commits that name other rules than those in force. The commits of a later program stop an
//! earlier one, which reports that and loses nothing; and no one returns to rules that allowed
//! more.

use std::path::Path;

use bytes::Bytes;
use ed25519_dalek::SigningKey;
use keyroll_audit::report::Report;
use keyroll_audit::verify::{Depth, Verifier};
use keyroll_core::command::{Command, Nothing};
use keyroll_core::cose::Form;
use keyroll_core::roles::Role;
use keyroll_core::{
    Authority, Blob, Code, Commit, Digest, Entry, Event, LedgerId, Recorded, Rules, SignedCommand,
    State, TreeSize, cbor, cose, decide,
};
use keyroll_ledger::projection::{Projection, digest};
use keyroll_store::log::MemoryLog;
use keyroll_wire::query::{QUERY_V, Query, Question, RecoverPlan, SecretList};
use redb::{Database, ReadableTable as _, TableDefinition};
use serde::{Deserialize, Serialize};

use crate::history::{LEDGER, fold};
use crate::support::{World, code, demo, fresh, now, owner, signing_key};

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// Rules that no program has yet.
const LATER: u32 = 1_000;

fn verified(world: &World, commits: &[Bytes]) -> Report {
    let mut verifier = Verifier::new(world.id(), demo(), Depth::Full);
    for commit in commits {
        verifier.commit(commit);
    }
    verifier.finish(None)
}

fn kinds(report: &Report) -> Vec<&str> {
    let problems = report.problems.iter();
    problems.map(|problem| problem.kind.as_str()).collect()
}

/// The state after the log, and the authority that decides on it.
fn state(world: &World) -> (State, Authority) {
    let mut state = State::new(world.id(), demo());
    for commit in world.log.bytes() {
        let commit = Commit::decode(&commit).expect("a commit").payload;
        let rules = commit.rules().expect("known rules");
        for entry in &commit.entries {
            let index = state.size().next_index();
            state.apply(rules, &Recorded::decode(index, &entry.0).expect("an entry"));
        }
    }
    let key = state.created().expect("the workspace").clone();
    let operator = false;
    (state, Authority { operator, key })
}

/// The next commit, of these entries.
fn next(world: &World, rules: u32, entries: Vec<Blob>) -> Commit {
    let (state, _) = state(world);
    Commit {
        v: 1,
        at: now(),
        root: Digest(state.root().0),
        first: state.size(),
        rules,
        ledger: world.id(),
        entries,
        workspace: demo(),
    }
}

/// A commit as an earlier program would have written it: a member with invisible characters in the
/// name.
fn anomalous_member(world: &World, rules: Rules) -> Commit {
    let (state, authority) = state(world);
    let member = World::member(&signing_key(20), "Zo\u{200b}e", Role::Viewer, &["*"]);
    let command = world.command_bytes(&owner(), fresh(), now(), member);
    let signed = SignedCommand::decode(&command).and_then(SignedCommand::verify);
    let signed = signed.expect("signed");
    let events = decide(rules, &state, &signed, now(), &authority).expect("decided");
    let entry = cbor::encode(&Entry {
        at: now(),
        events,
        command: command.into(),
    });
    next(world, rules.number(), vec![entry.into()])
}

#[tokio::test]
async fn what_later_rules_decided_wants_an_upgrade() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    let known = world.log.bytes().len();
    // An entry whose form is unknown here.
    let later = next(&world, LATER, vec![vec![0xa0].into()]);
    world.log.inject(&demo(), cose::sign(&later, &world.online));
    world.ledger.caught_up().await.expect("caught up");
    let refused = world.reveal(&owner(), "Key").await.expect_err("refused");
    assert_eq!(refused.code, Code::UpgradeNeeded, "{refused}");
    assert!(refused.message.contains("rules 1000"), "{refused}");
    assert!(refused.message.contains("upgrade keyroll"), "{refused}");
    let asked = Question::SecretList(SecretList::default());
    assert!(world.ask(&owner(), asked).await.is_ok(), "queries go on");
    // A client that has seen those entries through a later program is told why they are missing: it
    // is no rollback.
    let query = Query {
        v: QUERY_V,
        at: now(),
        ask: Question::AuditCheckpoint(Nothing {}),
        seen: TreeSize(3),
        ledger: world.id(),
        workspace: Some(demo()),
        member: None,
        delegation: None,
    };
    let signed = cose::sign(&query, &owner());
    let asked = world.ask_bytes(Some(&demo()), &signed).await;
    assert_eq!(code(asked), Some(Code::UpgradeNeeded));
    // A recovery by this program would leave those entries out.
    let plan = Question::RecoverPlan(RecoverPlan { seen: Vec::new() });
    let plan = crate::ask_ledger(&world, plan).await.map(drop);
    assert_eq!(code(plan), Some(Code::UpgradeNeeded));
    let commits = world.log.bytes();
    let report = verified(&world, &commits);
    assert_eq!(kinds(&report), ["upgrade_needed"]);
    assert!(report.wants_upgrade() && !report.ok() && !report.end_proven);
    assert_eq!(report.entries, 2);
    // The same holds from the first entry on.
    let first = Commit {
        first: TreeSize(0),
        ..later
    };
    let first = cose::sign(&first, &world.online);
    let report = verified(&world, &[first.into()]);
    assert_eq!(kinds(&report), ["upgrade_needed"]);
    // Also after a restart, where the read model has recorded it.
    world.ledger.caught_up().await.expect("caught up");
    let again = world.again(|_| {}).await;
    let refused = code(again.reveal(&owner(), "Key").await);
    assert_eq!(refused, Some(Code::UpgradeNeeded));
    assert_eq!(again.log.bytes().len(), known + 1);
}

/// Later forms raise the rules, too. A form that does not is still not reported as damage.
#[tokio::test]
async fn a_later_form_of_a_command_wants_an_upgrade_as_well() {
    let world = World::with_demo().await;
    let member = World::member(&signing_key(20), "vera", Role::Viewer, &["*"]);
    let command = world.command_bytes(&owner(), fresh(), now(), member);
    let mut command = cose::open::<Command>(&command).expect("a command").payload;
    command.v = 2;
    let entry = cbor::encode(&Entry {
        at: now(),
        events: vec![Event::MemberAdded(Nothing {})],
        command: cose::sign(&command, &owner()).into(),
    });
    let later = next(&world, Rules::CURRENT.number(), vec![entry.into()]);
    world.log.inject(&demo(), cose::sign(&later, &world.online));
    world.ledger.caught_up().await.expect("caught up");
    let refused = code(world.create(&owner(), "Key", b"v").await);
    assert_eq!(refused, Some(Code::UpgradeNeeded));
    let report = verified(&world, &world.log.bytes());
    assert_eq!(kinds(&report), ["upgrade_needed"]);
}

#[tokio::test]
async fn whoever_is_not_the_ledger_makes_nobody_upgrade() {
    let world = World::with_demo().await;
    let later = next(&world, LATER, vec![vec![0xa0].into()]);
    let forged = cose::sign(&later, &signing_key(77));
    let mut changed = cose::sign(&next(&world, 1, vec![vec![0xa0].into()]), &world.online);
    let at = changed.windows(6).position(|bytes| bytes == b"rules\x01");
    changed[at.expect("the field") + 5] = 9;
    for wrong in [forged, changed.clone()] {
        let report = verified(&world, &[world.log.bytes(), vec![wrong.into()]].concat());
        assert_eq!(kinds(&report), ["signature"]);
        assert!(!report.wants_upgrade());
    }
    assert_eq!(
        kinds(&verified(&world, &[changed.clone().into()])),
        ["signature"]
    );
    world.log.inject(&demo(), changed);
    world.ledger.caught_up().await.expect("caught up");
    let refused = world.create(&owner(), "Key", b"v").await;
    assert_eq!(code(refused), Some(Code::Corrupt));
}

/// Signs as a later program does, under the name of its own version.
fn sign_later(commit: &Commit, key: &SigningKey) -> Vec<u8> {
    #[derive(Serialize, Deserialize)]
    #[serde(transparent)]
    struct Later(Commit);
    impl Form for Later {
        const NAME: &'static str = "keyroll/commit/v2";
        const TYP: &'static str = Commit::TYP;
        const V: u32 = 2;
    }
    let commit = commit.clone();
    cose::sign(&Later(Commit { v: 2, ..commit }), key)
}

#[tokio::test]
async fn a_later_form_of_a_commit_is_believed_when_the_ledger_signed_it() {
    let world = World::with_demo().await;
    let commit = next(&world, LATER, vec![vec![0xa0].into()]);
    let with = |wrong: Vec<u8>| [world.log.bytes(), vec![wrong.into()]].concat();
    let later = sign_later(&commit, &world.online);
    let report = verified(&world, &with(later.clone()));
    assert_eq!(kinds(&report), ["upgrade_needed"]);
    // Signed by another key, or under the name of this version.
    let v2 = Commit {
        v: 2,
        ..commit.clone()
    };
    let forged = [
        sign_later(&commit, &signing_key(77)),
        cose::sign(&v2, &world.online),
    ];
    for forged in &forged {
        let report = verified(&world, &with(forged.clone()));
        assert_eq!(kinds(&report), ["signature"]);
    }
    let [_, under_this_name] = forged;
    for (commit, expected) in [
        (under_this_name, Code::Corrupt),
        (later, Code::UpgradeNeeded),
    ] {
        let log = MemoryLog::default();
        log.inject(&demo(), world.log.bytes()[0].clone());
        log.inject(&demo(), commit);
        let dir = tempfile::tempdir().expect("a directory");
        let (vault, keys) = (world.vault.clone(), world.keys.clone());
        let again = World::open(log, vault, keys, dir).await;
        again.ledger.caught_up().await.expect("caught up");
        let refused = code(again.create(&owner(), "Key", b"v").await);
        assert_eq!(refused, Some(expected));
    }
}

#[tokio::test]
async fn no_rules_are_followed_by_older_ones() {
    let world = World::with_demo().await;
    let (state, _) = state(&world);
    assert_eq!(state.rules(), Rules::CURRENT);
    let lower = anomalous_member(&world, Rules::V1);
    let lower = cose::sign(&lower, &world.online);
    let report = verified(
        &world,
        &[world.log.bytes(), vec![lower.clone().into()]].concat(),
    );
    assert_eq!(kinds(&report), ["rules"]);
    world.log.inject(&demo(), lower);
    world.ledger.caught_up().await.expect("caught up");
    let refused = world.create(&owner(), "Key", b"v").await;
    let refused = refused.expect_err("refused");
    assert_eq!(refused.code, Code::Corrupt, "{refused}");
    assert!(refused.message.contains("by rules 1"), "{refused}");
}

#[tokio::test]
async fn there_are_no_rules_0() {
    let world = World::with_demo().await;
    let none = next(&world, 0, vec![vec![0xa0].into()]);
    let none = cose::sign(&none, &world.online);
    let report = verified(
        &world,
        &[world.log.bytes(), vec![none.clone().into()]].concat(),
    );
    assert_eq!(kinds(&report), ["malformed"]);
    world.log.inject(&demo(), none);
    world.ledger.caught_up().await.expect("caught up");
    let refused = world.create(&owner(), "Key", b"v").await;
    assert_eq!(code(refused), Some(Code::Corrupt));
}

/// A log that began under rules 1, read by the present program.
#[tokio::test]
async fn old_entries_are_judged_as_they_were_and_new_ones_as_now() {
    let world = World::with_demo().await;
    let first = cose::open::<Commit>(&world.log.bytes()[0]).expect("a commit");
    let first = Commit {
        rules: 1,
        ..first.payload
    };
    let log = MemoryLog::default();
    log.inject(&demo(), cose::sign(&first, &world.online));
    let dir = tempfile::tempdir().expect("a directory");
    let (vault, keys) = (world.vault.clone(), world.keys.clone());
    let mut old = World::open(log, vault, keys, dir).await;
    let anomaly = anomalous_member(&old, Rules::V1);
    old.log.inject(&demo(), cose::sign(&anomaly, &old.online));
    for restarted in [false, true] {
        let again = World::member(&signing_key(21), "Ze\u{200b}d", Role::Viewer, &["*"]);
        let refused = old.act(&owner(), again).await.map(drop);
        assert_eq!(code(refused), Some(Code::InvalidName), "{restarted}");
        old.ledger.caught_up().await.expect("caught up");
        old = old.again(|_| {}).await;
    }
    old.create(&owner(), "Key", b"v").await.expect("created");
    let report = verified(&old, &old.log.bytes());
    assert_eq!(kinds(&report), [""; 0]);
    assert_eq!(report.entries, 3);
    let numbers = old.log.bytes().into_iter().map(|commit| {
        let commit = Commit::decode(&commit).expect("a commit");
        commit.payload.rules
    });
    let numbers: Vec<u32> = numbers.collect();
    assert_eq!(numbers, [1, 1, Rules::CURRENT.number()]);
    // The present rules would have refused the old entry.
    let mut lie = anomaly;
    lie.rules = Rules::CURRENT.number();
    let lie = cose::sign(&lie, &old.online);
    let report = verified(
        &old,
        &[old.log.bytes()[..1].to_vec(), vec![lie.into()]].concat(),
    );
    assert_eq!(kinds(&report), ["decision"]);
}

/// Sets the schema and rules in a file's tag.
fn set_tag(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let db = Database::open(path).expect("opens");
    let tx = db.begin_write().expect("begun");
    {
        let mut meta = tx.open_table(META).expect("a table");
        let mut tag = meta
            .get("schema")
            .expect("read")
            .expect("there")
            .value()
            .to_vec();
        change(&mut tag);
        meta.insert("schema", tag.as_slice()).expect("written");
    }
    tx.commit().expect("committed");
}

fn tag(path: &Path) -> Vec<u8> {
    let mut found = Vec::new();
    set_tag(path, |tag| found.clone_from(tag));
    found
}

/// Sets the tag of a program that knew only the first rules.
fn as_by_rules_1(tag: &mut Vec<u8>) {
    tag.truncate(4);
}

#[test]
fn a_read_model_of_earlier_rules_is_gone_on_with_and_then_of_the_present_ones() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut history = crate::history::History::new();
    (0..20).for_each(|step| history.step(step, step.wrapping_mul(7)));
    let mut made = fold(dir.path(), "file.redb");
    made.fold(&history.commits(&[2]), true).expect("folds");
    let read = |projection: &Projection| digest(&projection.view().expect("a view"));
    let before = read(made.projection()).expect("a digest");
    drop(made);
    let path = dir.path().join("file.redb");
    let own = tag(&path);
    set_tag(&path, as_by_rules_1);
    let opened = Projection::open(&path, &LEDGER).expect("opens");
    // The rules that a program knew are not in the digest.
    assert_eq!(read(&opened).expect("a digest"), before);
    drop(opened);
    assert_eq!(tag(&path), own);
    // A later program may have written entries that this one does not know.
    set_tag(&path, |tag| tag[7] += 1);
    let refused = Projection::open(&path, &LEDGER).err().expect("refused");
    assert!(refused.wants_rebuild(), "{refused}");
    let other = LedgerId([99; 32]);
    let refused = Projection::open(&path, &other).err().expect("refused");
    assert!(!refused.wants_rebuild(), "{refused}");
}

#[tokio::test]
async fn what_stopped_an_earlier_program_is_folded_in_by_a_later_one() {
    let world = World::with_demo().await;
    world.create(&owner(), "Key", b"v").await.expect("created");
    let later = next(&world, LATER, vec![vec![0xa0].into()]);
    world.log.inject(&demo(), cose::sign(&later, &world.online));
    world.ledger.caught_up().await.expect("caught up");
    // The same file under a later program: it is not stopped where the earlier one was.
    let ledger = world.id();
    let again = world
        .again(|path| {
            set_tag(path, as_by_rules_1);
            let opened = Projection::open(path, &ledger);
            let refused = opened.err().expect("refused");
            assert!(refused.wants_rebuild(), "{refused}");
        })
        .await;
    let refused = code(again.reveal(&owner(), "Key").await);
    assert_eq!(refused, Some(Code::UpgradeNeeded));
    assert!(again.dir.path().join("ledger.redb.damaged").exists());
}
