use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use keyroll_core::{Code, Digest, Index, SecretId, SecretName, Version};

use super::*;
use crate::ClientError;

fn checkpoint(size: u64) -> TrustedCheckpoint {
    TrustedCheckpoint {
        size: TreeSize(size),
        root: Hash([7; 32]),
        note: Some("a\nnote\n".to_owned()),
    }
}

fn demo() -> WorkspaceName {
    "demo".parse().expect("a name")
}

const LEDGER: LedgerId = LedgerId([1; 32]);

fn in_home(home: &Path) -> CheckpointStore {
    CheckpointStore::in_home(home, &LEDGER)
}

fn file(home: &Path, name: &str) -> PathBuf {
    let ledger = LEDGER.to_string().replace(':', "-");
    home.join("seen").join(ledger).join(name)
}

/// Has a store verify that an entry shows a secret at a version.
fn verify(
    store: &CheckpointStore,
    (index, secret): (u64, u8),
    name: &str,
    version: u32,
) -> Result<Vec<String>, ClientError> {
    let name: SecretName = name.parse().expect("a name");
    let shown = Observation {
        index: Index(index),
        id: SecretId([secret; 16]),
        name: &name,
        version: Some((Version(version), Digest::of(&version.to_be_bytes()))),
        current: true,
        hosts: Some(&[]),
        set_by_caller: SetByCaller::Nothing,
    };
    store.secrets().verify(&demo(), &[shown])
}

fn code<T>(result: Result<T, ClientError>) -> Option<Code> {
    result.err().map(|error| error.code())
}

#[test]
fn what_is_kept_never_sinks_among_many() {
    let home = tempfile::tempdir().expect("a directory");
    let (home, workspace) = (home.path(), demo());
    std::thread::scope(|scope| {
        for start in 0..4_u64 {
            let workspace = &workspace;
            scope.spawn(move || {
                let store = in_home(home);
                for size in (start..200).step_by(4) {
                    assert!(store.raise(workspace, checkpoint(size)).expect("kept"));
                    let kept = store.get(workspace).expect("read").expect("there");
                    assert!(kept.size.0 >= size);
                }
            });
        }
    });
    let fresh = in_home(home);
    assert_eq!(fresh.get(&workspace).expect("read"), Some(checkpoint(199)));
    let forked = TrustedCheckpoint {
        root: Hash([8; 32]),
        ..checkpoint(199)
    };
    assert!(!in_home(home).raise(&workspace, forked).expect("read"));
    fresh
        .accept(&workspace, Some(checkpoint(3)))
        .expect("accepted");
    assert_eq!(
        in_home(home).get(&workspace).expect("read"),
        Some(checkpoint(3))
    );
    fs::write(file(home, "demo"), "nothing").expect("damaged");
    assert!(in_home(home).get(&workspace).is_err());
}

/// Many processes, each with a store of its own on the same files.
#[test]
fn facts_of_many_processes_are_all_kept() {
    let home = tempfile::tempdir().expect("a directory");
    let home = home.path();
    std::thread::scope(|scope| {
        for secret in 0..4_u8 {
            scope.spawn(move || {
                let store = in_home(home);
                for version in 1..20_u32 {
                    let place = (u64::from(version), secret);
                    verify(&store, place, &format!("S{secret}"), version).expect("believed");
                }
            });
        }
    });
    let store = in_home(home);
    assert_eq!(store.secrets().count(&demo()).expect("read"), 4);
    for secret in 0..4_u8 {
        let old = verify(&store, (99, secret), &format!("S{secret}"), 18);
        assert_eq!(code(old), Some(Code::Rollback));
        let now = verify(&store, (99, secret), &format!("S{secret}"), 19);
        assert_eq!(now.expect("believed"), Vec::<String>::new());
    }
}

#[test]
fn a_warning_is_given_by_one_process_alone() {
    let home = tempfile::tempdir().expect("a directory");
    let [first, second] = [in_home(home.path()), in_home(home.path())];
    for store in [&first, &second] {
        assert!(
            verify(store, (5, 1), "Key", 4)
                .expect("believed")
                .is_empty()
        );
    }
    assert_eq!(verify(&first, (9, 2), "Key", 1).expect("believed").len(), 1);
    assert!(
        verify(&second, (10, 2), "Key", 1)
            .expect("believed")
            .is_empty()
    );
    // Each store checks the ledger against facts that the other has learned.
    verify(&first, (11, 2), "Key", 2).expect("believed");
    assert_eq!(
        code(verify(&second, (12, 2), "Key", 1)),
        Some(Code::Rollback)
    );
}

#[test]
fn what_does_not_fit_is_not_remembered_in_part() {
    let home = tempfile::tempdir().expect("a directory");
    let store = in_home(home.path());
    verify(&store, (5, 1), "Key", 2).expect("believed");
    let before = fs::read(file(home.path(), "demo.secrets")).expect("a file");
    let (good, bad): (SecretName, SecretName) = ("Good".parse().unwrap(), "Key".parse().unwrap());
    let shown = |name, secret| Observation {
        index: Index(9),
        id: SecretId([secret; 16]),
        name,
        version: Some((Version(1), Digest::of(&1_u32.to_be_bytes()))),
        current: true,
        hosts: Some(&[]),
        set_by_caller: SetByCaller::Nothing,
    };
    let both = [shown(&good, 3), shown(&bad, 1)];
    assert_eq!(
        code(store.secrets().verify(&demo(), &both)),
        Some(Code::Rollback)
    );
    let after = fs::read(file(home.path(), "demo.secrets")).expect("a file");
    assert_eq!(before, after);
    assert_eq!(store.secrets().count(&demo()).expect("read"), 1);
}

