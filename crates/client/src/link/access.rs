//! Where a client's NATS user comes from, and how long it lasts.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use keyroll_core::{Code, WorkspaceName};
use keyroll_nats::creds::seconds;
use keyroll_nats::{Creds, WORKSPACE_TAG};

use super::moment::Moment;
use crate::ClientError;

/// Where the NATS user comes from.
pub(crate) enum Access {
    /// The address has user and password.
    Url,
    /// A `.creds` file, which somebody else may renew.
    File(PathBuf),
    /// The ledger issues it.
    Issued,
}

/// The share of a JWT's life after which it is renewed.
const RENEW_NUMERATOR: u32 = 4;
const RENEW_DENOMINATOR: u32 = 5;
/// A JWT counts in whole seconds, so the server may end it so much earlier.
const ROUNDING: Duration = Duration::from_secs(1);

/// Credentials, and their times by this machine's clocks.
#[derive(Clone)]
pub(crate) struct Timed {
    pub(crate) creds: Creds,
    pub(crate) renew: Option<Moment>,
    pub(crate) ends: Option<Moment>,
    /// The file that they came from. Without one the ledger issued them, and they reach only the workspaces of
    /// their tags.
    pub(crate) file: Option<Arc<Path>>,
}

/// The newest credentials of a client.
pub(crate) type Newest = Arc<Mutex<Option<Timed>>>;

impl Timed {
    /// Credentials that the ledger issued after `asked`: their life began no earlier.
    pub(crate) fn issued(creds: Creds, asked: Moment) -> Self {
        let life = creds.claims().exp.map(|end| {
            let life = Duration::from_secs(end.saturating_sub(creds.claims().iat));
            life.saturating_sub(ROUNDING)
        });
        Self::new(creds, asked, life, None)
    }

    /// Credentials that were kept: only the wall clock tells how much of their life is left.
    pub(crate) fn stored(creds: Creds) -> Self {
        let left = left(&creds);
        Self::new(creds, Moment::now(), left, None)
    }

    fn new(creds: Creds, begun: Moment, life: Option<Duration>, file: Option<Arc<Path>>) -> Self {
        Self {
            creds,
            renew: life.map(|life| begun + life / RENEW_DENOMINATOR * RENEW_NUMERATOR),
            ends: life.map(|life| begun + life),
            file,
        }
    }

    /// These, or what their file has by now: somebody else renews it.
    pub(crate) fn present(&self) -> Option<Self> {
        let now = match &self.file {
            Some(file) => read(file).ok()?,
            None => self.clone(),
        };
        let in_force = now.ends.is_none_or(|end| !end.is_past());
        in_force.then_some(now)
    }

    /// The workspaces of the tags.
    pub(crate) fn workspaces(&self) -> Vec<WorkspaceName> {
        let tags = self.creds.claims().nats.tags.iter();
        let names = tags.filter_map(|tag| tag.strip_prefix(WORKSPACE_TAG)?.strip_prefix(':'));
        names.filter_map(|name| name.parse().ok()).collect()
    }
}

fn left(creds: &Creds) -> Option<Duration> {
    let end = creds.claims().exp?;
    Some(Duration::from_secs(end.saturating_sub(seconds())))
}

