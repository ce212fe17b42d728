//! The disks under the streams: how full they are, as far as that can be seen from here, and what a
//! stream said that could not write to its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use keyroll_ledger::Ledger;
use keyroll_store::WriteFailure;
use keyroll_store::log::JetStreamLog;
use keyroll_store::objects::JetStreamObjects;
use tokio::sync::watch;

use crate::nats::{LedgerStream, Store, is_local, store};

/// How often to look how full they are.
const EVERY: Duration = Duration::from_secs(10);
/// From how many percent on a store or disk is nearly full.
const NEARLY_FULL: u64 = 85;
/// Accounts of a nats-server whose streams are looked for.
const ACCOUNTS: usize = 64;

/// The stores of the nats-servers, as they were last seen.
#[derive(Clone, Default)]
pub(crate) struct Stores(Arc<Mutex<Vec<Store>>>);

impl Stores {
    /// Where a server keeps its streams, in words.
    fn disk_of(&self, server: &str) -> String {
        let stores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match stores.iter().find(|store| store.server_name == server) {
            Some(store) => format!("the disk under {} of nats-server {server}", store.directory),
            None => format!("the disk under the store_dir of nats-server {server}"),
        }
    }

    /// Looks how full they are until the service stops, and warns before they are.
    pub(crate) async fn watch(
        self,
        monitoring: Vec<String>,
        ledger: Arc<Ledger>,
        mut stopped: watch::Receiver<bool>,
    ) {
        loop {
            let looks = join_all(monitoring.iter().map(|url| store(url))).await;
            let seen: Vec<Store> = looks.iter().flatten().cloned().collect();
            let mut warnings: Vec<String> = seen.iter().filter_map(nearly_used).collect();
            let local = monitoring.iter().zip(&looks);
            let local = local.filter(|(url, look)| is_local(url) && look.is_ok());
            for store in local.filter_map(|(_, look)| look.as_ref().ok()) {
                warnings.extend(nearly_full(Path::new(&store.directory)));
            }
            if !seen.is_empty() {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
            }
            ledger.health().set_warnings(warnings);
            let waited = tokio::time::timeout(EVERY, stopped.wait_for(|stopped| *stopped)).await;
            if waited.is_ok() {
                return;
            }
        }
    }
}

/// Percent, rounded down; 100 of nothing.
const fn percent(used: u64, of: u64) -> u64 {
    match used.saturating_mul(100).checked_div(of) {
        Some(percent) => percent,
        None => 100,
    }
}

fn nearly_used(store: &Store) -> Option<String> {
    let used = percent(store.used, store.most);
    (used >= NEARLY_FULL).then(|| {
        format!(
            "JetStream on nats-server {} has used {used} % of its {} bytes under {}: raise \
             max_file_store or make room before it is full",
            store.server_name, store.most, store.directory
        )
    })
}

/// Warnings of the file systems on which this machine's nats-server keeps its streams: each may lie
/// on one of its own.
fn nearly_full(store: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for stream in LedgerStream::ALL {
        let Some(directory) = directory_of(store, stream) else {
            continue;
        };
        let used = used_of(&directory);
        if let Some(used) = used.filter(|used| *used >= NEARLY_FULL) {
            warnings.push(format!(
                "the disk under stream {stream} is {used} % full ({}): make room before nats-server \
                 can write no more",
                directory.display()
            ));
        }
    }
    warnings
}

fn directory_of(store: &Path, stream: LedgerStream) -> Option<PathBuf> {
    let accounts = fs::read_dir(store).ok()?.flatten().take(ACCOUNTS);
    let mut streams = accounts.map(|account| account.path().join("streams").join(stream.name()));
    streams.find(|directory| directory.is_dir())
}

/// How full the file system is for those who are not root, in percent, as `df` says it.
fn used_of(directory: &Path) -> Option<u64> {
    let found = nix::sys::statvfs::statvfs(directory).ok()?;
    let used = found.blocks().saturating_sub(found.blocks_free());
    Some(percent(used, used + found.blocks_available()))
}

/// The streams, to be asked what they refused to write.
pub(crate) struct StreamWrites {
    pub(crate) log: JetStreamLog,
    pub(crate) vault: JetStreamObjects,
    pub(crate) keys: JetStreamObjects,
    pub(crate) stores: Stores,
}

impl StreamWrites {
    /// Resolves when a stream has refused a write since this was last waited for.
    pub(crate) async fn news(&self) {
        tokio::select! {
            () = self.log.writes().changed() => {}
            () = self.vault.writes().changed() => {}
            () = self.keys.writes().changed() => {}
        }
    }

    /// Which streams take no writes, why, and what to do. `server` is the one that we are connected to.
    pub(crate) async fn refusals(&self, server: &str) -> Option<String> {
        let refusals = tokio::join!(
            self.log.write_failure(),
            self.vault.write_failure(),
            self.keys.write_failure()
        );
        let disk = self.stores.disk_of(server);
        let refusals = [
            (LedgerStream::Log, refusals.0),
            (LedgerStream::Vault, refusals.1),
            (LedgerStream::Keys, refusals.2),
        ];
        let words: Vec<String> = refusals
            .into_iter()
            .filter_map(|(stream, refused)| Some(in_words(stream, &refused?, &disk)))
            .collect();
        (!words.is_empty()).then(|| words.join("; "))
    }
}

fn in_words(stream: LedgerStream, refused: &WriteFailure, disk: &str) -> String {
    let why = refused.reason();
    if refused.is_limit() {
        return format!(
            "stream {stream} takes no writes: {why}. It has reached a limit that was set for it: raise that"
        );
    }
    // As nats-server says it of `max_file_store`, whatever room the disk has.
    let look = if why.contains("insufficient resources") {
        format!("JetStream has used all that it may: raise max_file_store, and look at {disk}")
    } else {
        format!("Look at {disk}: it is full or fails")
    };
    format!(
        "stream {stream} takes no writes: {why}. {look}. Then restart \
         nats-server: it takes nothing more into this stream until it is started again"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearly_used_is_told_and_what_is_not_is_not() {
        let store = |used| Store {
            server_name: "s".to_owned(),
            directory: "/d".to_owned(),
            used,
            most: 1_000,
        };
        assert_eq!(nearly_used(&store(849)), None);
        let told = nearly_used(&store(850)).expect("a warning");
        assert!(told.contains("85 %") && told.contains("/d"), "{told}");
        assert_eq!(percent(0, 0), 100);
    }

    #[test]
    fn a_directory_of_a_stream_is_found_under_any_account() {
        let store = tempfile::tempdir().expect("a directory");
        assert_eq!(directory_of(store.path(), LedgerStream::Keys), None);
        let keys = store.path().join("ANY/streams/KEYROLL_KEYS");
        fs::create_dir_all(&keys).expect("made");
        assert_eq!(
            directory_of(store.path(), LedgerStream::Keys),
            Some(keys.clone())
        );
        assert!(used_of(&keys).is_some_and(|used| used <= 100));
    }
}
