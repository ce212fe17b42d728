//! The origin of a file: its ledger, and the program that wrote it. It decides whether this program
//! can use the file.

use std::path::Path;

use keyroll_core::{Code, LedgerId, Rules};
use redb::{Database, ReadableDatabase as _, WriteTransaction};

use super::schema::{
    BY_ACTOR, BY_KIND, BY_RUN, BY_SECRET, COMMITS, DELEGATIONS, DENIALS, DENIED_NAMES, ENDING,
    EXPOSURES, FORMER_NAMES, INVITATIONS, LAST_REVEALED, MEMBERS, MEMBERS_SINCE, MEMBERSHIPS, META,
    NODES, PROBLEMS, RECEIPTS, REVOKED, SCHEMA, SECRET_NAMES, SECRETS, SECRETS_SINCE,
    SIGN_IN_COUNTS, SIGN_INS, TIMES, USES, USES_SINCE, VERSIONS, WORKFLOWS, WORKSPACE_NUMBERS,
    WORKSPACES,
};
use super::{ProjectionError, View};

/// The row `schema`: the schema, followed by the rules that the file's program knew. A program that
/// knew only the first rules wrote the schema alone.
struct Tag {
    schema: u32,
    rules: u32,
}

impl Tag {
    const fn own() -> Self {
        Self {
            schema: SCHEMA,
            rules: Rules::CURRENT.number(),
        }
    }

    fn read(value: &[u8]) -> Option<Self> {
        let (schema, rest) = value.split_first_chunk::<4>()?;
        let rules = match rest {
            [] => Rules::V1.number(),
            rules => u32::from_be_bytes(rules.try_into().ok()?),
        };
        Some(Self {
            schema: u32::from_be_bytes(*schema),
            rules,
        })
    }

    fn write(&self, tx: &WriteTransaction) -> Result<(), ProjectionError> {
        let value = [self.schema.to_be_bytes(), self.rules.to_be_bytes()].concat();
        tx.open_table(META)?.insert("schema", value.as_slice())?;
        Ok(())
    }
}

/// The part of a row of META that belongs in the digest: the rules that the program knew change no
/// other row.
pub(super) fn of_rows<'a>(key: &str, value: &'a [u8]) -> &'a [u8] {
    if key == "schema" {
        return value.first_chunk::<4>().map_or(value, |schema| schema);
    }
    value
}

/// Makes all tables, or checks that they are this program's and this ledger's.
pub(super) fn prepare(
    db: &Database,
    path: &Path,
    ledger: &LedgerId,
) -> Result<(), ProjectionError> {
    if db.begin_read()?.list_tables()?.next().is_some() {
        return check(db, path, ledger);
    }
    let tx = db.begin_write()?;
    Tag::own().write(&tx)?;
    tx.open_table(META)?.insert("ledger", ledger.0.as_slice())?;
    open_all(&tx)?;
    tx.commit()?;
    Ok(())
}

fn check(db: &Database, path: &Path, ledger: &LedgerId) -> Result<(), ProjectionError> {
    let view = View::begin(db)?;
    let meta = view.tx().open_table(META)?;
    let tag = meta.get("schema")?;
    let tag = tag.and_then(|value| Tag::read(value.value()));
    let tag = match tag {
        Some(tag) if tag.schema == SCHEMA => tag,
        found => {
            return Err(ProjectionError::OtherSchema {
                found: found.map_or(0, |tag| tag.schema),
            });
        }
    };
    let found = meta
        .get("ledger")?
        .map(|value| value.value().to_vec())
        .unwrap_or_default();
    if found != ledger.0 {
        let found = <[u8; 32]>::try_from(found.as_slice())
            .map_or_else(|_| "?".to_owned(), |id| LedgerId(id).to_string());
        return Err(ProjectionError::OtherLedger {
            file: path.to_owned(),
            found,
            expected: *ledger,
        });
    }
    check_rules(db, &view, tag.rules)
}

/// A file may hold entries that only a later program knows, or lack entries at which an earlier
/// program stopped. Any other file is used, and from now on no earlier program uses it.
fn check_rules(db: &Database, view: &View, rules: u32) -> Result<(), ProjectionError> {
    let own = Rules::CURRENT.number();
    if rules == own {
        return Ok(());
    }
    let wrong = view
        .workspaces()?
        .into_iter()
        .filter_map(|(_, head)| head.wrong);
    let stopped = wrong
        .map(|wrong| wrong.code)
        .any(|code| code == Code::UpgradeNeeded);
    if rules > own || stopped {
        return Err(ProjectionError::OtherRules { found: rules });
    }
    let tx = db.begin_write()?;
    Tag::own().write(&tx)?;
    tx.commit()?;
    Ok(())
}

fn open_all(tx: &WriteTransaction) -> Result<(), ProjectionError> {
    tx.open_table(WORKSPACES)?;
    tx.open_table(WORKSPACE_NUMBERS)?;
    tx.open_table(COMMITS)?;
    tx.open_table(NODES)?;
    tx.open_table(SECRETS)?;
    tx.open_table(LAST_REVEALED)?;
    tx.open_table(SECRET_NAMES)?;
    tx.open_table(VERSIONS)?;
    tx.open_table(MEMBERS)?;
    tx.open_table(MEMBERSHIPS)?;
    tx.open_table(DENIALS)?;
    tx.open_table(REVOKED)?;
    tx.open_table(DELEGATIONS)?;
    tx.open_table(SIGN_INS)?;
    tx.open_table(SIGN_IN_COUNTS)?;
    tx.open_table(INVITATIONS)?;
    tx.open_table(RECEIPTS)?;
    tx.open_table(BY_SECRET)?;
    tx.open_table(BY_ACTOR)?;
    tx.open_table(BY_KIND)?;
    tx.open_table(BY_RUN)?;
    tx.open_table(DENIED_NAMES)?;
    tx.open_table(TIMES)?;
    tx.open_table(PROBLEMS)?;
    tx.open_table(FORMER_NAMES)?;
    tx.open_table(WORKFLOWS)?;
    tx.open_table(USES)?;
    tx.open_table(ENDING)?;
    tx.open_table(SECRETS_SINCE)?;
    tx.open_table(MEMBERS_SINCE)?;
    tx.open_table(EXPOSURES)?;
    tx.open_table(USES_SINCE)?;
    Ok(())
}
