//! What was verified of secrets: which secret was under which name, its highest current version and
//! the hosts it may be sent to. Every fact has the index of the entry that showed it, so answers
//! that overtake each other are held against what came before them in the log, not in time.

mod text;

use std::collections::{BTreeMap, HashMap};

use keyroll_core::names::HostPattern;
use keyroll_core::{Code, Digest, Index, SecretId, SecretName, Version};

use self::text::{name_line, secret_line};
use super::hosts::{is_wider, words};
use crate::ClientError;

/// Bytes of the facts about one workspace, as a file: some 80,000 secrets. What would exceed them is
/// not remembered. Nothing is given up for it: else whoever makes names up could have a client
/// forget the real ones.
pub(super) const MOST_BYTES: usize = 16 * 1024 * 1024;

/// What an entry, or an answer made on some entries, shows of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Observation<'a> {
    /// The entry; of an answer, the last entry that it was made on.
    pub(crate) index: Index,
    /// The secret.
    pub(crate) id: SecretId,
    /// Its name then.
    pub(crate) name: &'a SecretName,
    /// A version, and SHA-256 of its sealed value.
    pub(crate) version: Option<(Version, Digest)>,
    /// Whether that version was the current one. The version that a caller asked for by number
    /// says nothing of the current one.
    pub(crate) current: bool,
    /// Hosts that it may be sent to.
    pub(crate) hosts: Option<&'a [HostPattern]>,
    /// Whether the name or the hosts were the caller's own choice, so that they surprise nobody.
    pub(crate) chosen: SetByCaller,
}

