//! Files that wait for a yes: read, their values in memory only, for one session in one workspace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keyroll_client::ClientError;
use keyroll_core::{Digest, SecretId, WorkspaceName};
use keyroll_files::ParsedEntry;

use crate::session::token;

/// Files at a time, a megabyte each at most.
const MOST: usize = 16;
/// How long a file waits. Then its values are wiped, whether anybody comes or not.
const WAIT: Duration = Duration::from_secs(10 * 60);

/// A file as it was read.
pub(crate) struct Waiting {
    /// The session that sent it; to any other it does not exist.
    pub(crate) session: Digest,
    pub(crate) workspace: WorkspaceName,
    /// What was found, under the ids that it will have: what was cut short is recognised by them.
    pub(crate) secrets: Vec<(SecretId, ParsedEntry)>,
    pub(crate) restricted: bool,
}

/// All that wait, under the hashes of their tokens, in the order in which they came.
#[derive(Clone, Default)]
pub(crate) struct Imports(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    files: HashMap<Digest, (u64, Arc<Waiting>)>,
    came: u64,
}

impl Imports {
    /// Keeps a file for a while, instead of the one that its session sent before. When there are
    /// too many, the oldest goes.
    pub(crate) fn keep(&self, waiting: Waiting) -> Result<String, ClientError> {
        self.keep_for(WAIT, waiting)
    }

    fn keep_for(&self, wait: Duration, waiting: Waiting) -> Result<String, ClientError> {
        let (token, key) = token()?;
        self.insert(key, waiting);
        let imports = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            imports.forget(&key);
        });
        Ok(token)
    }

    fn insert(&self, key: Digest, waiting: Waiting) {
        let mut kept = self.lock();
        kept.files
            .retain(|_, (_, other)| other.session != waiting.session);
        if kept.files.len() >= MOST {
            let oldest = kept.files.iter().min_by_key(|(_, (came, _))| *came);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                kept.files.remove(&oldest);
            }
        }
        kept.came += 1;
        let came = kept.came;
        kept.files.insert(key, (came, Arc::new(waiting)));
    }

    /// The file of a token, for its own session and workspace.
    pub(crate) fn get(
        &self,
        token: &str,
        session: &Digest,
        workspace: &WorkspaceName,
    ) -> Option<Arc<Waiting>> {
        let kept = self.lock();
        let (_, waiting) = kept.files.get(&Digest::of(token.as_bytes()))?;
        let own = waiting.session == *session && waiting.workspace == *workspace;
        own.then(|| Arc::clone(waiting))
    }

    /// Wipes what was imported.
    pub(crate) fn done(&self, token: &str) {
        self.forget(&Digest::of(token.as_bytes()));
    }

    /// Wipes what a session leaves behind.
    pub(crate) fn end(&self, session: &Digest) {
        self.lock()
            .files
            .retain(|_, (_, waiting)| waiting.session != *session);
    }

    fn forget(&self, key: &Digest) {
        self.lock().files.remove(key);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace(name: &str) -> WorkspaceName {
        name.parse().expect("a name")
    }

    fn waiting(session: u8) -> Waiting {
        Waiting {
            session: Digest([session; 32]),
            workspace: workspace("demo"),
            secrets: Vec::new(),
            restricted: false,
        }
    }

    fn insert(imports: &Imports, token: &str, session: u8) {
        imports.insert(Digest::of(token.as_bytes()), waiting(session));
    }

    fn is_there(imports: &Imports, token: &str, session: u8) -> bool {
        let session = Digest([session; 32]);
        imports.get(token, &session, &workspace("demo")).is_some()
    }

    #[test]
    fn a_file_waits_for_its_own_session_and_workspace_alone() {
        let imports = Imports::default();
        insert(&imports, "a", 1);
        assert!(is_there(&imports, "a", 1));
        assert!(!is_there(&imports, "a", 2) && !is_there(&imports, "b", 1));
        let elsewhere = imports.get("a", &Digest([1; 32]), &workspace("other"));
        assert!(elsewhere.is_none());
        insert(&imports, "b", 1);
        assert!(!is_there(&imports, "a", 1) && is_there(&imports, "b", 1));
        imports.end(&Digest([1; 32]));
        assert!(!is_there(&imports, "b", 1));
    }

    #[test]
    fn no_more_wait_than_the_bound_and_the_oldest_goes() {
        let imports = Imports::default();
        for session in 0..=u8::try_from(MOST).expect("few") {
            insert(&imports, &session.to_string(), session);
        }
        assert_eq!(imports.lock().files.len(), MOST);
        assert!(!is_there(&imports, "0", 0) && is_there(&imports, "1", 1));
    }

    #[tokio::test]
    async fn what_nobody_confirms_is_wiped_in_time() {
        let imports = Imports::default();
        let token = imports.keep(waiting(1)).expect("kept");
        imports.keep_for(Duration::ZERO, waiting(2)).expect("kept");
        while imports.lock().files.len() > 1 {
            tokio::task::yield_now().await;
        }
        assert!(is_there(&imports, &token, 1));
    }
}
