//! `.creds` files: a user's JWT and the seed of its key, in the form that all NATS clients read.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use async_nats::{Auth, AuthError, ConnectOptions};
use nkeys::{KeyPair, KeyPairType};

use crate::jwt::{self, Claims, JwtError, User};

/// The largest file that is read: the largest JWT, and a seed.
const FILE_MAX: u64 = 128 * 1024;

const JWT_BEGIN: &str = "-----BEGIN NATS USER JWT-----";
const JWT_END: &str = "------END NATS USER JWT------";
const SEED_BEGIN: &str = "-----BEGIN USER NKEY SEED-----";
const SEED_END: &str = "------END USER NKEY SEED------";
const NOTE: &str = "************************* IMPORTANT *************************
NKEY Seed printed below can be used to sign and prove identity.
NKEYs are sensitive and should be treated as secrets.
";
const LINE: &str = "*************************************************************";

/// Why credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredsError {
    /// The file cannot be read.
    #[error("cannot read the NATS credentials in {path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read the file.
    #[error(
        "other users can read {path} (mode {mode:04o}), so keyroll does not use it. If nobody has read it, run \
         `chmod 600 {path}`",
        path = path.display()
    )]
    Open {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// The text is no `.creds` file.
    #[error("{what} holds no NATS credentials: {why}")]
    Form {
        /// The file, or where else the text came from.
        what: String,
        /// Why.
        why: String,
    },
    /// The credentials are no longer in force.
    #[error("the NATS credentials in {what} have expired. Get new ones")]
    Expired {
        /// The file, or where else they came from.
        what: String,
    },
}

/// A user's JWT and key. `Debug` shows neither.
#[derive(Clone)]
pub struct Creds {
    jwt: String,
    claims: Claims<User>,
    key: Arc<KeyPair>,
}

impl Creds {
    /// Credentials of a JWT and the key that it is about.
    ///
    /// # Errors
    /// When they do not belong together.
    pub fn new(jwt: String, key: KeyPair) -> Result<Self, JwtError> {
        let claims: Claims<User> = jwt::open(&jwt)?;
        if claims.sub != key.public_key() {
            return Err(JwtError::Key("the JWT is about another key".to_owned()));
        }
        Ok(Self {
            jwt,
            claims,
            key: Arc::new(key),
        })
    }

    /// Reads the text of a `.creds` file. `what` names it in errors, which never repeat the seed.
    ///
    /// # Errors
    /// [`CredsError::Form`].
    pub fn parse(text: &str, what: &str) -> Result<Self, CredsError> {
        let form = |why: String| CredsError::Form {
            what: what.to_owned(),
            why,
        };
        // The line after the one with `begin`. The lines around differ between tools in their dashes.
        let after = |begin: &str| {
            let (_, rest) = text.split_once(begin)?;
            rest.lines()
                .skip(1)
                .map(str::trim)
                .find(|line| !line.is_empty())
        };
        let jwt = after(&JWT_BEGIN[..JWT_BEGIN.len() - 5])
            .ok_or_else(|| form("it has no user JWT".to_owned()))?;
        let seed = after(&SEED_BEGIN[..SEED_BEGIN.len() - 5])
            .ok_or_else(|| form("it has no seed of a user".to_owned()))?;
        let (jwt, key) = (jwt.to_owned(), jwt::key_of_seed(seed, &KeyPairType::User));
        let made = key.and_then(|key| Self::new(jwt, key));
        made.map_err(|error| form(error.to_string()))
    }

    /// Reads a `.creds` file that only its owner may read.
    ///
    /// # Errors
    /// [`CredsError`].
    pub fn load(path: &Path) -> Result<Self, CredsError> {
        let failed = |source| CredsError::File {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(CredsError::Open {
                path: path.to_owned(),
                mode,
            });
        }
        let mut text = String::new();
        file.take(FILE_MAX)
            .read_to_string(&mut text)
            .map_err(failed)?;
        Self::parse(&text, &path.display().to_string())
    }

    /// The text of a `.creds` file, for one of mode 0600.
    ///
    /// # Errors
    /// Never: the key has a seed.
    pub fn render(&self) -> Result<String, JwtError> {
        let seed = self.key.seed();
        let seed = seed.map_err(|error| JwtError::Key(error.to_string()))?;
        let jwt = &self.jwt;
        Ok(format!(
            "{JWT_BEGIN}\n{jwt}\n{JWT_END}\n\n{NOTE}\n{SEED_BEGIN}\n{seed}\n{SEED_END}\n\n{LINE}\n"
        ))
    }

