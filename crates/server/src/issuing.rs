//! Makes the NATS credentials that the ledger issues, with the seed of a scoped key.

use std::ops::RangeInclusive;
use std::sync::Arc;

use keyroll_core::{Code, Millis, Rejection};
use keyroll_ledger::CredentialIssuer;
use keyroll_nats::{ClientIssuer, connection_key};
use keyroll_wire::reply::IssuedCredential;

/// How long credentials last, in seconds: an hour, unless the service's settings shorten it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CredentialLifetime(u64);

/// Shorter ones would end before they are renewed. Longer ones would let a removed member hear notices.
const SECONDS: RangeInclusive<u64> = 5..=3_600;
/// Every life is shortened by up to a tenth, at random: clients that came at once are spread over the hour.
const SPREAD: u64 = 10;

impl Default for CredentialLifetime {
    fn default() -> Self {
        Self(*SECONDS.end())
    }
}

impl CredentialLifetime {
    /// A lifetime of so many seconds.
    ///
    /// # Errors
    /// When it is too short or too long.
    pub fn new(seconds: u64) -> Result<Self, String> {
        if SECONDS.contains(&seconds) {
            return Ok(Self(seconds));
        }
        let (least, most) = (SECONDS.start(), SECONDS.end());
        Err(format!(
            "NATS credentials last {least} to {most} seconds, not {seconds}"
        ))
    }

    fn spread(self, random: u64) -> u64 {
        self.0 - random % (self.0 / SPREAD + 1)
    }
}

/// What the ledger issues credentials with.
pub(crate) fn issuer(clients: ClientIssuer, lifetime: CredentialLifetime) -> CredentialIssuer {
    Arc::new(move |connection, workspaces, now| {
        // Round up: credentials must last a while by the nats-server's clock, whose second may have begun.
        let (from, life) = (now.0.div_ceil(1_000), lifetime.spread(rand::random()));
        let key = connection_key::text(&connection);
        let jwt = clients.issue(&key, workspaces, (from, life));
        let jwt = jwt.map_err(|error| {
            let words = format!("the NATS credentials cannot be made: {error}");
            Rejection::new(Code::Internal, words)
        })?;
        Ok(IssuedCredential {
            jwt,
            not_after: Millis((from + life) * 1_000),
        })
    })
}

#[cfg(test)]
mod tests {
    use keyroll_core::{ConnectionKey, WorkspaceName};
    use keyroll_nats::jwt::{self, Claims, User};
    use keyroll_nats::nkeys::KeyPair;

    use super::*;

    #[test]
    fn a_life_is_54_to_60_minutes_or_as_short_as_set() {
        let hour = CredentialLifetime::default();
        let lives: Vec<u64> = (0..10_000).map(|random| hour.spread(random)).collect();
        assert_eq!(lives.iter().min(), Some(&3_240));
        assert_eq!(lives.iter().max(), Some(&3_600));
        let short = CredentialLifetime::new(5).expect("allowed");
        assert!((0..100).all(|random| short.spread(random) == 5));
        for refused in [0, 4, 3_601] {
            assert!(CredentialLifetime::new(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn credentials_are_for_the_connection_key_and_its_workspaces() {
        let (account, scoped, user) = (
            KeyPair::new_account(),
            KeyPair::new_account(),
            KeyPair::new_user(),
        );
        let seed = scoped.seed().expect("a seed");
        let clients = ClientIssuer::new(&account.public_key(), &seed).expect("an issuer");
        let issue = issuer(clients, CredentialLifetime::new(60).expect("allowed"));
        let key: ConnectionKey = connection_key::of(&user).expect("a key");
        let names: [WorkspaceName; 1] = ["demo".parse().expect("a name")];
        let issued = issue(key, &names, Millis(1_500)).expect("issued");
        let claims: Claims<User> = jwt::open(&issued.jwt).expect("signed");
        assert_eq!(claims.sub, user.public_key());
        assert_eq!(claims.nats.tags, ["ws:demo"]);
        assert_eq!(claims.iat, 2);
        assert_eq!(claims.exp.map(|end| end * 1_000), Some(issued.not_after.0));
    }
}
