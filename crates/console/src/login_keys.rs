//! Keys for people who sign in from a command line. The console stores none of them: it derives each
//! again from the state that the caller sends back, so that nobody can use up other people's keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use hkdf::Hkdf;
use keyroll_client::{ClientError, public, random};
use keyroll_core::{Identity, Millis};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::expiring_map::ExpiringMap;
use crate::session::LINK_MS;

/// The state from which a key is derived: its expiry, and 16 random bytes.
type KeyState = [u8; 8 + 16];

/// Derives keys for people who are about to sign in.
pub(crate) struct LoginKeys {
    secret: Zeroizing<[u8; 32]>,
    /// Keys that opened a link. Each does so once.
    used: ExpiringMap<Identity, ()>,
}

impl LoginKeys {
    pub(crate) fn new() -> Result<Self, ClientError> {
        Ok(Self {
            secret: Zeroizing::new(random()?),
            used: ExpiringMap::default(),
        })
    }

    fn derive(&self, state: &KeyState) -> SigningKey {
        let mut seed = Zeroizing::new([0; 32]);
        let info = [b"keyroll/console-login/v1".as_slice(), state].concat();
        // HKDF's only error is an output of more than 8,160 bytes.
        let expanded = Hkdf::<Sha256>::new(None, &*self.secret).expand(&info, &mut *seed);
        debug_assert!(expanded.is_ok());
        SigningKey::from_bytes(&seed)
    }

    /// A fresh key, valid for as long as a link, and its state.
    pub(crate) fn generate(&self, now: Millis) -> Result<(Identity, String), ClientError> {
        let until = now.0.saturating_add(LINK_MS).to_be_bytes();
        let mut state = KeyState::default();
        let (first, rest) = state.split_at_mut(until.len());
        first.copy_from_slice(&until);
        rest.copy_from_slice(&random::<16>()?);
        Ok((public(&self.derive(&state)), URL_SAFE_NO_PAD.encode(state)))
    }

    /// The secret key of a public key that this console made with a state, and its expiry. Nothing
    /// when the key has expired or was used.
    pub(crate) fn find(
        &self,
        key: &Identity,
        state: &str,
        now: Millis,
    ) -> Option<(SigningKey, Millis)> {
        let state: KeyState = URL_SAFE_NO_PAD.decode(state).ok()?.try_into().ok()?;
        let until = Millis(u64::from_be_bytes(*state.first_chunk()?));
        let secret = self.derive(&state);
        let valid = now < until && public(&secret) == *key && !self.used.contains(key, now);
        valid.then_some((secret, until))
    }

    /// Marks a key as used. Returns whether it was unused.
    pub(crate) fn use_once(&self, key: Identity, until: Millis, now: Millis) -> bool {
        self.used.insert_new(key, until, (), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_000_000);

    #[test]
    fn a_key_is_derived_from_its_state_while_a_link_is_valid() {
        let keys = LoginKeys::new().expect("randomness");
        let (key, state) = keys.generate(NOW).expect("randomness");
        // Other keys do not matter, however many there are.
        let others: Vec<_> = (0..2_000)
            .map(|_| keys.generate(NOW).expect("made"))
            .collect();
        let end = Millis(NOW.0 + LINK_MS);
        let found = |key, state: &str, now| {
            let found = keys.find(key, state, now);
            found.map(|(secret, until)| (public(&secret), until))
        };
        assert_eq!(found(&key, &state, NOW), Some((key, end)));
        assert_eq!(found(&key, &state, Millis(end.0 - 1)), Some((key, end)));
        assert_eq!(found(&key, &state, end), None);
        let (other, of_other) = &others[0];
        assert_eq!(found(&key, of_other, NOW), None);
        assert_eq!(found(other, &state, NOW), None);
        // Another expiry gives another key.
        let mut later = URL_SAFE_NO_PAD.decode(&state).expect("base64");
        later[7] ^= 1;
        assert_eq!(found(&key, &URL_SAFE_NO_PAD.encode(&later), NOW), None);
        for bad in ["", "a", "!", &state[1..]] {
            assert_eq!(found(&key, bad, NOW), None, "{bad:?}");
        }
        let elsewhere = LoginKeys::new().expect("randomness");
        assert!(elsewhere.find(&key, &state, NOW).is_none());
        assert!(keys.use_once(key, end, NOW));
        assert!(!keys.use_once(key, end, NOW));
        assert_eq!(found(&key, &state, NOW), None, "once");
    }
}
