use super::text::{END_LINE, FORM};
use super::*;

const A: SecretId = SecretId([0xaa; 16]);
const B: SecretId = SecretId([0xbb; 16]);

fn name(text: &str) -> SecretName {
    text.parse().expect("a name")
}

fn hosts(text: &str) -> Vec<HostPattern> {
    let words = text.split_whitespace();
    words.map(|word| word.parse().expect("a host")).collect()
}

/// The digest of a version's sealed value; no two versions share one.
fn digest(version: u32) -> Digest {
    Digest::of(&version.to_be_bytes())
}

/// The facts in an entry, owned, so that tests can build them piece by piece.
#[derive(Clone)]
struct Entry {
    index: u64,
    id: SecretId,
    name: SecretName,
    version: u32,
    value: Digest,
    current: bool,
    hosts: Vec<HostPattern>,
    set_by_caller: SetByCaller,
}

fn entry(index: u64, called: &str, id: SecretId, version: u32) -> Entry {
    Entry {
        index,
        id,
        name: name(called),
        version,
        value: digest(version),
        current: true,
        hosts: Vec::new(),
        set_by_caller: SetByCaller::Nothing,
    }
}

impl Entry {
    fn bound(self, to: &str) -> Self {
        Self {
            hosts: hosts(to),
            ..self
        }
    }

    fn by_number(self) -> Self {
        Self {
            current: false,
            ..self
        }
    }

    fn chosen(self, set_by_caller: SetByCaller) -> Self {
        Self {
            set_by_caller,
            ..self
        }
    }

    fn shown(&self) -> Observation<'_> {
        Observation {
            index: Index(self.index),
            id: self.id,
            name: &self.name,
            version: Some((Version(self.version), self.value)),
            current: self.current,
            hosts: Some(&self.hosts),
            set_by_caller: self.set_by_caller,
        }
    }
}

fn knows(entries: &[Entry]) -> SecretFacts {
    let mut known = SecretFacts::default();
    for entry in entries {
        assert!(known.remember(&entry.shown()));
    }
    // The file restores exactly the known facts.
    assert_eq!(SecretFacts::parse(&known.text()).as_ref(), Some(&known));
    known
}

fn code(known: &SecretFacts, entry: &Entry) -> Option<Code> {
    known.check(&entry.shown()).err().map(|error| error.code())
}

fn warnings(known: &SecretFacts, entry: &Entry) -> Vec<String> {
    known.check(&entry.shown()).expect("believed")
}

#[test]
fn an_older_version_than_was_current_is_a_rollback() {
    let known = knows(&[entry(5, "Key", A, 2)]);
    assert_eq!(code(&known, &entry(9, "Key", A, 1)), Some(Code::Rollback));
    assert_eq!(code(&known, &entry(9, "KEY", A, 1)), Some(Code::Rollback));
    // This holds under any name, as the secret may have been renamed meanwhile.
    assert_eq!(code(&known, &entry(9, "Other", A, 1)), Some(Code::Rollback));
    for version in [2, 3, 99] {
        assert_eq!(code(&known, &entry(9, "Key", A, version)), None);
    }
    // Another secret starts at 1.
    assert_eq!(code(&known, &entry(9, "Key", B, 1)), None);
}

#[test]
fn a_version_asked_for_by_number_says_nothing_of_the_current_one() {
    let mut known = knows(&[entry(5, "Key", A, 2)]);
    let first = entry(9, "Key", A, 1).by_number();
    assert_eq!(code(&known, &first), None);
    let later = entry(9, "Key", A, 7).by_number();
    known.remember(&later.shown());
    assert_eq!(code(&known, &entry(10, "Key", A, 2)), None);
    // A secret that was first requested by number has no current version yet.
    let known = knows(&[entry(5, "Key", A, 3).by_number()]);
    assert_eq!(code(&known, &entry(6, "Key", A, 1)), None);
}

#[test]
fn another_value_under_a_known_version_is_corrupt() {
    let known = knows(&[entry(5, "Key", A, 2)]);
    let mut other = entry(9, "Key", A, 2);
    other.value = digest(77);
    assert_eq!(code(&known, &other), Some(Code::Corrupt));
    assert_eq!(
        code(&known, &other.clone().by_number()),
        Some(Code::Corrupt)
    );
    other.index = 3;
    assert_eq!(code(&known, &other), Some(Code::Corrupt));
    assert_eq!(code(&known, &entry(9, "Key", A, 2).by_number()), None);
}