    /// The user's name, which is also the last part of its inbox prefix.
    pub fn name(&self) -> &str {
        &self.claims.name
    }

    /// The public key of the user.
    pub fn public_key(&self) -> &str {
        &self.claims.sub
    }

    /// The user's key.
    pub fn key(&self) -> &KeyPair {
        &self.key
    }

    /// What the JWT says.
    pub fn claims(&self) -> &Claims<User> {
        &self.claims
    }

    /// The JWT.
    pub fn jwt(&self) -> &str {
        &self.jwt
    }

    /// Whether the JWT has ended.
    pub fn is_expired(&self) -> bool {
        self.claims.exp.is_some_and(|end| end <= seconds())
    }

    /// What the server wants to see: the JWT, and its nonce signed by the user's key.
    ///
    /// # Errors
    /// Never: the key has a seed.
    pub fn answer(&self, nonce: &[u8]) -> Result<Auth, AuthError> {
        let mut auth = Auth::new();
        auth.signature = Some(self.key.sign(nonce).map_err(AuthError::new)?);
        auth.jwt = Some(self.jwt.clone());
        Ok(auth)
    }

    /// Options that connect with these credentials.
    pub fn connect_options(&self) -> ConnectOptions {
        let creds = self.clone();
        ConnectOptions::with_auth_callback(move |nonce| {
            let answer = creds.answer(&nonce);
            async move { answer }
        })
    }
}

impl fmt::Debug for Creds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Creds")
            .field("name", &self.claims.name)
            .field("key", &self.claims.sub)
            .finish_non_exhaustive()
    }
}

/// Options that read a `.creds` file at every attempt to connect: somebody else renews it.
///
/// # Errors
/// When the file cannot be used now.
pub fn connect_options(path: &Path) -> Result<ConnectOptions, CredsError> {
    let now = Creds::load(path)?;
    if now.is_expired() {
        let what = path.display().to_string();
        return Err(CredsError::Expired { what });
    }
    let path = path.to_owned();
    Ok(ConnectOptions::with_auth_callback(move |nonce| {
        let answer = Creds::load(&path)
            .map_err(AuthError::new)
            .and_then(|creds| creds.answer(&nonce));
        async move { answer }
    }))
}

/// Seconds since 1970.
pub fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};

    use super::*;

    fn made(exp: Option<u64>) -> Creds {
        let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
        let about = (&*user.public_key(), "alice");
        let jwt = jwt::sign(&account, about, (7, exp), User::unrestricted()).expect("signed");
        Creds::new(jwt, user).expect("credentials")
    }

    #[test]
    fn a_file_gives_what_was_put_into_it() {
        let creds = made(None);
        let text = creds.render().expect("a text");
        let read = Creds::parse(&text, "here").expect("read");
        assert_eq!(
            (read.name(), read.jwt(), read.public_key()),
            ("alice", creds.jwt(), creds.public_key())
        );
        // As nsc writes them: five dashes at the end of each line.
        let other = text.replace("------", "-----");
        assert_eq!(
            Creds::parse(&other, "here").expect("read").jwt(),
            creds.jwt()
        );
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.creds");
        fs::write(&path, made(None).render().expect("a text")).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o640)).expect("a mode");
        let refused = Creds::load(&path).expect_err("open to others");
        assert!(refused.to_string().contains("mode 0640"), "{refused}");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a mode");
        assert_eq!(Creds::load(&path).expect("read").name(), "alice");
    }

    #[test]
    fn a_jwt_and_a_seed_that_do_not_belong_together_are_refused_without_the_seed() {
        let text = made(None).render().expect("a text");
        let (other, seed) = (KeyPair::new_user(), KeyPair::new_user().seed());
        let seed = seed.expect("a seed");
        let begin = text.find("SU").expect("a seed");
        let mixed = text.replace(&text[begin..begin + 58], &seed);
        let refused = Creds::parse(&mixed, "here").expect_err("mixed");
        assert!(!refused.to_string().contains(&seed), "{refused}");
        let jwt = made(None).jwt().to_owned();
        assert!(Creds::new(jwt, other).is_err());
        assert!(Creds::parse("", "here").is_err());
    }

    #[test]
    fn expired_credentials_are_not_used() {
        assert!(made(Some(seconds() - 1)).is_expired());
        assert!(!made(Some(seconds() + 60)).is_expired());
        assert!(!format!("{:?}", made(None)).contains("eyJ"));
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.creds");
        fs::write(&path, made(Some(1)).render().expect("a text")).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a mode");
        let refused = connect_options(&path).expect_err("expired");
        assert!(matches!(refused, CredsError::Expired { .. }), "{refused}");
    }
}
