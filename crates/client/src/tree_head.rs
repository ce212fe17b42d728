//! Checks a reply's tree head, its size and root, against the checkpoint that this client trusts,
//! and then trusts the new one.

use keyroll_core::{Code, Digest, TreeSize, WorkspaceName};
use keyroll_merkle::{Hash, verify_consistency};
use keyroll_wire::reply::{Reply, ReplyBody};

use crate::checkpoints::TrustedCheckpoint;
use crate::{Client, ClientError};

impl Client {
    /// Checks a reply's size and root against the checkpoint that was trusted when it was
    /// requested.
    pub(crate) fn check_tree_head(
        &self,
        workspace: &WorkspaceName,
        trusted: Option<&TrustedCheckpoint>,
        reply: &Reply,
    ) -> Result<(), ClientError> {
        if let ReplyBody::Error(rejection) = &reply.body
            && reply.size == TreeSize(0)
        {
            // Most refusals are decided without the tree; these describe its contents.
            let describes_tree = matches!(
                rejection.code,
                Code::NotFound | Code::Deleted | Code::Destroyed | Code::Conflict
            );
            if trusted.is_none() || !describes_tree {
                return Ok(());
            }
        }
        // A dry run of a workspace's creation: there is no tree head yet.
        let is_answer = matches!(&reply.body, ReplyBody::Answer(_));
        if trusted.is_none() && is_answer && reply.size == TreeSize(0) {
            return Ok(());
        }
        let head = (reply.size, Hash(reply.root.0));
        self.trust(workspace, trusted, head, &reply.consistency, None)
    }

    /// Trusts and keeps a tree head if it extends the trusted one.
    pub(crate) fn trust(
        &self,
        workspace: &WorkspaceName,
        trusted: Option<&TrustedCheckpoint>,
        (size, root): (TreeSize, Hash),
        consistency: &[Digest],
        note: Option<&str>,
    ) -> Result<(), ClientError> {
        if let Some(trusted) = trusted {
            let known = trusted.size;
            if size < known {
                let message = format!(
                    "the ledger shows {size} entries of {workspace}, {known} were seen before: the log was rolled back"
                );
                return Err(ClientError::failed(Code::Rollback, message));
            }
            let proof: Vec<Hash> = consistency.iter().map(|hash| Hash(hash.0)).collect();
            let extends = verify_consistency(known.0, &trusted.root, size.0, &root, &proof);
            extends.map_err(|error| {
                let message = format!(
                    "the ledger's {size} entries of {workspace} do not extend the {known} seen before ({error}): the log was forked"
                );
                ClientError::failed(Code::Fork, message)
            })?;
        }
        let fresh = TrustedCheckpoint {
            size,
            root,
            note: note.map(str::to_owned),
        };
        let kept = self.connection.checkpoints.raise(workspace, fresh);
        if kept.map_err(|error| self.not_kept(&error))? {
            return Ok(());
        }
        let message = format!(
            "another root was seen for the same {size} entries of {workspace}: the log was forked"
        );
        Err(ClientError::failed(Code::Fork, message))
    }

    /// The error for a checkpoint that could not be kept: the only failure here that is this
    /// machine's own.
    fn not_kept(&self, error: &std::io::Error) -> ClientError {
        let directory = self.connection.checkpoints.directory();
        let directory =
            directory.map_or_else(String::new, |path| format!(" in {}", path.display()));
        let message = format!(
            "the checkpoint could not be kept{directory}: {error}; free some space there, or make it writable"
        );
        ClientError::failed(Code::Internal, message)
    }
}