/// Answers under way at once may overtake each other.
#[test]
fn answers_are_ordered_by_the_log() {
    let known = knows(&[entry(9, "Key", A, 2).bound("a.example")]);
    let overtaken = entry(8, "Key", A, 1);
    assert_eq!(warnings(&known, &overtaken), Vec::<String>::new());
    // An answer cannot know a later version.
    let early = entry(8, "Key", A, 3);
    assert_eq!(code(&known, &early), Some(Code::Rollback));
    // An answer at the entry that showed a version shows that version.
    let judged = |version, index| {
        let (version, index) = (Version(version), Index(index));
        known
            .check_version(&A, &name("Key"), version, index)
            .is_ok()
    };
    let fits = [(1, 8), (2, 8), (2, 9), (2, 10), (3, 10)];
    let lies = [(1, 9), (1, 10), (3, 8), (3, 9)];
    assert!(fits.iter().all(|(version, index)| judged(*version, *index)));
    assert!(!lies.iter().any(|(version, index)| judged(*version, *index)));
    let mut after = known.clone();
    after.remember(&overtaken.shown());
    assert_eq!(after, known);
    assert_eq!(
        warnings(&known, &entry(8, "Key", B, 1)),
        Vec::<String>::new()
    );
}

#[test]
fn another_secret_under_a_name_is_reported_once() {
    let mut known = knows(&[entry(5, "Key", A, 4)]);
    let anew = entry(9, "kEY", B, 1);
    let said = warnings(&known, &anew);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].starts_with("kEY is another secret than before"),
        "{said:?}"
    );
    assert!(said[0].contains(&A.to_string()) && said[0].contains(&B.to_string()));
    known.remember(&anew.shown());
    assert_eq!(
        warnings(&known, &entry(10, "Key", B, 1)),
        Vec::<String>::new()
    );
    // The former secret is not forgotten: its old value is still reported as old.
    let back = entry(11, "Key", A, 3);
    assert_eq!(code(&known, &back), Some(Code::Rollback));
    assert_eq!(warnings(&known, &entry(11, "Key", A, 4)).len(), 1);
}

#[test]
fn a_known_secret_under_another_name_is_reported() {
    let mut known = knows(&[entry(5, "Prod", A, 1), entry(6, "Test", B, 1)]);
    // The name was never used before.
    let said = warnings(&known, &entry(9, "New", A, 1));
    assert!(
        said.len() == 1 && said[0].contains("was called Prod before"),
        "{said:?}"
    );
    // Two secrets swap their names in one entry.
    let swapped = [entry(9, "Prod", B, 1), entry(9, "Test", A, 1)];
    for (one, was) in swapped.iter().zip(["Test", "Prod"]) {
        let said = warnings(&known, one);
        assert_eq!(said.len(), 1, "{said:?}");
        let words = format!("was called {was}");
        assert!(
            said[0].contains("another secret") && said[0].contains(&words),
            "{said:?}"
        );
    }
    for one in &swapped {
        known.remember(&one.shown());
    }
    for one in &swapped {
        let later = Entry {
            index: 10,
            ..one.clone()
        };
        assert_eq!(warnings(&known, &later), Vec::<String>::new());
    }
    assert_eq!(SecretFacts::parse(&known.text()), Some(known));
}

#[test]
fn an_own_rename_surprises_nobody() {
    let mut known = knows(&[entry(5, "Old", A, 2)]);
    let renamed = entry(9, "New", A, 2).chosen(SetByCaller::NameAndHosts);
    assert_eq!(warnings(&known, &renamed), Vec::<String>::new());
    known.remember(&renamed.shown());
    assert_eq!(
        warnings(&known, &entry(10, "New", A, 2)),
        Vec::<String>::new()
    );
    assert_eq!(code(&known, &entry(10, "New", A, 1)), Some(Code::Rollback));
    // The secret gets its old name back.
    let back = entry(11, "Old", A, 2).chosen(SetByCaller::NameAndHosts);
    known.remember(&back.shown());
    assert_eq!(
        warnings(&known, &entry(12, "Old", A, 2)),
        Vec::<String>::new()
    );
    assert_eq!(warnings(&known, &entry(12, "New", A, 2)).len(), 1);
}

