//! The user and password by which the servers of a cluster know each other.

use std::fmt::{self, Write as _};

use rand::TryRng as _;
use rand::rngs::SysRng;

/// Random bytes of a generated password: 128 bits, 32 hex characters.
const PASSWORD_BYTES: usize = 16;
/// A shorter password can be guessed over the network.
const PASSWORD_MIN: usize = 16;
/// bcrypt, which an operator may use instead, ignores bytes after the 72nd.
const PASSWORD_MAX: usize = 72;
/// A user's name is a token of its inbox subject. This keeps subjects short.
const USER_MAX: usize = 64;

#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    #[error(
        "the NATS user name {0:?} is invalid: use 1 to {USER_MAX} of a-z, A-Z, 0-9, '_' and '-'"
    )]
    User(String),
    #[error(
        "the password of NATS user {0} is invalid: use {PASSWORD_MIN} to {PASSWORD_MAX} of \
         a-z, A-Z, 0-9, '_' and '-'"
    )]
    Password(String),
    #[error(
        "cannot generate a password for NATS user {user}: the system's random source failed: {source}"
    )]
    Random {
        user: String,
        source: rand::rngs::SysError,
    },
}

/// A user name and password that need no quoting in a configuration, a subject or a URL.
///
/// Neither `Debug` nor `Display` shows the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    user: String,
    password: String,
}

impl Credential {
    /// # Errors
    ///
    /// When either has a character outside the set, or the wrong length.
    pub fn new(user: &str, password: &str) -> Result<Self, CredentialError> {
        if user.is_empty() || user.len() > USER_MAX || !is_plain(user) {
            return Err(CredentialError::User(user.to_owned()));
        }
        if !(PASSWORD_MIN..=PASSWORD_MAX).contains(&password.len()) || !is_plain(password) {
            return Err(CredentialError::Password(user.to_owned()));
        }
        Ok(Self {
            user: user.to_owned(),
            password: password.to_owned(),
        })
    }

    /// A credential with a random password.
    ///
    /// # Errors
    ///
    /// When the name is invalid or the operating system gives no randomness.
    pub fn generate(user: &str) -> Result<Self, CredentialError> {
        let mut random = [0_u8; PASSWORD_BYTES];
        SysRng
            .try_fill_bytes(&mut random)
            .map_err(|source| CredentialError::Random {
                user: user.to_owned(),
                source,
            })?;
        let mut password = String::with_capacity(2 * PASSWORD_BYTES);
        for byte in random {
            // Writing to a String cannot fail.
            let _ = write!(password, "{byte:02x}");
        }
        Self::new(user, &password)
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    /// The password, for a file of mode 0600.
    pub fn expose_password(&self) -> &str {
        &self.password
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "0123456789abcdef";

    #[test]
    fn generated_passwords_are_32_hex_characters_and_differ() {
        let [a, b] = ["a", "b"].map(|user| Credential::generate(user).unwrap());
        assert_eq!(a.expose_password().len(), 32);
        assert!(a.expose_password().bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(a.expose_password(), b.expose_password());
    }

    #[test]
    fn names_with_special_characters_are_refused() {
        for user in [
            "",
            "*",
            ">",
            "a.b",
            "a b",
            "a\"",
            "a\n",
            "ü",
            &"a".repeat(65),
        ] {
            assert!(Credential::new(user, GOOD).is_err(), "{user:?}");
        }
        assert!(Credential::new(&"a".repeat(64), GOOD).is_ok());
    }

    #[test]
    fn passwords_that_are_short_or_need_quoting_are_refused_and_not_repeated() {
        for password in [
            "short",
            "0123456789abcde\"",
            "$2a$0123456789abcdef",
            "0123456789 abcdef",
        ] {
            let error = Credential::new("a", password).unwrap_err().to_string();
            assert!(!error.contains(password), "{error}");
        }
    }

    #[test]
    fn debug_hides_the_password() {
        let credential = Credential::new("alice", GOOD).unwrap();
        assert!(!format!("{credential:?}").contains(GOOD));
    }
}
