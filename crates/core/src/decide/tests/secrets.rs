//! Secrets: created, edited, renamed, deleted.

use super::*;

#[test]
fn names_and_ids_are_taken_once() {
    let given = Given::workspace().and(OWNER, create(1, "API_Key"));
    given
        .when(OWNER, create(2, "api_key"))
        .rejected(Code::Conflict);
    given
        .when(OWNER, create(1, "Other"))
        .rejected(Code::Conflict);
    given
        .when(OWNER, create(2, "Other"))
        .happens(&["secret.created"]);
    // A deleted secret frees its name, never its id.
    let given = given.and(OWNER, delete(1, "API_Key"));
    given
        .when(OWNER, create(1, "API_Key"))
        .rejected(Code::Conflict);
    let given = given.and(OWNER, create(2, "API_Key"));
    given
        .when(OWNER, restore(1, "API_Key"))
        .rejected(Code::Conflict);
}

#[test]
fn an_import_is_all_or_nothing() {
    let import = |secrets: Vec<NewSecret>| {
        Action::SecretImport(SecretImport {
            secrets,
            session: session(),
        })
    };
    let given = Given::workspace().and(OWNER, create(1, "Taken"));
    let made = given.when(OWNER, import(vec![new(2, "A"), new(3, "B")]));
    made.happens(&["secret.created", "secret.created"]);
    given
        .when(OWNER, import(vec![new(2, "A"), new(3, "taken")]))
        .rejected(Code::Conflict);
    given
        .when(OWNER, import(vec![new(2, "A"), new(3, "a")]))
        .rejected(Code::Conflict);
    given
        .when(OWNER, import(vec![new(2, "A"), new(2, "B")]))
        .rejected(Code::Conflict);
    given
        .when(OWNER, import(vec![]))
        .rejected(Code::InvalidField);
}

#[test]
fn an_edit_makes_the_next_version_of_the_secret_it_names() {
    let given = Given::workspace()
        .and(OWNER, create(1, "Key"))
        .and(OWNER, create(2, "Other"));
    given
        .when(OWNER, edit(1, "Key", 2))
        .happens(&["secret.edited"]);
    given
        .when(OWNER, edit(1, "Key", 1))
        .rejected(Code::Conflict);
    given
        .when(OWNER, edit(1, "Key", 3))
        .rejected(Code::Conflict);
    given
        .when(OWNER, edit(2, "Key", 2))
        .rejected(Code::Conflict);
    given
        .when(OWNER, edit(3, "Key", 2))
        .rejected(Code::NotFound);
    let odd = SecretEdit {
        size: size() + 1,
        ..edit_fields(1, "Key", 2)
    };
    given
        .when(OWNER, Action::SecretEdit(odd))
        .rejected(Code::InvalidField);
    let given = given.and(OWNER, delete(1, "Key"));
    given.when(OWNER, edit(1, "Key", 2)).rejected(Code::Deleted);
}

#[test]
fn a_rollback_names_a_version_that_was() {
    let rollback = |version, from| {
        let edit = edit_fields(1, "Key", version);
        Action::SecretRollback(SecretRollback {
            edit,
            from: Version(from),
        })
    };
    let given = Given::workspace()
        .and(OWNER, create(1, "Key"))
        .and(OWNER, edit(1, "Key", 2));
    given
        .when(OWNER, rollback(3, 1))
        .happens(&["secret.edited"]);
    given.when(OWNER, rollback(3, 3)).rejected(Code::NotFound);
    given.when(OWNER, rollback(3, 0)).rejected(Code::NotFound);
    given.when(OWNER, rollback(2, 1)).rejected(Code::Conflict);
}

#[test]
fn what_is_said_of_a_secret_can_change() {
    let describe = |hosts: Option<usize>, restricted| {
        let host = |_| "api.example.com".parse().expect("host");
        Action::SecretDescribe(SecretDescribe {
            id: sid(1),
            name: name("Key"),
            hosts: hosts.map(|count| (0..count).map(host).collect()),
            restricted,
            description: None,
            rotate_every: None,
        })
    };
    let given = Given::workspace().and(OWNER, create(1, "Key"));
    given
        .when(OWNER, describe(Some(16), None))
        .happens(&["secret.described"]);
    given
        .when(OWNER, describe(Some(17), None))
        .rejected(Code::InvalidField);
    given
        .when(OWNER, describe(None, None))
        .rejected(Code::InvalidField);
    let given = given.and(OWNER, describe(Some(1), Some(true)));
    let secret = given.state.secret(&sid(1)).expect("there");
    assert!(secret.restricted && secret.hosts.len() == 1);
}

#[test]
fn what_was_restricted_stays_so() {
    let describe = |restricted| {
        Action::SecretDescribe(SecretDescribe {
            id: sid(1),
            name: name("Key"),
            hosts: None,
            restricted: Some(restricted),
            description: Some("words".parse().expect("text")),
            rotate_every: None,
        })
    };
    let given = Given::workspace().and(OWNER, restricted(1, "Key"));
    given
        .when(OWNER, describe(true))
        .happens(&["secret.described"]);
    given.when(OWNER, describe(false)).rejected(Code::Conflict);
    let given = Given::workspace().and(OWNER, create(1, "Key"));
    given
        .when(OWNER, describe(false))
        .happens(&["secret.described"]);
    given
        .and(OWNER, describe(true))
        .when(OWNER, describe(false))
        .rejected(Code::Conflict);
}

#[test]
fn a_renamed_secret_is_found_under_its_new_name_only() {
    let given = Given::workspace()
        .and(OWNER, create(1, "Key"))
        .and(OWNER, create(2, "Other"));
    given
        .when(OWNER, rename(1, "Key", "other"))
        .rejected(Code::Conflict);
    given
        .when(OWNER, rename(1, "Key", "Key"))
        .rejected(Code::InvalidField);
    given
        .when(OWNER, rename(1, "Key", "KEY"))
        .happens(&["secret.renamed"]);
    let given = given.and(OWNER, rename(1, "Key", "New"));
    given
        .when(OWNER, reveal("New"))
        .happens(&["secret.revealed"]);
    given.when(OWNER, reveal("Key")).rejected(Code::NotFound);
    given
        .when(OWNER, create(3, "Key"))
        .happens(&["secret.created"]);
}

#[test]
fn deleted_secrets_come_back_once() {
    let given = Given::workspace().and(OWNER, create(1, "Key"));
    given
        .when(OWNER, restore(1, "Key"))
        .rejected(Code::Conflict);
    let given = given.and(OWNER, delete(1, "Key"));
    given.when(OWNER, delete(1, "Key")).rejected(Code::Deleted);
    given
        .when(OWNER, restore(2, "Key"))
        .rejected(Code::NotFound);
    let given = given.and(OWNER, restore(1, "Key"));
    assert_eq!(
        given.state.secret(&sid(1)).map(|secret| secret.lifecycle),
        Some(Lifecycle::Active)
    );
}
