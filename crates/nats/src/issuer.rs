//! Issues the JWTs of clients, with the scoped key of their account.

use std::fmt;

use keyroll_core::WorkspaceName;
use nkeys::{KeyPair, KeyPairType};

use crate::jwt::{self, JwtError, User};

/// The key of a tag that names a workspace: the template has `{{tag(ws)}}`.
pub const WORKSPACE_TAG: &str = "ws";

/// Signs users of the clients' account by the template of a scoped key. Whoever has its seed can make client
/// users of any workspace, and nothing else.
pub struct ClientIssuer {
    account: String,
    key: KeyPair,
}

impl ClientIssuer {
    /// An issuer for an account (its public key), with the seed of a scoped key that the account names.
    ///
    /// # Errors
    /// When either is not the key of an account. The seed is not repeated.
    pub fn new(account: &str, seed: &str) -> Result<Self, JwtError> {
        jwt::public_key(account, &KeyPairType::Account)?;
        Ok(Self {
            account: account.to_owned(),
            key: jwt::key_of_seed(seed, &KeyPairType::Account)?,
        })
    }

    /// The JWT of a connection key: for these workspaces, from `now` for `lifetime` (both in seconds).
    ///
    /// A workspace's name is a tag, and has only `a-z 0-9 -`: a tag `ws:*` would reach every workspace. The key
    /// is also the user's name, which is a part of its inbox.
    ///
    /// # Errors
    /// When the connection key is not the public key of a user.
    pub fn issue(
        &self,
        connection_key: &str,
        workspaces: &[WorkspaceName],
        (now, lifetime): (u64, u64),
    ) -> Result<String, JwtError> {
        jwt::public_key(connection_key, &KeyPairType::User)?;
        let tag = |workspace: &WorkspaceName| format!("{WORKSPACE_TAG}:{workspace}");
        let user = User::scoped(&self.account, workspaces.iter().map(tag).collect());
        let about = (connection_key, connection_key);
        let until = now.saturating_add(lifetime);
        jwt::sign(&self.key, about, (now, Some(until)), user)
    }
}

impl fmt::Debug for ClientIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIssuer")
            .field("account", &self.account)
            .field("key", &self.key.public_key())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jwt::Claims;

    #[test]
    fn a_client_gets_its_workspaces_as_tags_and_no_permissions_of_its_own() {
        let (account, scoped) = (KeyPair::new_account(), KeyPair::new_account());
        let seed = scoped.seed().expect("a seed");
        let issuer = ClientIssuer::new(&account.public_key(), &seed).expect("an issuer");
        assert!(!format!("{issuer:?}").contains(&seed));
        let connection = KeyPair::new_user().public_key();
        let workspaces = ["demo", "a-1"].map(|name| name.parse().expect("a name"));
        let jwt = issuer.issue(&connection, &workspaces, (100, 3600));
        let read: Claims<User> = jwt::open(&jwt.expect("issued")).expect("opened");
        assert_eq!((read.iat, read.exp), (100, Some(3700)));
        assert_eq!((&read.name, &read.sub), (&connection, &connection));
        let wanted = ["ws:demo", "ws:a-1"].map(str::to_owned).to_vec();
        assert_eq!(read.nats, User::scoped(&account.public_key(), wanted));
        assert!(issuer.issue(&account.public_key(), &[], (0, 1)).is_err());
        assert!(ClientIssuer::new(&connection, &seed).is_err());
    }
}
