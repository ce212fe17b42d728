//! The role table: which role has which permission.

use serde::{Deserialize, Serialize};

/// The role of a member in a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Owner,
    /// Secrets, their values included.
    Editor,
    /// Names and history, never values.
    Viewer,
    /// Names and history, and the whole audit log.
    Auditor,
    /// Values for blocks, within the member's own patterns.
    Runner,
}

impl Role {
    /// Every role, most powerful first.
    pub const ALL: [Self; 5] = [
        Self::Owner,
        Self::Editor,
        Self::Viewer,
        Self::Auditor,
        Self::Runner,
    ];

    /// The role's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Editor => "editor",
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
            Self::Runner => "runner",
        }
    }
}

/// A row of the role table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// List, show, history, time travel.
    Read,
    /// Reveal to a person or program.
    Reveal,
    /// Reveal to a block.
    RevealForBlock,
    /// Create, edit, describe, rename, roll back, delete, restore, save workflows.
    Write,
    /// Destroy, rotate keys, manage members, revoke others' delegations.
    Manage,
    /// Audit log, proofs, export of the log.
    Audit,
}

impl Permission {
    /// Every row, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Read,
        Self::Reveal,
        Self::RevealForBlock,
        Self::Write,
        Self::Manage,
        Self::Audit,
    ];
}

/// The table: whether `role` has `permission`.
pub const fn allows(role: Role, permission: Permission) -> bool {
    match permission {
        Permission::Read => true,
        Permission::Reveal | Permission::Write => matches!(role, Role::Owner | Role::Editor),
        Permission::RevealForBlock => matches!(role, Role::Owner | Role::Editor | Role::Runner),
        Permission::Manage => matches!(role, Role::Owner),
        Permission::Audit => matches!(role, Role::Owner | Role::Auditor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_table_cell_by_cell() {
        // Columns as in Role::ALL: owner, editor, viewer, auditor, runner.
        let table = [
            (Permission::Read, "+++++"),
            (Permission::Reveal, "++---"),
            (Permission::RevealForBlock, "++--+"),
            (Permission::Write, "++---"),
            (Permission::Manage, "+----"),
            (Permission::Audit, "+--+-"),
        ];
        assert_eq!(table.map(|(permission, _)| permission), Permission::ALL);
        for (permission, row) in table {
            for (role, cell) in Role::ALL.into_iter().zip(row.chars()) {
                assert_eq!(
                    allows(role, permission),
                    cell == '+',
                    "{role:?} {permission:?}"
                );
            }
        }
    }

    #[test]
    fn the_documented_table_is_this_one() {
        let page = include_str!("../../../docs/roles.md");
        let rows: Vec<Vec<&str>> = page
            .lines()
            .filter(|line| line.starts_with('|'))
            .skip(2)
            .map(|line| {
                line.trim_matches('|')
                    .split('|')
                    .map(str::trim)
                    .skip(1)
                    .collect()
            })
            .collect();
        assert_eq!(rows.len(), Permission::ALL.len());
        for (permission, cells) in Permission::ALL.into_iter().zip(rows) {
            for (role, cell) in Role::ALL.into_iter().zip(cells) {
                assert_eq!(
                    allows(role, permission),
                    cell == "✓",
                    "{role:?} {permission:?}"
                );
            }
        }
    }
}
