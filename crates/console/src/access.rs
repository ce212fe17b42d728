//! The controls that pages offer to a member. The ledger decides again on every request.

use keyroll_core::roles::{Permission, Role, allows};
use keyroll_core::{Glob, Millis, SecretName};
use keyroll_wire::reply::MemberRow;

/// The rights of a member, according to its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Access {
    pub(crate) name: String,
    pub(crate) role: Role,
    globs: Vec<Glob>,
    expires: Option<Millis>,
    signed_in: bool,
}

impl Access {
    pub(crate) fn of(row: &MemberRow, signed_in: bool) -> Self {
        Self {
            name: row.name.to_string(),
            role: row.role,
            globs: row.secrets.clone(),
            expires: row.expires,
            signed_in,
        }
    }

    fn covers(&self, name: &SecretName) -> bool {
        self.globs.iter().any(|glob| glob.matches(name))
    }

    /// Whether it may create secrets.
    pub(crate) const fn creates(&self) -> bool {
        allows(self.role, Permission::Write)
    }

    /// Whether it may change this secret.
    pub(crate) fn writes(&self, name: &SecretName) -> bool {
        self.creates() && self.covers(name)
    }

    /// Whether it may see this secret's value.
    pub(crate) fn reveals(&self, name: &SecretName) -> bool {
        allows(self.role, Permission::Reveal) && self.covers(name)
    }

    /// Whether it may read the audit log.
    pub(crate) const fn audits(&self) -> bool {
        allows(self.role, Permission::Audit)
    }

    /// Whether it may change members: an owner without bounds, with the identity's own key.
    pub(crate) fn manages(&self) -> bool {
        allows(self.role, Permission::Manage)
            && !self.signed_in
            && self.expires.is_none()
            && self.globs.iter().any(|glob| *glob == Glob::any())
    }
}
