//! Issued credentials in the home, so that the next command need not ask for new ones.

use std::path::{Path, PathBuf};

use keyroll_core::LedgerId;
use keyroll_nats::Creds;

use crate::private_files;

/// The largest file: the largest JWT, and a seed.
const MOST: u64 = 128 * 1024;

/// The file of one ledger's credentials. Two processes may write it at once: each writes a whole file, and
/// goes on with what it has itself.
pub(crate) struct CredentialStore {
    path: PathBuf,
}

impl CredentialStore {
    /// `home/credentials/<ledger>.creds`.
    pub(crate) fn in_home(home: &Path, ledger: &LedgerId) -> Self {
        let name = ledger.to_string().replace(':', "-");
        Self {
            path: home.join("credentials").join(format!("{name}.creds")),
        }
    }

    /// The stored credentials, even expired ones: their key is used again. A file that is damaged or cannot
    /// be read counts as none, since new ones cost little.
    pub(crate) fn load(&self) -> Option<Creds> {
        let bytes = private_files::read(&self.path, MOST).ok()??;
        let text = String::from_utf8(bytes).ok()?;
        Creds::parse(&text, "the stored credentials").ok()
    }

    /// Keeps credentials, if the home can be written to.
    pub(crate) fn save(&self, creds: &Creds) {
        if let Ok(text) = creds.render() {
            let _ = private_files::replace(&self.path, text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use keyroll_nats::jwt::{self, User};
    use keyroll_nats::nkeys::KeyPair;

    use super::*;

    fn made() -> Creds {
        let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
        let key = user.public_key();
        let jwt = jwt::sign(&account, (&key, &key), (1, Some(2)), User::unrestricted());
        Creds::new(jwt.expect("signed"), user).expect("they fit")
    }

    #[test]
    fn credentials_are_kept_for_their_owner_alone_even_expired_ones() {
        let home = tempfile::tempdir().expect("a directory");
        let store = CredentialStore::in_home(home.path(), &LedgerId([7; 32]));
        assert!(store.load().is_none());
        let creds = made();
        store.save(&creds);
        let kept = store.load().expect("kept");
        assert_eq!(
            (kept.jwt(), kept.public_key()),
            (creds.jwt(), creds.public_key())
        );
        let mode = fs::metadata(&store.path)
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = CredentialStore::in_home(home.path(), &LedgerId([8; 32]));
        assert!(other.load().is_none(), "another ledger's");
    }

    #[test]
    fn a_damaged_file_and_a_home_that_cannot_be_written_to_are_no_error() {
        let home = tempfile::tempdir().expect("a directory");
        let store = CredentialStore::in_home(home.path(), &LedgerId([7; 32]));
        fs::create_dir(home.path().join("credentials")).expect("made");
        fs::write(&store.path, "half a file").expect("written");
        assert!(store.load().is_none());
        let file = home.path().join("file");
        fs::write(&file, "").expect("written");
        fs::set_permissions(&file, Permissions::from_mode(0o400)).expect("a mode");
        let nowhere = CredentialStore::in_home(&file, &LedgerId([7; 32]));
        nowhere.save(&made());
        assert!(nowhere.load().is_none());
    }
}
