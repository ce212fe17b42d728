//! Reading sign-ins.

use keyroll_core::state::{SignIn, SignInCount};
use keyroll_core::{Identity, MemberId};

use super::rows::decode;
use super::schema::{SIGN_IN_COUNTS, SIGN_INS};
use super::{ProjectionError, WorkspaceView};

/// The member, the sign-in's key, and the sign-in.
type Known = ((MemberId, Identity), SignIn);

impl WorkspaceView<'_> {
    /// A sign-in that is remembered.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn sign_in(
        &self,
        member: &MemberId,
        key: &Identity,
    ) -> Result<Option<SignIn>, ProjectionError> {
        let sign_ins = self.tx().open_table(SIGN_INS)?;
        let row = sign_ins.get((self.number(), &member.0, &key.0))?;
        row.map(|row| decode(row.value())).transpose()
    }

    /// Sign-ins that are remembered, by member and key: all, or those of one member, and only those
    /// after `after`.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn sign_ins(
        &self,
        member: Option<MemberId>,
        after: Option<(MemberId, Identity)>,
    ) -> Result<Vec<Known>, ProjectionError> {
        let least = member.map_or([0; 32], |member| member.0);
        let most = member.map_or([0xff; 32], |member| member.0);
        let begin = after.map_or((least, [0; 32]), |(of, key)| (of.0.max(least), key.0));
        let range = (self.number(), &begin.0, &begin.1)..=(self.number(), &most, &[0xff; 32]);
        let mut all = Vec::new();
        let sign_ins = self.tx().open_table(SIGN_INS)?;
        for row in sign_ins.range::<(u32, &[u8; 32], &[u8; 32])>(range)? {
            let (key, value) = row?;
            let (_, of, key) = key.value();
            let pair = (MemberId(*of), Identity(*key));
            if after.is_none_or(|after| pair > after) {
                all.push((pair, decode(value.value())?));
            }
        }
        Ok(all)
    }

    pub(super) fn sign_in_counts(&self) -> Result<Vec<(MemberId, SignInCount)>, ProjectionError> {
        let mut all = Vec::new();
        let range = (self.number(), &[0; 32])..=(self.number(), &[0xff; 32]);
        let counts = self.tx().open_table(SIGN_IN_COUNTS)?;
        for row in counts.range::<(u32, &[u8; 32])>(range)? {
            let (key, value) = row?;
            all.push((MemberId(*key.value().1), decode(value.value())?));
        }
        Ok(all)
    }
}
