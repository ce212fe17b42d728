//! The blocks that reference a secret's name, in saved workflows.

use super::schema::USES;
use super::{ProjectionError, WorkspaceView};

/// Uses shown of one secret at most: a list of many secrets has to fit one reply.
pub const USES_SHOWN: usize = 100;

impl WorkspaceView<'_> {
    /// Workflows and blocks that reference a name, in their order, the first [`USES_SHOWN`].
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn uses(&self, name: &str) -> Result<Vec<(String, String)>, ProjectionError> {
        let mut found = Vec::new();
        let uses = self.tx().open_table(USES)?;
        let from = (self.number(), name, "", "");
        for row in uses.range::<(u32, &str, &str, &str)>(from..)? {
            let (key, _) = row?;
            let (number, secret, workflow, block) = key.value();
            if (number, secret) != (self.number(), name) || found.len() >= USES_SHOWN {
                break;
            }
            found.push((workflow.to_owned(), block.to_owned()));
        }
        Ok(found)
    }
}