/// Reads a `.creds` file.
///
/// # Errors
/// [`Code::InvalidField`] when it is none; [`Code::Unreachable`] when it has expired: whoever renews it is away.
pub(super) fn read(file: &Path) -> Result<Timed, ClientError> {
    let creds = Creds::load(file)
        .map_err(|error| ClientError::failed(Code::InvalidField, error.to_string()))?;
    if creds.is_expired() {
        let words = format!(
            "the NATS credentials in {file} have ended. Run what renews them: `keyroll dev` renews its own while it \
             runs, and `keyroll nats creds --out {file}` writes new ones when it is run without these",
            file = file.display()
        );
        return Err(ClientError::failed(Code::Unreachable, words));
    }
    let left = left(&creds);
    Ok(Timed::new(creds, Moment::now(), left, Some(file.into())))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use keyroll_nats::jwt::{self, User};
    use keyroll_nats::nkeys::KeyPair;

    use super::*;

    fn creds((from, until): (u64, u64), tags: &[&str]) -> Creds {
        let (account, user) = (KeyPair::new_account(), KeyPair::new_user());
        let key = user.public_key();
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let grants = User::scoped(&account.public_key(), tags);
        let jwt = jwt::sign(&account, (&key, &key), (from, Some(until)), grants);
        Creds::new(jwt.expect("signed"), user).expect("they fit")
    }

    /// Their times count from the question, by the length of the life: this machine's date does not matter.
    #[test]
    fn issued_credentials_are_renewed_before_they_end_whatever_the_date_is() {
        let asked = Moment::now();
        for date in [0, seconds(), seconds() * 2] {
            let timed = Timed::issued(creds((date, date + 101), &[]), asked);
            let after = |then: Option<Moment>| then.expect("a time").at - asked.at;
            assert_eq!(after(timed.ends), Duration::from_secs(100));
            assert_eq!(after(timed.renew), Duration::from_secs(80));
        }
        let short = Timed::issued(creds((7, 7), &[]), asked);
        assert!(
            short.ends.is_some_and(|end| end.is_past()),
            "a life of nothing has ended"
        );
    }

    /// The monotonic clock stands still meanwhile, and nats-server's does not.
    #[test]
    fn credentials_end_while_the_machine_sleeps() {
        let now = Moment::now();
        let before_the_sleep = Moment {
            wall: now.wall - Duration::from_secs(200),
            ..now
        };
        let timed = Timed::issued(creds((0, 101), &[]), before_the_sleep);
        assert!(timed.ends.is_some_and(|end| end.is_past()));
        assert!(timed.present().is_none(), "it is never shown to a server");
    }

    #[test]
    fn stored_credentials_last_as_long_as_the_wall_clock_says() {
        let now = seconds();
        let timed = Timed::stored(creds((now, now + 1_000), &[]));
        let left = timed.ends.expect("an end").left();
        assert!(left <= Duration::from_secs(1_000) && left > Duration::from_secs(900));
        let past = Timed::stored(creds((1, 2), &[]));
        assert!(past.ends.is_some_and(|end| end.is_past()));
    }

    #[test]
    fn a_file_that_somebody_renews_is_read_again() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.creds");
        let write = |creds: &Creds| {
            fs::write(&path, creds.render().expect("a text")).expect("written");
            fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a mode");
        };
        let now = seconds();
        let [first, second] = [100, 200].map(|life| creds((now, now + life), &[]));
        write(&first);
        let timed = read(&path).expect("credentials");
        write(&second);
        let present = timed.present().expect("in force");
        assert_eq!(present.creds.jwt(), second.jwt());
        write(&creds((1, 2), &[]));
        assert!(
            timed.present().is_none(),
            "an expired JWT is never shown to a server"
        );
    }

    #[test]
    fn only_tags_of_workspaces_are_workspaces() {
        let tags = ["ws:demo", "ws:*", "other:demo", "wsdemo", "ws:a-1", "ws:"];
        let names: Vec<String> = Timed::stored(creds((1, 2), &tags))
            .workspaces()
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(names, ["demo", "a-1"]);
    }

    #[test]
    fn an_expired_file_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a.creds");
        fs::write(&path, creds((1, 2), &[]).render().expect("a text")).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a mode");
        let expired = read(&path).err().expect("expired");
        assert_eq!(expired.code(), Code::Unreachable);
        let words = expired.to_string();
        for word in ["a.creds have ended", "`keyroll dev`", "`keyroll nats creds"] {
            assert!(words.contains(word), "{words}");
        }
        let none = read(&dir.path().join("none")).err().expect("no file");
        assert_eq!(none.code(), Code::InvalidField);
    }
}
