//! Where a client's NATS user comes from, and how long it lasts.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use keyroll_core::{Code, WorkspaceName};
use keyroll_nats::creds::seconds;
use keyroll_nats::{Creds, WORKSPACE_TAG};

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

/// Credentials, and their times by this machine's monotonic clock.
#[derive(Clone)]
pub(crate) struct Timed {
    pub(crate) creds: Creds,
    pub(crate) renew: Option<Instant>,
    pub(crate) ends: Option<Instant>,
    /// Whether they reach only the workspaces of their tags.
    pub(crate) issued: bool,
}

/// The newest credentials of a client.
pub(crate) type Newest = Arc<Mutex<Option<Timed>>>;

impl Timed {
    /// Credentials that the ledger issued after `asked`: their life began no earlier.
    pub(crate) fn issued(creds: Creds, asked: Instant) -> Self {
        let life = creds.claims().exp.map(|end| {
            let life = Duration::from_secs(end.saturating_sub(creds.claims().iat));
            life.saturating_sub(ROUNDING)
        });
        Self::new(creds, asked, life, true)
    }

    /// Credentials that were kept: only the wall clock tells how much of their life is left.
    pub(crate) fn stored(creds: Creds) -> Self {
        let left = left(&creds);
        Self::new(creds, Instant::now(), left, true)
    }

    fn new(creds: Creds, begun: Instant, life: Option<Duration>, issued: bool) -> Self {
        Self {
            creds,
            renew: life.map(|life| begun + life * RENEW_NUMERATOR / RENEW_DENOMINATOR),
            ends: life.map(|life| begun + life),
            issued,
        }
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
/// [`Code::InvalidField`] when it is none; [`Code::Denied`] when it has expired.
pub(super) fn read(file: &Path) -> Result<Timed, ClientError> {
    let creds = Creds::load(file)
        .map_err(|error| ClientError::failed(Code::InvalidField, error.to_string()))?;
    if creds.is_expired() {
        let words = format!(
            "the NATS credentials in {} have expired: get new ones",
            file.display()
        );
        return Err(ClientError::failed(Code::Denied, words));
    }
    let left = left(&creds);
    Ok(Timed::new(creds, Instant::now(), left, false))
}
