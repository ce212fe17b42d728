//! Verified facts about secrets: which secret had which name, its highest current version and the
//! hosts it may be sent to. Every fact has the index of the entry that showed it. So answers that
//! overtake each other are compared with facts before them in the log, not in time.

mod text;

use std::collections::{BTreeMap, HashMap};

use keyroll_core::names::HostPattern;
use keyroll_core::{Code, Digest, Index, SecretId, SecretName, Version};

use self::text::{name_line, secret_line};
use super::hosts::{is_wider, words};
use crate::ClientError;

/// Most bytes of the facts about one workspace, as a file: about 80,000 secrets. Facts beyond that
/// are not remembered. No older fact is dropped for them: otherwise an attacker with invented names
/// could make a client forget the real ones.
pub(super) const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Facts about a secret in an entry, or in an answer at some tree size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Observation<'a> {
    /// The entry; for an answer, the last entry of its tree.
    pub(crate) index: Index,
    /// The secret.
    pub(crate) id: SecretId,
    /// Its name at that entry.
    pub(crate) name: &'a SecretName,
    /// A version, and SHA-256 of its sealed value.
    pub(crate) version: Option<(Version, Digest)>,
    /// Whether that version was the current one. A version that was requested by number shows
    /// nothing about the current one.
    pub(crate) current: bool,
    /// Hosts that it may be sent to.
    pub(crate) hosts: Option<&'a [HostPattern]>,
    /// Whether the caller set the name or the hosts itself, so that no warning is needed.
    pub(crate) set_by_caller: SetByCaller,
}

