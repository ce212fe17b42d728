//! Reports about values while they move: during a rotation, an edit, a destroy, and after each of
//! them was cut short.

use keyroll_core::command::{Nothing, SecretDestroy};
use keyroll_core::{Action, SecretId, TreeSize, Version, cose};
use keyroll_wire::query::{AuditStorage, QUERY_V, Query, Question, RecoverPlan};
use keyroll_wire::reply::{Answer, StorageReport};

use crate::support::{World, advance, demo, name, now, owner};

async fn ask(world: &World, ask: Question) -> Answer {
    // The same bytes would be the same query, whose answer is kept.
    advance(1);
    let query = Query {
        v: QUERY_V,
        at: now(),
        ask,
        seen: TreeSize(0),
        ledger: world.id(),
        workspace: None,
        member: None,
        delegation: None,
    };
    let asked = world.ask_bytes(None, &cose::sign(&query, &owner())).await;
    asked.expect("an answer")
}

async fn storage(world: &World) -> StorageReport {
    let workspace = demo();
    let ask = Question::AuditStorage(AuditStorage { workspace });
    match self::ask(world, ask).await {
        Answer::AuditStorage(report) => report,
        other => panic!("no report: {other:?}"),
    }
}

/// Problems of a storage check, and the losses that a recovery would record.
async fn problems_and_checked(world: &World) -> (Vec<String>, u64) {
    let report = storage(world).await;
    let ask = Question::RecoverPlan(RecoverPlan { seen: Vec::new() });
    let plan = match self::ask(world, ask).await {
        Answer::RecoverPlan(plan) => plan,
        other => panic!("no plan: {other:?}"),
    };
    let problems = report.problems.iter();
    let problems = problems.map(|problem| format!("{}: {}", problem.kind, problem.detail));
    (problems.collect(), plan.workspaces[0].values)
}

async fn rotate(world: &World) {
    let rotated = world.act(&owner(), Action::KeyRotate(Nothing {})).await;
    rotated.expect("rotated");
    world.projected().await;
}

async fn destroy(world: &World, id: SecretId, called: &str, version: u32) {
    let action = Action::SecretDestroy(SecretDestroy {
        id,
        name: name(called),
        versions: Some(vec![Version(version)]),
    });
    world.act(&owner(), action).await.expect("destroyed");
    world.projected().await;
}

/// Three secrets of two versions each: the id of the first, and the object of the last one's value.
async fn three() -> (World, SecretId, String) {
    let (world, mut first, mut last) = (World::with_demo().await, None, Vec::new());
    for number in 0..3 {
        let called = format!("S{number}");
        let id = world.create(&owner(), &called, b"1").await;
        let id = id.expect("created");
        last = world.vault.all();
        let edited = world.edit(&owner(), (id, &called), 2, b"2").await;
        edited.expect("edited");
        first.get_or_insert(id);
    }
    world.projected().await;
    let all = world.vault.all().into_iter().map(|(at, _)| at);
    let mut new = all.filter(|at| last.iter().all(|(before, _)| before != at));
    let subject = new.next().expect("a value");
    let place = subject.split('.').nth(3).expect("a place").to_owned();
    (world, first.expect("there are three"), place)
}

/// Removes a stored value, under any epoch.
fn lose(world: &World, place: &str) {
    let all = world.vault.all();
    for (subject, _) in all.iter().filter(|(at, _)| at.contains(place)) {
        assert!(world.vault.lose(subject));
    }
}

/// Also in a second rotation, when values lie under an epoch that their entries do not name.
#[tokio::test]
async fn at_every_step_of_a_rotation_every_value_is_there_and_the_one_that_is_not_is_named() {
    for rotations in [0, 1] {
        for is_lost in [false, true] {
            for step in 0.. {
                let (world, id, place) = three().await;
                for _ in 0..rotations {
                    rotate(&world).await;
                    world.ledger.eraser().run_once().await.expect("finished");
                }
                rotate(&world).await;
                destroy(&world, id, "S0", 1).await;
                world.vault.fail_after(step);
                let whole = world.ledger.eraser().run_once().await.is_ok();
                world.vault.fail_after(u64::MAX);
                if whole {
                    assert!(step > 10, "nothing was cut short");
                    break;
                }
                if is_lost {
                    lose(&world, &place);
                }
                // By this service, and by another one after this one was killed.
                let (problems, lost) = problems_and_checked(&world).await;
                let expected = usize::from(is_lost);
                assert_eq!(problems.len(), expected, "step {step}: {problems:?}");
                assert_eq!(lost, u64::from(is_lost), "step {step}");
                // Ending this service takes a moment.
                if step % 6 != 0 {
                    continue;
                }
                let world = world.again(|_| ()).await;
                let (problems, lost) = problems_and_checked(&world).await;
                assert_eq!(problems.len(), expected, "step {step}: {problems:?}");
                assert_eq!(lost, u64::from(is_lost), "step {step}");
            }
        }
    }
}

/// One read of the check is so slow that all this happens during it.
#[tokio::test]
async fn while_it_is_looked_rotations_edits_and_destroys_lose_nothing() {
    for is_lost in [false, true] {
        for reads in 0..6 {
            let (world, id, place) = three().await;
            if is_lost {
                lose(&world, &place);
            }
            let resume_following = world.vault.slow_after(reads);
            let moves = async {
                tokio::task::yield_now().await;
                for round in 0..2 {
                    rotate(&world).await;
                    let edited = world.edit(&owner(), (id, "S0"), 3 + round, b"newer").await;
                    edited.expect("edited");
                    destroy(&world, id, "S0", 1 + round).await;
                    // The eraser would record the loss, and then nothing is lost any more.
                    if is_lost {
                        break;
                    }
                    world.ledger.eraser().run_once().await.expect("finished");
                }
                drop(resume_following);
            };
            let (report, ()) = tokio::join!(storage(&world), moves);
            let problems = &report.problems;
            assert_eq!(
                problems.len(),
                usize::from(is_lost),
                "{reads}: {problems:?}"
            );
            let (problems, lost) = problems_and_checked(&world).await;
            assert_eq!(problems.len(), usize::from(is_lost), "{problems:?}");
            assert_eq!(lost, u64::from(is_lost));
        }
    }
}

/// The entry of a rotation is in the truncated tail, and its copies are all that is left.
#[tokio::test]
async fn values_under_a_key_that_the_log_has_lost_are_not_lost() {
    use keyroll_store::log::MemoryLog;

    let (world, ..) = three().await;
    let before = world.log.bytes();
    rotate(&world).await;
    world.ledger.eraser().run_once().await.expect("finished");
    let log = MemoryLog::default();
    for bytes in before {
        log.inject(&demo(), bytes);
    }
    let World { vault, keys, .. } = world;
    let dir = tempfile::tempdir().expect("directory");
    let world = World::open(log, vault, keys, dir).await;
    world.ledger.caught_up().await.expect("caught up");
    let (problems, lost) = problems_and_checked(&world).await;
    assert_eq!(lost, 0, "no loss is put on record");
    assert_eq!(problems.len(), 6, "{problems:?}");
    let next = |words: &String| words.contains("`keyroll key rotate`");
    assert!(problems.iter().all(next), "{problems:?}");
    rotate(&world).await;
    world.ledger.eraser().run_once().await.expect("finished");
    assert_eq!(problems_and_checked(&world).await, (Vec::new(), 0));
    assert_eq!(world.reveal(&owner(), "S2").await.expect("value"), b"2");
}
