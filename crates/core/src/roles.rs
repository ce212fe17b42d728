//! The role table: which role has which permission.

use serde::{Deserialize, Serialize};

/// The role of a member in a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything.
    Owner,
    /// Names and values; changes them.
    Editor,
    /// Names and values; changes nothing. By rules 4.
    Reader,
    /// Names, never values.
    Viewer,
    /// Names and the audit log, never values.
    Auditor,
    /// Values for blocks, programs and agents. For machines.
    Runner,
}

impl Role {
    /// Every role, in the order of the documentation.
    pub const ALL: [Self; 6] = [
        Self::Owner,
        Self::Editor,
        Self::Reader,
        Self::Viewer,
        Self::Auditor,
        Self::Runner,
    ];

    /// The role's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Editor => "editor",
            Self::Reader => "reader",
            Self::Viewer => "viewer",
            Self::Auditor => "auditor",
            Self::Runner => "runner",
        }
    }

    /// What the role is, for people who choose one.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Owner => "everything, and manages members",
            Self::Editor => "names and values, changes them",
            Self::Reader => "names and values, changes nothing",
            Self::Viewer => "names, never values",
            Self::Auditor => "names and the audit log, never values",
            Self::Runner => "for machines: values for blocks, programs and agents",
        }
    }
}

/// A row of the role table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// List, show, history, time travel.
    Read,
    /// Reveal to look at or take along: view, copy, export.
    Reveal,
    /// Reveal to use: run, block, agent.
    Use,
    /// Reveal restricted secrets, to blocks only.
    UseRestricted,
    /// Create, edit, describe, rename, roll back, delete, restore, save workflows.
    Write,
    /// Destroy, rotate keys, manage members, close others' sign-ins.
    Manage,
    /// Audit log, proofs, export of the log.
    Audit,
}

impl Permission {
    /// Every row, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::Read,
        Self::Reveal,
        Self::Use,
        Self::UseRestricted,
        Self::Write,
        Self::Manage,
        Self::Audit,
    ];
}

/// The table: whether `role` has `permission`.
pub const fn allows(role: Role, permission: Permission) -> bool {
    match permission {
        Permission::Read => true,
        Permission::Reveal => matches!(role, Role::Owner | Role::Editor | Role::Reader),
        Permission::Use => {
            matches!(
                role,
                Role::Owner | Role::Editor | Role::Reader | Role::Runner
            )
        }
        Permission::UseRestricted => matches!(role, Role::Runner),
        Permission::Write => matches!(role, Role::Owner | Role::Editor),
        Permission::Manage => matches!(role, Role::Owner),
        Permission::Audit => matches!(role, Role::Owner | Role::Auditor),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_role_table_cell_by_cell() {
        // Columns as in Role::ALL: owner, editor, reader, viewer, auditor, runner.
        let table = [
            (Permission::Read, "++++++"),
            (Permission::Reveal, "+++---"),
            (Permission::Use, "+++--+"),
            (Permission::UseRestricted, "-----+"),
            (Permission::Write, "++----"),
            (Permission::Manage, "+-----"),
            (Permission::Audit, "+---+-"),
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
