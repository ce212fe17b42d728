//! The digest of the read model: SHA-256 over a canonical dump of all tables, in a fixed order,
//! each as its name, then each row as length, key, length, value.

use keyroll_core::Digest;
use redb::{Key, ReadableTable as _, TableDefinition, Value};
use sha2::{Digest as _, Sha256};

use super::origin::of_rows;
use super::schema::{
    BY_ACTOR, BY_KIND, BY_RUN, BY_SECRET, COMMITS, DELEGATIONS, DENIALS, DENIED_NAMES, ENDING,
    EXPOSURES, FORMER_NAMES, INVITATIONS, LAST_REVEALED, MEMBERS, MEMBERS_SINCE, MEMBERSHIPS, META,
    NODES, PROBLEMS, RECEIPTS, REVOKED, SECRET_NAMES, SECRETS, SECRETS_SINCE, SIGN_IN_COUNTS,
    SIGN_INS, TIMES, USES, USES_SINCE, VERSIONS, WORKFLOWS, WORKSPACE_NUMBERS, WORKSPACES,
};
use super::{ProjectionError, View};

/// The digest of the read model that `view` shows.
///
/// # Errors
/// [`ProjectionError`].
pub fn digest(view: &View) -> Result<Digest, ProjectionError> {
    let mut hash = Sha256::new();
    meta(view, &mut hash)?;
    table(view, WORKSPACES, &mut hash)?;
    table(view, WORKSPACE_NUMBERS, &mut hash)?;
    table(view, COMMITS, &mut hash)?;
    table(view, NODES, &mut hash)?;
    table(view, SECRETS, &mut hash)?;
    table(view, LAST_REVEALED, &mut hash)?;
    table(view, SECRET_NAMES, &mut hash)?;
    table(view, VERSIONS, &mut hash)?;
    table(view, MEMBERS, &mut hash)?;
    table(view, MEMBERSHIPS, &mut hash)?;
    table(view, DENIALS, &mut hash)?;
    table(view, REVOKED, &mut hash)?;
    table(view, DELEGATIONS, &mut hash)?;
    table(view, SIGN_INS, &mut hash)?;
    table(view, SIGN_IN_COUNTS, &mut hash)?;
    table(view, INVITATIONS, &mut hash)?;
    table(view, RECEIPTS, &mut hash)?;
    table(view, BY_SECRET, &mut hash)?;
    table(view, BY_ACTOR, &mut hash)?;
    table(view, BY_KIND, &mut hash)?;
    table(view, BY_RUN, &mut hash)?;
    table(view, DENIED_NAMES, &mut hash)?;
    table(view, TIMES, &mut hash)?;
    table(view, PROBLEMS, &mut hash)?;
    table(view, FORMER_NAMES, &mut hash)?;
    table(view, WORKFLOWS, &mut hash)?;
    table(view, USES, &mut hash)?;
    table(view, ENDING, &mut hash)?;
    table(view, SECRETS_SINCE, &mut hash)?;
    table(view, MEMBERS_SINCE, &mut hash)?;
    table(view, EXPOSURES, &mut hash)?;
    table(view, USES_SINCE, &mut hash)?;
    Ok(Digest(hash.finalize().into()))
}

fn meta(view: &View, hash: &mut Sha256) -> Result<(), ProjectionError> {
    begin(&META, hash);
    for row in view.tx().open_table(META)?.iter()? {
        let (key, value) = row?;
        let (key, value) = (key.value(), value.value());
        row_of(key.as_bytes(), of_rows(key, value), hash);
    }
    Ok(())
}

fn begin<K: Key + 'static, V: Value + 'static>(
    definition: &TableDefinition<'static, K, V>,
    hash: &mut Sha256,
) {
    part(redb::TableHandle::name(definition).as_bytes(), hash);
}

fn row_of(key: &[u8], value: &[u8], hash: &mut Sha256) {
    part(key, hash);
    part(value, hash);
}

fn part(bytes: &[u8], hash: &mut Sha256) {
    hash.update((bytes.len() as u64).to_be_bytes());
    hash.update(bytes);
}

fn table<K: Key + 'static, V: Value + 'static>(
    view: &View,
    definition: TableDefinition<'static, K, V>,
    hash: &mut Sha256,
) -> Result<(), ProjectionError> {
    begin(&definition, hash);
    for row in view.tx().open_table(definition)?.iter()? {
        let (key, value) = row?;
        let (key, value) = (key.value(), value.value());
        row_of(
            K::as_bytes(&key).as_ref(),
            V::as_bytes(&value).as_ref(),
            hash,
        );
    }
    Ok(())
}
