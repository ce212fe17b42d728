//! Entries and values that a recovery could not restore.

use super::*;

fn truncated(size: u64) -> Action {
    Action::LogTruncate(LogTruncate {
        size: TreeSize(size),
    })
}

#[test]
fn a_recovery_says_how_much_there_was_and_only_the_ledger_can() {
    let given = Given::workspace().and(OWNER, create(1, "Key"));
    given.when(OWNER, truncated(9)).denied(DenialReason::Role);
    given.when(66, truncated(9)).rejected(Code::Denied);
    given
        .when(ONLINE, truncated(1))
        .rejected(Code::InvalidField);
    given.when(ONLINE, truncated(2)).happens(&["log.truncated"]);
    assert_eq!(given.state.row().truncated, None);
    let given = given.and(ONLINE, truncated(9)).and(ONLINE, truncated(4));
    assert_eq!(given.state.row().truncated, Some(TreeSize(9)));
}

fn lost(values: &[(u8, u32)]) -> Action {
    let value = |(seed, version): &(u8, u32)| LostValue {
        id: sid(*seed),
        version: Version(*version),
    };
    let values = values.iter().map(value).collect();
    Action::ValuesLose(ValuesLose { values })
}

#[test]
fn lost_values_are_named_once_and_are_gone() {
    let given = Given::workspace()
        .and(OWNER, create(1, "Key"))
        .and(OWNER, edit(1, "Key", 2))
        .and(OWNER, create(2, "Other"));
    given
        .when(OWNER, lost(&[(1, 2)]))
        .denied(DenialReason::Role);
    given.when(ONLINE, lost(&[])).rejected(Code::InvalidField);
    given.when(ONLINE, lost(&[(1, 3)])).rejected(Code::NotFound);
    given.when(ONLINE, lost(&[(9, 1)])).rejected(Code::NotFound);
    given
        .when(ONLINE, lost(&[(1, 1), (1, 1)]))
        .rejected(Code::Conflict);
    given
        .when(ONLINE, lost(&[(1, 2), (2, 1)]))
        .happens(&["values.lost"]);
    let given = given.and(ONLINE, lost(&[(1, 2)]));
    given.when(ONLINE, lost(&[(1, 2)])).rejected(Code::Conflict);
    given.when(OWNER, reveal("Key")).rejected(Code::ValueLost);
    given
        .when(OWNER, reveal("Other"))
        .happens(&["secret.revealed"]);
}
