//! Lists and erases a workspace's objects in the vault.

use keyroll_core::command::StoredAt;
use keyroll_core::{Epoch, ObjectId, Rejection, WorkspaceName};

use super::record::{parse, subject};
use super::{Vault, random, stored, unavailable};
use crate::objects::{Erasure, ObjectInfo};

impl Vault {
    /// The objects of a workspace: all of them, or those of one id or of one generation.
    ///
    /// # Errors
    /// [`keyroll_core::Code::AuditUnavailable`].
    pub async fn list(
        &self,
        workspace: &WorkspaceName,
        object: Option<&ObjectId>,
        epoch: Option<Epoch>,
    ) -> Result<Vec<StoredAt>, Rejection> {
        let object = object.map_or_else(|| "*".to_owned(), ToString::to_string);
        let epoch = epoch.map_or_else(|| "*".to_owned(), |epoch| epoch.to_string());
        let filter = format!("keyroll.vault.{workspace}.{object}.{epoch}");
        let subjects = self.objects.list(&filter).await.map_err(unavailable)?;
        Ok(subjects
            .iter()
            .filter_map(|subject| parse(workspace, subject))
            .collect())
    }

    /// The subject and the id of each object of a workspace.
    ///
    /// # Errors
    /// [`keyroll_core::Code::AuditUnavailable`].
    pub async fn subjects(
        &self,
        workspace: &WorkspaceName,
    ) -> Result<Vec<(String, ObjectId)>, Rejection> {
        let objects = self.list(workspace, None, None).await?;
        let named = |at: StoredAt| (subject(workspace, &at.place, at.epoch), at.place);
        Ok(objects.into_iter().map(named).collect())
    }

    /// An object without its bytes; `None` when it is not there.
    ///
    /// # Errors
    /// [`keyroll_core::Code::AuditUnavailable`].
    pub async fn info(
        &self,
        workspace: &WorkspaceName,
        at: StoredAt,
    ) -> Result<Option<ObjectInfo>, Rejection> {
        let subject = subject(workspace, &at.place, at.epoch);
        self.objects.info(&subject).await.map_err(unavailable)
    }

    /// Erases an object and overwrites its bytes on disk. Returns whether there was one.
    ///
    /// # Errors
    /// [`keyroll_core::Code::AuditUnavailable`].
    pub async fn erase(&self, workspace: &WorkspaceName, at: StoredAt) -> Result<bool, Rejection> {
        let subject = subject(workspace, &at.place, at.epoch);
        self.objects.erase(&subject).await.map_err(unavailable)
    }

    /// Erases exactly this object, and none that was stored in its place since. Returns whether it
    /// was still there.
    ///
    /// # Errors
    /// [`keyroll_core::Code::AuditUnavailable`].
    pub async fn erase_exact(
        &self,
        workspace: &WorkspaceName,
        at: StoredAt,
        object: ObjectInfo,
        erasure: Erasure,
    ) -> Result<bool, Rejection> {
        let subject = subject(workspace, &at.place, at.epoch);
        let erased = self.objects.erase_exact(&subject, object, erasure).await;
        erased.map_err(unavailable)
    }

    /// Erases the object under a subject, and empties the cache. Returns whether there was one.
    ///
    /// # Errors
    /// [`keyroll_core::Code::AuditUnavailable`].
    pub async fn erase_subject(&self, subject: &str) -> Result<bool, Rejection> {
        let erased = self.objects.erase(subject).await.map_err(unavailable);
        // No cached copy may outlive the object.
        self.forget();
        erased
    }

    /// See [`crate::objects::Objects::first_from`].
    ///
    /// # Errors
    /// [`keyroll_core::Code::AuditUnavailable`].
    pub async fn first_from(&self, sequence: u64) -> Result<Option<u64>, Rejection> {
        self.objects.first_from(sequence).await.map_err(unavailable)
    }

    /// Stores meaningless bytes as a new object that nothing refers to.
    ///
    /// # Errors
    /// [`keyroll_core::Code::AuditUnavailable`].
    pub async fn store_filler(
        &self,
        workspace: &WorkspaceName,
        epoch: Epoch,
        bytes: Vec<u8>,
    ) -> Result<(), Rejection> {
        let subject = subject(workspace, &ObjectId(random()?), epoch);
        stored(self.objects.put(&subject, bytes.into()).await)
    }
}
