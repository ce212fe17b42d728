//! A bundle is as its ledger wrote it, to the last bit, or verification reports the difference. The
//! variations that docs/protocol.md allows are tested here as well.

use std::sync::Mutex;

use keyroll_audit::bundle::{Header, Reader, verify, write_commit, write_header};
use keyroll_core::cbor;
use keyroll_merkle::VerifierKey;
use keyroll_tests::golden::{Set, sets};

use super::commits;
use super::tree::{Form, Node};

/// The set whose bundles are changed.
fn set() -> Set {
    sets().into_iter().next().expect("a set")
}

fn key(set: &Set, file: &str) -> VerifierKey {
    VerifierKey::parse(&set.expected.bundles[file].key).expect("a key")
}

/// Whether verification reports damage, and does not report a newer form.
fn is_detected(bytes: &[u8], key: &VerifierKey) -> bool {
    verify(bytes, Some(key)).map_or(true, |report| !report.ok() && !report.wants_upgrade())
}

/// Every case is detected; shared among the cores.
fn all_found(key: &VerifierKey, cases: Vec<(String, Vec<u8>)>) {
    assert!(!cases.is_empty());
    let (cases, missed) = (Mutex::new(cases.into_iter()), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let next = cases.lock().expect("whole").next();
            let Some((what, bytes)) = next else { return };
            if !is_detected(&bytes, key) {
                missed.lock().expect("whole").push(what);
            }
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        (0..cores).for_each(|_| drop(scope.spawn(work)));
    });
    let missed = missed.into_inner().expect("whole");
    assert!(
        missed.is_empty(),
        "{} were not found: {missed:?}",
        missed.len()
    );
}

fn header(bytes: &[u8]) -> Header {
    Reader::new(bytes).expect("a bundle").header().clone()
}

fn written(header: &Header, commits: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_header(&mut bytes, header).expect("written");
    for commit in commits {
        write_commit(&mut bytes, commit).expect("written");
    }
    bytes
}

#[test]
fn every_byte_counts() {
    let set = set();
    let (bytes, key) = (set.bundle("second.bundle"), key(&set, "second.bundle"));
    assert!(!is_detected(&bytes, &key));
    let header = cbor::encode(&header(&bytes)).len() + 3;
    let mut cases = Vec::new();
    for at in 0..bytes.len() {
        let mut changed = |what: &str, mask: u8| {
            let mut bytes = bytes.clone();
            bytes[at] ^= mask;
            cases.push((format!("byte {at} {what}"), bytes));
        };
        // Every bit of the part that no signature of the ledger covers as a whole.
        let bits = if at < header {
            0..8
        } else {
            at % 8..at % 8 + 1
        };
        bits.for_each(|bit| changed(&format!("bit {bit}"), 1 << bit));
        cases.push((format!("cut at {at}"), bytes[..at].to_vec()));
        let without = [&bytes[..at], &bytes[at + 1..]].concat();
        if without != bytes {
            cases.push((format!("without byte {at}"), without));
        }
        let more = [&bytes[..at], &[0x40], &bytes[at..]].concat();
        cases.push((format!("more at {at}"), more));
    }
    for more in [&[0x00][..], &[0x40], &[0xf6], &[0xff], b"\n"] {
        cases.push((format!("{more:?} behind it"), [&bytes, more].concat()));
    }
    all_found(&key, cases);
}

#[test]
fn there_is_one_encoding_of_everything_in_it() {
    let set = set();
    for file in ["second.bundle", "recovered.bundle"] {
        let (bytes, key) = (set.bundle(file), key(&set, file));
        let nodes = Node::sequence(&bytes);
        let forms = [1, 2, 4, 8]
            .map(Form::Wide)
            .into_iter()
            .chain([Form::Chunked]);
        let forms: Vec<Form> = forms.collect();
        let mut cases = Vec::new();
        for (number, node) in nodes.iter().enumerate() {
            let others = |nodes: &[Node]| -> Vec<u8> {
                let all = nodes.iter().map(|node| node.write(0, Form::Shortest));
                all.flat_map(|bytes| bytes.expect("as it was")).collect()
            };
            let (before, behind) = (others(&nodes[..number]), others(&nodes[number + 1..]));
            for at in 0..node.heads() {
                for form in &forms {
                    let Some(changed) = node.write(at, *form) else {
                        continue;
                    };
                    let what = format!("{file}: item {number}, head {at}, {form:?}");
                    cases.push((what, [&before[..], &changed, &behind].concat()));
                }
            }
            let same = node.write(0, Form::Shortest).expect("as it was");
            assert_eq!([&before[..], &same, &behind].concat(), bytes);
        }
        assert!(cases.len() > 500, "{}", cases.len());
        all_found(&key, cases);
    }
}

#[test]
fn what_is_no_byte_string_is_no_item() {
    let set = set();
    let (bytes, key) = (set.bundle("second.bundle"), key(&set, "second.bundle"));
    let (header, commits) = (header(&bytes), commits(&bytes));
    let first = written(&header, &[]);
    let rest = &bytes[first.len()..];
    let as_text = [&[first[0] | 0x20], &first[1..], rest].concat();
    let tagged = [&[0xc2], &bytes[..]].concat();
    let in_an_array = [
        &[0x80 + 1 + u8::try_from(commits.len()).expect("few")],
        &bytes[..],
    ]
    .concat();
    let huge = [&first[..], &[0x5b, 0, 0, 0, 1, 0, 0, 0, 0], rest].concat();
    let of_size = |size: u32| {
        let content = vec![0; size as usize];
        [&first[..], &[0x5a], &size.to_be_bytes(), &content].concat()
    };
    let larger = of_size((1 << 20) + 1);
    // It is refused before it is read, and nothing smaller is.
    let why = verify(larger.as_slice(), Some(&key)).expect_err("refused");
    assert!(why.to_string().contains("the limit is 1048576"), "{why}");
    verify(of_size(1 << 20).as_slice(), Some(&key)).expect("it is read");
    let cases = [
        ("as text", as_text),
        ("tagged", tagged),
        ("in an array", in_an_array),
        ("a huge item", huge),
        ("an item larger than a message", larger),
        ("nothing", Vec::new()),
        ("an empty header", vec![0x40]),
    ];
    all_found(
        &key,
        cases.map(|(what, bytes)| (what.to_owned(), bytes)).to_vec(),
    );
}