/// What the caller itself chose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetByCaller {
    Nothing,
    Hosts,
    NameAndHosts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Current {
    version: Version,
    at: Index,
    digest: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Bound {
    at: Index,
    hosts: Vec<HostPattern>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Secret {
    current: Option<Current>,
    hosts: Option<Bound>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    name: SecretName,
    id: SecretId,
    at: Index,
}

/// The facts about one workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SecretFacts {
    secrets: BTreeMap<SecretId, Secret>,
    /// By the folded name: the ledger compares names without regard to case.
    names: BTreeMap<String, Named>,
    /// The folded name that each secret had last.
    last: HashMap<SecretId, String>,
    bytes: usize,
}

impl SecretFacts {
    /// Holds against the facts what is shown: what a person should know of it.
    ///
    /// # Errors
    /// [`Code::Rollback`] for an older version than was current before, [`Code::Corrupt`] for
    /// another value under a version that is known.
    pub(super) fn check(&self, shown: &Observation<'_>) -> Result<Vec<String>, ClientError> {
        if let Some((version, digest)) = shown.version {
            self.check_value(shown, version, &digest)?;
        }
        let mut warnings = Vec::new();
        warnings.extend(self.name_warning(shown));
        warnings.extend(self.hosts_warning(shown));
        Ok(warnings)
    }

    fn current(&self, id: &SecretId) -> Option<&Current> {
        self.secrets.get(id)?.current.as_ref()
    }

    fn check_value(
        &self,
        shown: &Observation<'_>,
        version: Version,
        digest: &Digest,
    ) -> Result<(), ClientError> {
        if let Some(known) = self.current(&shown.id)
            && version == known.version
            && *digest != known.digest
        {
            let (name, at) = (shown.name, known.at);
            let message = format!(
                "entry {} names another sealed value for version {version} of {name} than before \
                 (entry {at}): one of the two was made up, and nothing is used",
                shown.index
            );
            return Err(ClientError::failed(Code::Corrupt, message));
        }
        if !shown.current {
            return Ok(());
        }
        self.check_version(&shown.id, shown.name, version, shown.index)
    }

    /// Holds against the facts a version that is said to be current after `index`.
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
        // An answer on its way may be overtaken; it still cannot know what only came later.
        let too_early = version > known.version && index <= known.at;
        if !older && !too_early {
            return Ok(());
        }
        let message = format!(
            "the ledger gives version {version} of {name} as the current one (entry {index}), but entry \
             {} showed that version {} was: one of the two was made up, and nothing is used. An owner \
             or auditor learns more from `keyroll audit verify --full`",
            known.at, known.version
        );
        Err(ClientError::failed(Code::Rollback, message))
    }

    fn name_warning(&self, shown: &Observation<'_>) -> Option<String> {
        if shown.chosen == SetByCaller::NameAndHosts {
            return None;
        }
        let (name, id) = (shown.name, shown.id);
        let folded = name.folded();
        let before = self.names.get(&folded);
        let before = before.filter(|before| before.id != id && before.at < shown.index);
        let was = self.last.get(&id).filter(|last| **last != folded);
        let was = was.and_then(|last| self.names.get(last));
        let was = was.filter(|was| was.at < shown.index).map(|was| &was.name);
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

    /// Hosts are held against those of the secret, and of the one that was under the name: who
    /// makes a secret anew without its hosts lifts them just as well.
    fn hosts_warning(&self, shown: &Observation<'_>) -> Option<String> {
        if shown.chosen != SetByCaller::Nothing {
            return None;
        }
        let now = shown.hosts?;
        let named = self.names.get(&shown.name.folded()).map(|named| named.id);
        let ids = [Some(shown.id), named].into_iter().flatten();
        let mut bounds = ids.filter_map(|id| self.secrets.get(&id)?.hosts.as_ref());
        let wider = |bound: &&Bound| bound.at < shown.index && is_wider(now, &bound.hosts);
        let before = bounds.find(wider)?;
        Some(format!(
            "{} may be sent to {} now, where it was bound to {} before (entry {})",
            shown.name,
            words(now),
            words(&before.hosts),
            before.at
        ))
    }

    /// Whether [`SecretFacts::remember`] would change anything.
    pub(super) fn would_change(&self, shown: &Observation<'_>) -> bool {
        let secret = self.secrets.get(&shown.id).cloned().unwrap_or_default();
        updated(secret.clone(), shown) != secret || self.names_it_anew(shown)
    }

    fn names_it_anew(&self, shown: &Observation<'_>) -> bool {
        let folded = shown.name.folded();
        let Some(known) = self.names.get(&folded) else {
            return true;
        };
        let same = known.id == shown.id && known.name == *shown.name;
        let last = self.last.get(&shown.id) == Some(&folded);
        known.at <= shown.index && !(same && last)
    }

    /// Remembers what is shown, which was judged before. False when there is no room for it.
    pub(super) fn remember(&mut self, shown: &Observation<'_>) -> bool {
        let id = shown.id;
        let secret = self.secrets.get(&id).cloned().unwrap_or_default();
        let fresh = updated(secret.clone(), shown);
        let mut bytes =
            self.bytes + secret_line(&id, &fresh).len() - secret_line(&id, &secret).len();
        let named = self.names_it_anew(shown).then(|| Named {
            name: shown.name.clone(),
            id,
            at: shown.index,
        });
        let folded = shown.name.folded();
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

    fn name(&mut self, named: Named) {
        let folded = named.name.folded();
        let last = self.last.get(&named.id);
        let last = last.and_then(|last| self.names.get(last));
        // Of two names in one entry, a rename's, the second is the new one.
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

    /// Number of names.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }
}

/// A secret with what is shown of it. Facts of later entries stay.
fn updated(mut secret: Secret, shown: &Observation<'_>) -> Secret {
    if let Some((version, digest)) = shown.version.filter(|_| shown.current)
        && secret
            .current
            .as_ref()
            .is_none_or(|known| known.version < version)
    {
        let at = shown.index;
        secret.current = Some(Current {
            version,
            at,
            digest,
        });
    }
    if let Some(hosts) = shown.hosts
        && secret
            .hosts
            .as_ref()
            .is_none_or(|known| known.at < shown.index && known.hosts != hosts)
    {
        let (at, hosts) = (shown.index, hosts.to_vec());
        secret.hosts = Some(Bound { at, hosts });
    }
    secret
}

#[cfg(test)]
mod tests;
