//! The journal of an import: the ids that it gave its secrets. After an interruption, another run of the same
//! import recognises the secrets that exist already. The journal holds names and ids, never a value.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use keyroll_client::new_secret_id;
use keyroll_core::{SecretId, SecretName};
use serde::{Deserialize, Serialize};

use crate::context::Context;
use crate::error::Failure;
use crate::private_file;
use crate::session::Session;

/// The journal of one file's import into one workspace by one identity.
pub(crate) struct Journal {
    path: PathBuf,
    ids: Ids,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ids {
    ids: BTreeMap<SecretName, SecretId>,
    /// Secrets that got their new version.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    replaced: BTreeSet<SecretName>,
}

impl Journal {
    /// Opens the journal of an interrupted import, or makes a new one in memory.
    pub(crate) fn open(context: &Context, session: &Session, file: &[u8]) -> Result<Self, Failure> {
        // Only the holder of the identity's key can tell which file a journal belongs to.
        let mark = session
            .client
            .mark("import", &[session.workspace.as_str().as_bytes(), file]);
        let home = context.settings()?.home.value;
        let name = format!("{}.json", &mark.to_string()[..32]);
        let path = home.join("imports").join(name);
        let ids = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| {
                let path = path.display();
                Failure::local(format!(
                    "{path} is damaged. Delete it; keyroll then no longer recognises the secrets of the \
                     interrupted import"
                ))
            })?,
            Err(error) if error.kind() == ErrorKind::NotFound => Ids::default(),
            Err(error) => return Err(Failure::file(&path, &error)),
        };
        Ok(Self { path, ids })
    }

    /// Gives a name an id, unless it has one that can still be used.
    pub(crate) fn assign(
        &mut self,
        name: &SecretName,
        spent: impl Fn(&SecretId) -> bool,
    ) -> Result<(), Failure> {
        if self.id(name).is_none_or(|id| spent(&id)) {
            self.ids.ids.insert(name.clone(), new_secret_id()?);
        }
        Ok(())
    }

    /// The id of a name.
    pub(crate) fn id(&self, name: &SecretName) -> Option<SecretId> {
        self.ids.ids.get(name).copied()
    }

    /// Whether a secret got its new version.
    pub(crate) fn replaced(&self, name: &SecretName) -> bool {
        self.ids.replaced.contains(name)
    }

    /// Records that a secret got its new version.
    pub(crate) fn note_replaced(&mut self, name: SecretName) {
        self.ids.replaced.insert(name);
    }

    /// Writes the journal durably.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(&self.ids)
            .map_err(|error| Failure::local(format!("the journal is no JSON: {error}")))?;
        private_file::replace(&self.path, &bytes)
    }

    /// Deletes the journal of a complete import.
    pub(crate) fn remove(&self) -> Result<(), Failure> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Failure::file(&self.path, &error))
            }
            _ => Ok(()),
        }
    }
}