#[test]
fn wider_hosts_are_reported_once_and_narrower_ones_are_remembered() {
    let mut known = knows(&[entry(5, "Key", A, 1).bound("a.example b.example")]);
    let narrower = entry(6, "Key", A, 1).bound("a.example");
    assert_eq!(warnings(&known, &narrower), Vec::<String>::new());
    known.remember(&narrower.shown());
    let lifted = entry(7, "Key", A, 1);
    let said = warnings(&known, &lifted);
    assert_eq!(said.len(), 1);
    assert!(
        said[0].contains("any host") && said[0].contains("a.example"),
        "{said:?}"
    );
    let again = entry(7, "Key", A, 1).bound("a.example b.example");
    assert_eq!(warnings(&known, &again).len(), 1);
    known.remember(&lifted.shown());
    assert_eq!(
        warnings(&known, &entry(8, "Key", A, 1)),
        Vec::<String>::new()
    );
    // Hosts that the caller set cause no warning.
    let own = entry(9, "Key", A, 1).bound("c.example");
    known.remember(&own.shown());
    let wider = entry(10, "Key", A, 1).chosen(SetByCaller::Hosts);
    assert_eq!(warnings(&known, &wider), Vec::<String>::new());
}

/// A new secret, or another one, takes the name without the hosts that it was bound to.
#[test]
fn hosts_are_lifted_by_another_secret_as_well() {
    let known = knows(&[
        entry(5, "Key", A, 1).bound("a.example"),
        entry(6, "Free", B, 1),
    ]);
    for id in [B, SecretId([0xcc; 16])] {
        let said = warnings(&known, &entry(9, "Key", id, 1));
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[1].contains("bound to a.example before"), "{said:?}");
    }
}

#[test]
fn nothing_is_written_when_nothing_is_new() {
    let known = knows(&[entry(5, "Key", A, 2).bound("a.example")]);
    let same = entry(9, "Key", A, 2).bound("a.example");
    assert!(!known.would_change(&same.shown()));
    for other in [
        entry(9, "KEY", A, 2).bound("a.example"),
        entry(9, "Key", A, 3).bound("a.example"),
        entry(9, "Key", A, 2),
        entry(9, "Key", B, 2).bound("a.example"),
        entry(9, "More", A, 2).bound("a.example"),
    ] {
        assert!(known.would_change(&other.shown()));
    }
}

#[test]
fn a_damaged_file_is_not_half_believed() {
    let known = knows(&[
        entry(5, "Key", A, 2).bound("a.example *.b.example"),
        entry(6, "Free", B, 1).by_number(),
    ]);
    let text = known.text();
    assert_eq!(
        SecretFacts::parse("keyroll-secrets/v1\nend\n"),
        Some(SecretFacts::default())
    );
    for end in 0..text.len() {
        assert_eq!(SecretFacts::parse(&text[..end]), None, "{end}");
    }
    assert_eq!(SecretFacts::parse(&format!("{text}{text}")), None);
    for (from, to) in [
        ("v1", "v2"),
        ("secret", "sekret"),
        ("2@5", "x@5"),
        ("a.example", "a example"),
        ("name Key", "name 1Key"),
        ("name Free", "name Key"),
        ("bbbb", "aaaa"),
    ] {
        let bad = text.replace(from, to);
        assert_eq!(SecretFacts::parse(&bad), None, "{from} -> {to}");
    }
}

/// Names that a dishonest ledger invents do not displace the real ones.
#[test]
fn a_full_memory_keeps_what_it_has() {
    let mut known = knows(&[entry(1, "Real", A, 2)]);
    let long = hosts(&"https://host.of.some.length.example:8443 ".repeat(16));
    let mut number = 0_u128;
    let full = loop {
        number += 1;
        let one = Entry {
            hosts: long.clone(),
            ..entry(2, &format!("N{number}"), SecretId(number.to_be_bytes()), 1)
        };
        if !known.remember(&one.shown()) {
            break one;
        }
    };
    assert!(known.bytes <= MOST_BYTES && known.bytes > MOST_BYTES - 4096);
    assert!(known.would_change(&full.shown()));
    assert_eq!(code(&known, &entry(9, "Real", A, 1)), Some(Code::Rollback));
    // A known version is still raised when that needs no space.
    assert!(known.remember(&entry(10, "Real", A, 3).shown()));
    assert_eq!(code(&known, &entry(11, "Real", A, 2)), Some(Code::Rollback));
    let text = known.text();
    assert_eq!(text.len(), known.bytes + FORM.len() + END_LINE.len());
    assert_eq!(SecretFacts::parse(&text), Some(known));
}
