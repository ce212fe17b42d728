//! Imports that wait for confirmation. Their values are in memory only, each for one session in one
//! workspace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyroll_client::ClientError;
use keyroll_core::{Digest, SecretId, WorkspaceName};
use keyroll_files::ParsedEntry;

use crate::session::token;

/// Imports at a time, a megabyte each at most.
const MAX_IMPORTS: usize = 16;
/// How long an import waits. Then its values are wiped.
const WAIT: Duration = Duration::from_secs(10 * 60);

/// A file that was read and not imported yet.
pub(crate) struct PendingImport {
    /// The session that sent it. No other session can see it.
    pub(crate) session: Digest,
    pub(crate) workspace: WorkspaceName,
    /// The secrets, with the ids that they will have. An interrupted import is recognised by them.
    pub(crate) secrets: Vec<(SecretId, ParsedEntry)>,
    pub(crate) restricted: bool,
}

/// All pending imports, under the hashes of their tokens.
#[derive(Clone, Default)]
pub(crate) struct PendingImports(Arc<Mutex<Imports>>);

#[derive(Default)]
struct Imports {
    /// Each with its number, by which the oldest is found.
    files: HashMap<Digest, (u64, Arc<PendingImport>)>,
    count: u64,
}

impl PendingImports {
    /// Keeps an import for [`WAIT`], in place of the one that its session sent before. When there
    /// are too many, the oldest is removed. Returns its token.
    pub(crate) fn add(&self, waiting: PendingImport) -> Result<String, ClientError> {
        self.add_for(WAIT, waiting)
    }

    fn add_for(&self, wait: Duration, waiting: PendingImport) -> Result<String, ClientError> {
        let (token, key) = token()?;
        self.insert(key, waiting);
        let imports = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            imports.remove_key(&key);
        });
        Ok(token)
    }

    fn insert(&self, key: Digest, waiting: PendingImport) {
        let mut imports = self.lock();
        imports
            .files
            .retain(|_, (_, other)| other.session != waiting.session);
        if imports.files.len() >= MAX_IMPORTS {
            let oldest = imports.files.iter().min_by_key(|(_, (number, _))| *number);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                imports.files.remove(&oldest);
            }
        }
        imports.count += 1;
        let number = imports.count;
        imports.files.insert(key, (number, Arc::new(waiting)));
    }

    /// The import of a token, for its own session and workspace.
    pub(crate) fn get(
        &self,
        token: &str,
        session: &Digest,
        workspace: &WorkspaceName,
    ) -> Option<Arc<PendingImport>> {
        let imports = self.lock();
        let (_, waiting) = imports.files.get(&Digest::of(token.as_bytes()))?;
        let own = waiting.session == *session && waiting.workspace == *workspace;
        own.then(|| Arc::clone(waiting))
    }

    /// Wipes an import that was carried out.
    pub(crate) fn remove(&self, token: &str) {
        self.remove_key(&Digest::of(token.as_bytes()));
    }

    /// Wipes the import of a session.
    pub(crate) fn remove_session(&self, session: &Digest) {
        self.lock()
            .files
            .retain(|_, (_, waiting)| waiting.session != *session);
    }

    fn remove_key(&self, key: &Digest) {
        self.lock().files.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Imports> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(name: &str) -> WorkspaceName {
        name.parse().expect("a name")
    }

    fn waiting(session: u8) -> PendingImport {
        PendingImport {
            session: Digest([session; 32]),
            workspace: workspace("demo"),
            secrets: Vec::new(),
            restricted: false,
        }
    }

    fn insert(imports: &PendingImports, token: &str, session: u8) {
        imports.insert(Digest::of(token.as_bytes()), waiting(session));
    }

    fn is_there(imports: &PendingImports, token: &str, session: u8) -> bool {
        let session = Digest([session; 32]);
        imports.get(token, &session, &workspace("demo")).is_some()
    }

    #[test]
    fn an_import_is_seen_by_its_own_session_and_workspace_only() {
        let imports = PendingImports::default();
        insert(&imports, "a", 1);
        assert!(is_there(&imports, "a", 1));
        assert!(!is_there(&imports, "a", 2) && !is_there(&imports, "b", 1));
        let elsewhere = imports.get("a", &Digest([1; 32]), &workspace("other"));
        assert!(elsewhere.is_none());
        insert(&imports, "b", 1);
        assert!(!is_there(&imports, "a", 1) && is_there(&imports, "b", 1));
        imports.remove_session(&Digest([1; 32]));
        assert!(!is_there(&imports, "b", 1));
    }

    #[test]
    fn above_the_bound_the_oldest_is_removed() {
        let imports = PendingImports::default();
        for session in 0..=u8::try_from(MAX_IMPORTS).expect("few") {
            insert(&imports, &session.to_string(), session);
        }
        assert_eq!(imports.lock().files.len(), MAX_IMPORTS);
        assert!(!is_there(&imports, "0", 0) && is_there(&imports, "1", 1));
    }

    #[tokio::test]
    async fn an_import_without_confirmation_is_wiped() {
        let imports = PendingImports::default();
        let token = imports.add(waiting(1)).expect("kept");
        imports.add_for(Duration::ZERO, waiting(2)).expect("kept");
        while imports.lock().files.len() > 1 {
            tokio::task::yield_now().await;
        }
        assert!(is_there(&imports, &token, 1));
    }
}
