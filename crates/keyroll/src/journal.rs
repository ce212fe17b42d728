//! What an import under way has given its secrets as ids, so that the same import again recognises
//! what was created before it was cut short. It holds names and ids, never a value.

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
    /// Secrets that have their new version.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    replaced: BTreeSet<SecretName>,
}

impl Journal {
    /// The journal of an import that was cut short, or a new one. Nothing is written yet.
    pub(crate) fn open(context: &Context, session: &Session, file: &[u8]) -> Result<Self, Failure> {
        // Only who holds the identity's key can tell which file a journal is of.
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
                    "{path} is damaged: take it away, then nothing of an \
                    earlier import is recognised"
                ))
            })?,
            Err(error) if error.kind() == ErrorKind::NotFound => Ids::default(),
            Err(error) => return Err(Failure::file(&path, &error)),
        };
        Ok(Self { path, ids })
    }

    /// Gives a name its id, unless it has one that can still be used.
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

    /// Whether a secret has been given its new version.
    pub(crate) fn replaced(&self, name: &SecretName) -> bool {
        self.ids.replaced.contains(name)
    }

    /// Notes that it has.
    pub(crate) fn note_replaced(&mut self, name: SecretName) {
        self.ids.replaced.insert(name);
    }

    /// Writes it down, durably.
    pub(crate) fn save(&self) -> Result<(), Failure> {
        let bytes = serde_json::to_vec(&self.ids)
            .map_err(|error| Failure::local(format!("the journal is no JSON: {error}")))?;
        private_file::replace(&self.path, &bytes)
    }

    /// Takes it away: the import is whole.
    pub(crate) fn remove(&self) -> Result<(), Failure> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(Failure::file(&self.path, &error))
            }
            _ => Ok(()),
        }
    }
}