#[test]
fn to_accept_forgets_the_facts_and_keeps_them_as_evidence() {
    let home = tempfile::tempdir().expect("a directory");
    let [console, accepting] = [in_home(home.path()), in_home(home.path())];
    console.raise(&demo(), checkpoint(9)).expect("kept");
    verify(&console, (5, 1), "Key", 2).expect("believed");
    assert_eq!(
        code(verify(&console, (9, 1), "Key", 1)),
        Some(Code::Rollback)
    );
    let kept = accepting
        .accept(&demo(), Some(checkpoint(3)))
        .expect("accepted");
    let kept = kept.expect("evidence");
    let text = fs::read_to_string(&kept).expect("read");
    assert!(
        text.starts_with("9\n") && text.contains("\nname Key "),
        "{text}"
    );
    assert!(!file(home.path(), "demo.secrets").exists());
    // Accepting again, as after a crash half-way, leaves the kept evidence as it is.
    fs::write(
        file(home.path(), "demo"),
        text.split("keyroll-secrets").next().expect("some"),
    )
    .expect("written");
    accepting
        .accept(&demo(), Some(checkpoint(3)))
        .expect("accepted");
    assert_eq!(fs::read_to_string(&kept).expect("read"), text);
    // A store that has the checkpoint in memory continues too.
    assert_eq!(console.get(&demo()).expect("read"), Some(checkpoint(3)));
    assert!(
        verify(&console, (4, 1), "Key", 1)
            .expect("believed")
            .is_empty()
    );
    // Without a home everything is in memory.
    let memory = CheckpointStore::memory();
    verify(&memory, (5, 1), "Key", 2).expect("believed");
    assert_eq!(
        code(verify(&memory, (9, 1), "Key", 1)),
        Some(Code::Rollback)
    );
    assert_eq!(
        memory
            .accept(&demo(), Some(checkpoint(3)))
            .expect("accepted"),
        None
    );
    assert!(
        verify(&memory, (4, 1), "Key", 1)
            .expect("believed")
            .is_empty()
    );
}

#[test]
fn what_was_seen_of_a_workspace_that_is_gone_can_be_given_up() {
    let home = tempfile::tempdir().expect("a directory");
    let store = in_home(home.path());
    store.raise(&demo(), checkpoint(9)).expect("kept");
    let kept = store.accept(&demo(), None).expect("accepted");
    let text = fs::read_to_string(kept.expect("evidence")).expect("read");
    assert!(text.starts_with("9\n"), "{text}");
    assert_eq!(store.get(&demo()).expect("read"), None);
    assert_eq!(in_home(home.path()).workspaces().expect("read"), []);
    store
        .raise(&demo(), checkpoint(1))
        .expect("a new one begins");
    assert_eq!(store.get(&demo()).expect("read"), Some(checkpoint(1)));
}

#[test]
fn what_cannot_be_read_is_not_taken_for_nothing() {
    let home = tempfile::tempdir().expect("a directory");
    verify(&in_home(home.path()), (5, 1), "Key", 2).expect("believed");
    let path = file(home.path(), "demo.secrets");
    let whole = fs::read(&path).expect("read");
    for bad in [&b""[..], b"nothing", &whole[..whole.len() - 1], &[0xff; 9]] {
        fs::write(&path, bad).expect("damaged");
        let store = in_home(home.path());
        let error = verify(&store, (9, 1), "Key", 2).expect_err("refused");
        let words = error.to_string();
        assert!(words.contains("move it away to trust anew"), "{words}");
        assert!(store.secrets().count(&demo()).is_err());
    }
    let large = fs::File::create(&path).expect("made");
    large.set_len(1 << 30).expect("a hole");
    let error = in_home(home.path()).secrets().count(&demo());
    let words = error.expect_err("refused").to_string();
    assert!(words.contains("has more than"), "{words}");
    fs::remove_file(&path).expect("moved away");
    assert!(verify(&in_home(home.path()), (9, 1), "Key", 1).is_ok());
}

#[test]
fn others_can_read_nothing_even_where_they_could_before() {
    let home = tempfile::tempdir().expect("a directory");
    let store = in_home(home.path());
    store.raise(&demo(), checkpoint(9)).expect("kept");
    verify(&store, (5, 1), "Key", 2).expect("believed");
    let paths = ["", "demo", "demo.secrets", ".lock"].map(|name| file(home.path(), name));
    let modes = || {
        paths.each_ref().map(|path| {
            let metadata = fs::metadata(path).expect("there");
            metadata.permissions().mode() & 0o777
        })
    };
    assert_eq!(modes(), [0o700, 0o600, 0o600, 0o600]);
    // An earlier keyroll created them with these modes under a umask of 0.
    for (path, mode) in paths.iter().zip([0o777, 0o666, 0o666, 0o666]) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("opened");
    }
    let store = in_home(home.path());
    store.raise(&demo(), checkpoint(10)).expect("kept");
    verify(&store, (6, 1), "Key", 3).expect("believed");
    assert_eq!(modes(), [0o700, 0o600, 0o600, 0o600]);
}
