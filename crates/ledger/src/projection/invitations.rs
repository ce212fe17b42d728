//! Reading invitations.

use keyroll_core::Identity;
use keyroll_core::state::Invitation;

use super::rows::decode;
use super::schema::INVITATIONS;
use super::{ProjectionError, WorkspaceView};

impl WorkspaceView<'_> {
    /// Invitations that nobody has joined by, by the key of the code: all, or those after `after`.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn invitations(
        &self,
        after: Option<Identity>,
    ) -> Result<Vec<(Identity, Invitation)>, ProjectionError> {
        let begin = after.map_or([0; 32], |after| after.0);
        let range = (self.number(), &begin)..=(self.number(), &[0xff; 32]);
        let mut all = Vec::new();
        let invitations = self.tx().open_table(INVITATIONS)?;
        for row in invitations.range::<(u32, &[u8; 32])>(range)? {
            let (key, value) = row?;
            let key = Identity(*key.value().1);
            if after != Some(key) {
                all.push((key, decode(value.value())?));
            }
        }
        Ok(all)
    }
}