/// The facts that the caller's own command set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetByCaller {
    Nothing,
    Hosts,
    NameAndHosts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct CurrentVersion {
    version: Version,
    at: Index,
    digest: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct HostBinding {
    at: Index,
    hosts: Vec<HostPattern>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Secret {
    current: Option<CurrentVersion>,
    hosts: Option<HostBinding>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct NameBinding {
    name: SecretName,
    id: SecretId,
    at: Index,
}

/// The facts about one workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SecretFacts {
    secrets: BTreeMap<SecretId, Secret>,
    /// By the folded name: the ledger compares names without regard to case.
    names: BTreeMap<String, NameBinding>,
    /// The folded name that each secret had last.
    last: HashMap<SecretId, String>,
    bytes: usize,
}

impl SecretFacts {
    /// Checks an observation against the facts. Returns warnings for a person.
    ///
    /// # Errors
    /// [`Code::Rollback`] for an older version than was current before, [`Code::Corrupt`] for
    /// another value of a known version.
    pub(super) fn check(&self, observed: &Observation<'_>) -> Result<Vec<String>, ClientError> {
        if let Some((version, digest)) = observed.version {
            self.check_value(observed, version, &digest)?;
        }
        let mut warnings = Vec::new();
        warnings.extend(self.name_warning(observed));
        warnings.extend(self.hosts_warning(observed));
        Ok(warnings)
    }

    fn current(&self, id: &SecretId) -> Option<&CurrentVersion> {
        self.secrets.get(id)?.current.as_ref()
    }

    fn check_value(
        &self,
        observed: &Observation<'_>,
        version: Version,
        digest: &Digest,
    ) -> Result<(), ClientError> {
        if let Some(known) = self.current(&observed.id)
            && version == known.version
            && *digest != known.digest
        {
            let (name, at) = (observed.name, known.at);
            let message = format!(
                "entry {} names another sealed value for version {version} of {name} than before \
                 (entry {at}): one of the two is false, and nothing is used",
                observed.index
            );
            return Err(ClientError::failed(Code::Corrupt, message));
        }
        if !observed.current {
            return Ok(());
        }
        self.check_version(&observed.id, observed.name, version, observed.index)
    }

    /// Checks a version that an answer shows as current after `index`.
    ///
    /// # Errors
    /// [`Code::Rollback`].
    pub(super) fn check_version(
        &self,
        id: &SecretId,
        name: &SecretName,
        version: Version,
        index: Index,
    ) -> Result<(), ClientError> {
        let Some(known) = self.current(id) else {
            return Ok(());
        };
        let older = version < known.version && index >= known.at;
        // An answer may be overtaken by a later one, but it cannot know a version from after its
        // tree.
        let too_early = version > known.version && index <= known.at;
        if !older && !too_early {
            return Ok(());
        }
        let message = format!(
            "the ledger gives version {version} of {name} as the current one (entry {index}), but entry \
             {} showed that version {} was: one of the two is false, and nothing is used. An owner \
             or auditor learns more from `keyroll audit verify --full`",
            known.at, known.version
        );
        Err(ClientError::failed(Code::Rollback, message))
    }

    fn name_warning(&self, observed: &Observation<'_>) -> Option<String> {
        if observed.set_by_caller == SetByCaller::NameAndHosts {
            return None;
        }
        let (name, id) = (observed.name, observed.id);
        let folded = name.folded();
        let before = self.names.get(&folded);
        let before = before.filter(|before| before.id != id && before.at < observed.index);
        let was = self.last.get(&id).filter(|last| **last != folded);
        let was = was.and_then(|last| self.names.get(last));
        let was = was
            .filter(|was| was.at < observed.index)
            .map(|was| &was.name);
        match (before, was) {
            (None, None) => None,
            (Some(before), None) => Some(format!(
                "{name} is another secret than before: {id}, where it was {}. The old one was deleted \
                 or renamed, or the ledger shows the wrong one",
                before.id
            )),
            (None, Some(was)) => Some(format!(
                "{name} is the secret that was called {was} before ({id}): it was renamed, or the \
                 ledger shows the wrong one"
            )),
            (Some(before), Some(was)) => Some(format!(
                "{name} is another secret than before: the one that was called {was} ({id}), where it \
                 was {}. They were renamed, or the ledger shows the wrong one",
                before.id
            )),
        }
    }

    /// Compares hosts with those of the secret, and of the secret that had the name before: a
    /// secret that is created anew without hosts would lift the binding just as well.
    fn hosts_warning(&self, observed: &Observation<'_>) -> Option<String> {
        if observed.set_by_caller != SetByCaller::Nothing {
            return None;
        }
        let now = observed.hosts?;
        let named = self
            .names
            .get(&observed.name.folded())
            .map(|named| named.id);
        let ids = [Some(observed.id), named].into_iter().flatten();
        let mut bounds = ids.filter_map(|id| self.secrets.get(&id)?.hosts.as_ref());
        let wider = |bound: &&HostBinding| bound.at < observed.index && is_wider(now, &bound.hosts);
        let before = bounds.find(wider)?;
        Some(format!(
            "{} may be sent to {} now, where it was bound to {} before (entry {})",
            observed.name,
            words(now),
            words(&before.hosts),
            before.at
        ))
    }

    /// Whether [`SecretFacts::remember`] would change a fact.
    pub(super) fn would_change(&self, observed: &Observation<'_>) -> bool {
        let secret = self.secrets.get(&observed.id).cloned().unwrap_or_default();
        updated(secret.clone(), observed) != secret || self.changes_name(observed)
    }

    fn changes_name(&self, observed: &Observation<'_>) -> bool {
        let folded = observed.name.folded();
        let Some(known) = self.names.get(&folded) else {
            return true;
        };
        let same = known.id == observed.id && known.name == *observed.name;
        let last = self.last.get(&observed.id) == Some(&folded);
        known.at <= observed.index && !(same && last)
    }

    /// Remembers an observation that was checked. Returns false when there is no room for it.
    pub(super) fn remember(&mut self, observed: &Observation<'_>) -> bool {
        let id = observed.id;
        let secret = self.secrets.get(&id).cloned().unwrap_or_default();
        let fresh = updated(secret.clone(), observed);
        let mut bytes =
            self.bytes + secret_line(&id, &fresh).len() - secret_line(&id, &secret).len();
        let named = self.changes_name(observed).then(|| NameBinding {
            name: observed.name.clone(),
            id,
            at: observed.index,
        });
        let folded = observed.name.folded();
        if let Some(named) = &named {
            let old = self
                .names
                .get(&folded)
                .map_or(0, |old| name_line(old).len());
            bytes = bytes + name_line(named).len() - old;
        }
        if bytes > MOST_BYTES && bytes > self.bytes {
            return false;
        }
        self.bytes = bytes;
        if fresh != Secret::default() {
            self.secrets.insert(id, fresh);
        }
        if let Some(named) = named {
            self.name(named);
        }
        true
    }

    fn name(&mut self, named: NameBinding) {
        let folded = named.name.folded();
        let last = self.last.get(&named.id);
        let last = last.and_then(|last| self.names.get(last));
        // A rename shows two names in one entry; the second is the new one.
        if last.is_none_or(|last| last.id != named.id || last.at <= named.at) {
            self.last.insert(named.id, folded.clone());
        }
        let id = named.id;
        if let Some(old) = self.names.insert(folded.clone(), named)
            && old.id != id
            && self.last.get(&old.id) == Some(&folded)
        {
            self.last.remove(&old.id);
        }
    }

    /// The number of names.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}

/// A secret's facts, updated by an observation. Facts from later entries stay.
fn updated(mut secret: Secret, observed: &Observation<'_>) -> Secret {
    if let Some((version, digest)) = observed.version.filter(|_| observed.current)
        && secret
            .current
            .as_ref()
            .is_none_or(|known| known.version < version)
    {
        let at = observed.index;
        secret.current = Some(CurrentVersion {
            version,
            at,
            digest,
        });
    }
    if let Some(hosts) = observed.hosts
        && secret
            .hosts
            .as_ref()
            .is_none_or(|known| known.at < observed.index && known.hosts != hosts)
    {
        let (at, hosts) = (observed.index, hosts.to_vec());
        secret.hosts = Some(HostBinding { at, hosts });
    }
    secret
}

#[cfg(test)]
mod tests;
