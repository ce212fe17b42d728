//! Data of earlier programs is read, verified and judged as before. The data directory of each set
//! is opened by the end-to-end tests.

mod mutations;
mod tree;

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keyroll_audit::bundle::{Reader, verify};
use keyroll_core::event::{DenialReason, KINDS};
use keyroll_core::{Commit, Event, Index, Recorded, Rules};
use keyroll_merkle::{TlogProof, VerifierKey, leaf_hash};
use keyroll_tests::golden::{Bundle, Set, sets};

/// The commits of a bundle.
fn commits(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut bundle = Reader::new(bytes).expect("a bundle");
    let mut commits = Vec::new();
    while let Some(commit) = bundle.commit().expect("a commit") {
        commits.push(commit.to_vec());
    }
    commits
}

/// Every entry of a bundle, and the rules that decided it.
fn entries(bytes: &[u8]) -> Vec<(Rules, Recorded)> {
    let mut entries = Vec::new();
    for commit in commits(bytes) {
        let commit = Commit::decode_strict(&commit).expect("a commit").payload;
        let rules = commit.rules().expect("known rules");
        for (index, entry) in (commit.first.0..).zip(&commit.entries) {
            let recorded = Recorded::decode_strict(Index(index), &entry.0);
            entries.push((rules, recorded.expect("an entry")));
        }
    }
    entries
}

/// The rows of events, as the program that wrote it showed them.
fn rows(bytes: &[u8]) -> Vec<String> {
    let entries = entries(bytes);
    let rows = entries.iter().flat_map(|(_, recorded)| {
        let actor = recorded.command.actor();
        recorded.events.iter().map(move |event| {
            let denied = matches!(event, Event::AccessDenied(_));
            let outcome = if denied { "denied" } else { "granted" };
            let (index, leaf, kind) = (recorded.index, recorded.leaf, event.kind().name);
            format!("{index} {kind} {actor} {outcome} {leaf}")
        })
    });
    rows.collect()
}

fn bundles(sets: &[Set]) -> impl Iterator<Item = (&Set, &str, &Bundle)> {
    sets.iter().flat_map(|set| {
        let bundles = set.expected.bundles.iter();
        bundles.map(move |(file, bundle)| (set, file.as_str(), bundle))
    })
}

/// An addition to the table of events needs a golden log that holds it: `just golden`.
#[test]
fn there_is_a_golden_log_of_every_kind_of_event_and_reason() {
    let sets = sets();
    let (mut kinds, mut reasons) = (BTreeSet::new(), BTreeSet::new());
    for (set, file, _) in bundles(&sets) {
        for event in entries(&set.bundle(file))
            .iter()
            .flat_map(|(_, one)| &one.events)
        {
            kinds.insert(event.kind().name);
            if let Event::AccessDenied(denied) = event {
                reasons.insert(denied.reason.as_str());
            }
        }
    }
    let lacking = KINDS.iter().filter(|kind| !kinds.contains(kind.name));
    let lacking: Vec<&str> = lacking.map(|kind| kind.name).collect();
    assert!(
        lacking.is_empty(),
        "no golden log holds {lacking:?}: run `just golden NAME`"
    );
    let all = [
        DenialReason::Expired,
        DenialReason::Role,
        DenialReason::Scope,
        DenialReason::Restricted,
        DenialReason::Delegation,
        DenialReason::SignIn,
        DenialReason::OwnKey,
    ];
    assert!(
        all.iter().all(|reason| reasons.contains(reason.as_str())),
        "{reasons:?}"
    );
}

/// Replaced rules never change again.
#[test]
fn there_is_a_golden_set_of_all_rules_before_those_in_force() {
    let sets = sets();
    let known = bundles(&sets).flat_map(|(set, file, _)| entries(&set.bundle(file)));
    let known: BTreeSet<Rules> = known.map(|(rules, _)| rules).collect();
    let replaced = Rules::ALL
        .into_iter()
        .filter(|rules| *rules < Rules::CURRENT);
    for rules in replaced {
        assert!(
            known.contains(&rules),
            "no golden log is by rules {}",
            rules.number()
        );
    }
}

#[test]
fn golden_bundles_verify_as_they_did() {
    let sets = sets();
    for (set, file, expected) in bundles(&sets) {
        let key = VerifierKey::parse(&expected.key).expect("a key");
        let bytes = set.bundle(file);
        for key in [Some(&key), None] {
            let report = verify(bytes.as_slice(), key).expect("a bundle");
            assert!(report.ok(), "{file}: {:?}", report.problems);
            assert_eq!(report.entries, expected.entries, "{file}");
            assert_eq!(report.root.to_string(), expected.root, "{file}");
            assert_eq!(report.workspace.as_str(), expected.workspace, "{file}");
        }
        assert_eq!(rows(&bytes), expected.rows, "{file}");
    }
}

#[test]
fn golden_proofs_hold() {
    for set in sets() {
        let text = |field: &str| set.expected.proof[field].as_str().expect("text").to_owned();
        let entry = STANDARD.decode(text("entry")).expect("base64");
        let key = &set.expected.bundles["demo.bundle"].key;
        let key = VerifierKey::parse(key).expect("a key");
        let proof = TlogProof::parse(&text("proof")).expect("a proof");
        proof.verify(&leaf_hash(&entry), &key).expect("it holds");
    }
}