/// Genuine headers and commits that do not belong together.
#[test]
fn parts_of_several_bundles_make_none() {
    let set = set();
    let files = [
        "demo.bundle",
        "early.bundle",
        "second.bundle",
        "recovered.bundle",
    ];
    let all = files.map(|file| {
        let bytes = set.bundle(file);
        (file, header(&bytes), commits(&bytes), bytes)
    });
    let mut cases = Vec::new();
    for (file, header, _, _) in &all {
        for (other, other_header, commits, whole) in &all {
            let key = key(&set, file);
            let mut case = |what: &str, header: &Header, commits: &[Vec<u8>]| {
                let bytes = written(header, commits);
                if bytes != *whole {
                    cases.push((key.clone(), format!("{file}, {other}: {what}"), bytes));
                }
            };
            case(
                "the header of the one before the commits of the other",
                header,
                commits,
            );
            let with = |change: &dyn Fn(&mut Header)| {
                let mut header = header.clone();
                change(&mut header);
                header
            };
            let of = other_header.clone();
            case(
                "another checkpoint",
                &with(&|h| h.checkpoint.clone_from(&of.checkpoint)),
                commits,
            );
            case("another ledger", &with(&|h| h.ledger = of.ledger), commits);
            case(
                "another workspace",
                &with(&|h| h.workspace = of.workspace.clone()),
                commits,
            );
            case(
                "another key",
                &with(&|h| h.ledger_key = of.ledger_key.clone()),
                commits,
            );
        }
    }
    let (_, demo, commits, _) = &all[0];
    let (_, _, foreign, _) = &all[2];
    let key = key(&set, "demo.bundle");
    for at in 0..commits.len() {
        let mut case = |what: &str, commits: Vec<Vec<u8>>| {
            let bytes = written(demo, &commits);
            cases.push((key.clone(), format!("commit {at} {what}"), bytes));
        };
        let (before, behind) = commits.split_at(at);
        case("left out", [before, &behind[1..]].concat());
        case("twice", [&commits[..=at], behind].concat());
        case("cut off", before.to_vec());
        case(
            "of another workspace",
            [before, &foreign[1..2], &behind[1..]].concat(),
        );
        case(
            "before one of another workspace",
            [before, &foreign[1..2], behind].concat(),
        );
        if at + 1 < commits.len() {
            let mut swapped = commits.clone();
            swapped.swap(at, at + 1);
            case("after the next", swapped);
        }
    }
    assert!(cases.len() > 100, "{}", cases.len());
    let missed = cases
        .iter()
        .filter(|(key, _, bytes)| !is_detected(bytes, key));
    let missed: Vec<&String> = missed.map(|(_, what, _)| what).collect();
    assert!(missed.is_empty(), "{missed:?}");
}

/// A header that was valid once, before later commits that are genuine too.
#[test]
fn a_header_covers_exactly_the_commits_behind_it() {
    let set = set();
    let (early, demo) = (set.bundle("early.bundle"), set.bundle("demo.bundle"));
    let (key, old) = (key(&set, "demo.bundle"), header(&early));
    let commits = commits(&demo);
    let report = verify(written(&old, &commits).as_slice(), Some(&key)).expect("a bundle");
    let [problem] = report.problems.as_slice() else {
        panic!("{:?}", report.problems)
    };
    assert_eq!(problem.kind, "checkpoint");
    let size = set.expected.bundles["early.bundle"].entries;
    assert!(
        problem.detail.contains(&format!("has {size} entries")),
        "{}",
        problem.detail
    );
    assert!(!report.end_proven);
}

/// C2SP lets anybody add a signature: those of unknown keys are ignored, and so is a repeated one.
#[test]
fn further_signatures_of_a_checkpoint_are_ignored() {
    let set = set();
    let (bytes, key) = (set.bundle("second.bundle"), key(&set, "second.bundle"));
    let (mut header, commits) = (header(&bytes), commits(&bytes));
    let note = header.checkpoint.clone();
    let own = note.lines().last().expect("a signature").to_owned();
    let foreign = "\u{2014} witness.example/w AAAAAAAA";
    for (more, is_found) in [
        (format!("{foreign}\n"), false),
        (format!("{own}\n"), false),
        ("no signature\n".to_owned(), true),
        ("\n".to_owned(), true),
        (own.clone(), true),
        (
            format!("{}\n", own.replace("/second ", "/second \u{200b}")),
            true,
        ),
    ] {
        header.checkpoint = format!("{note}{more}");
        assert_eq!(
            is_detected(&written(&header, &commits), &key),
            is_found,
            "{more:?}"
        );
    }
    header.checkpoint = note.replace(&own, foreign);
    assert!(
        is_detected(&written(&header, &commits), &key),
        "its own one is there"
    );
    let stranger = verify(bytes.as_slice(), Some(&self::key(&set, "recovered.bundle")));
    assert!(
        !stranger.expect("a bundle").ok(),
        "the key that was given signed it"
    );
}
