//! The disks under the streams: how full they are, and which streams refuse writes.

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

use crate::nats::{LedgerStream, StoreUsage, is_local, store_usage};

/// How often to check how full the disks are.
const INTERVAL: Duration = Duration::from_secs(10);
/// The percentage at which a store or disk is nearly full.
const NEARLY_FULL: u64 = 85;
/// Accounts of a nats-server that are searched for streams.
const MAX_ACCOUNTS: usize = 64;

/// Watches how full the nats-servers' stores are. It keeps their last known usage.
#[derive(Clone, Default)]
pub(crate) struct StorageMonitor(Arc<Mutex<Vec<StoreUsage>>>);

impl StorageMonitor {
    /// A description of the disk of a server's streams.
    fn disk_of(&self, server: &str) -> String {
        let stores = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match stores.iter().find(|store| store.server_name == server) {
            Some(store) => format!("the disk under {} of nats-server {server}", store.directory),
            None => format!("the disk under the store_dir of nats-server {server}"),
        }
    }

    /// Runs until the service stops, and warns before a store or disk is full.
    pub(crate) async fn run(
        self,
        monitoring: Vec<String>,
        ledger: Arc<Ledger>,
        mut stopped: watch::Receiver<bool>,
    ) {
        loop {
            let usages = join_all(monitoring.iter().map(|url| store_usage(url))).await;
            let known: Vec<StoreUsage> = usages.iter().flatten().cloned().collect();
            let mut warnings: Vec<String> = known.iter().filter_map(nearly_used).collect();
            let local = monitoring.iter().zip(&usages);
            let local = local.filter(|(url, usage)| is_local(url) && usage.is_ok());
            for store in local.filter_map(|(_, usage)| usage.as_ref().ok()) {
                warnings.extend(nearly_full(Path::new(&store.directory)));
            }
            if !known.is_empty() {
                *self.0.lock().unwrap_or_else(PoisonError::into_inner) = known;
            }
            ledger.health().set_warnings(warnings);
            let waited = tokio::time::timeout(INTERVAL, stopped.wait_for(|stopped| *stopped)).await;
            if waited.is_ok() {
                return;
            }
        }
    }
}

/// A percentage, rounded down; 100 of zero.
const fn percent(used: u64, of: u64) -> u64 {
    match used.saturating_mul(100).checked_div(of) {
        Some(percent) => percent,
        None => 100,
    }
}

fn nearly_used(store: &StoreUsage) -> Option<String> {
    let used = percent(store.used, store.capacity);
    (used >= NEARLY_FULL).then(|| {
        format!(
            "JetStream on nats-server {} has used {used} % of its {} bytes under {}: raise \
             max_file_store or make room before it is full",
            store.server_name, store.capacity, store.directory
        )
    })
}

/// Warnings about the file systems of this machine's nats-server. Each stream may have its own.
fn nearly_full(store: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    for stream in LedgerStream::ALL {
        let Some(directory) = directory_of(store, stream) else {
            continue;
        };
        let used = used_of(&directory);
        if let Some(used) = used.filter(|used| *used >= NEARLY_FULL) {
            warnings.push(format!(
                "the disk under stream {stream} is {used} % full ({}): make room before it is full",
                directory.display()
            ));
        }
    }
    warnings
}

fn directory_of(store: &Path, stream: LedgerStream) -> Option<PathBuf> {
    let accounts = fs::read_dir(store).ok()?.flatten().take(MAX_ACCOUNTS);
    let mut streams = accounts.map(|account| account.path().join("streams").join(stream.name()));
    streams.find(|directory| directory.is_dir())
}

/// How full a file system is for users other than root, in percent, as `df` prints it.
fn used_of(directory: &Path) -> Option<u64> {
    let found = nix::sys::statvfs::statvfs(directory).ok()?;
    let used = found.blocks().saturating_sub(found.blocks_free());
    Some(percent(used, used + found.blocks_available()))
}

/// The streams, with the writes that they refused.
pub(crate) struct StreamWrites {
    pub(crate) log: JetStreamLog,
    pub(crate) vault: JetStreamObjects,
    pub(crate) keys: JetStreamObjects,
    pub(crate) storage: StorageMonitor,
}

impl StreamWrites {
    /// Resolves when a stream has refused a write since the last call.
    pub(crate) async fn news(&self) {
        tokio::select! {
            () = self.log.writes().changed() => {}
            () = self.vault.writes().changed() => {}
            () = self.keys.writes().changed() => {}
        }
    }

    /// Which streams refuse writes, why, and what to do. `writer` names the server that writes a stream.
    pub(crate) async fn refusals(
        &self,
        writer: &impl Fn(LedgerStream) -> String,
    ) -> Option<String> {
        let refusals = tokio::join!(
            self.log.write_failure(),
            self.vault.write_failure(),
            self.keys.write_failure()
        );
        let refusals = [
            (LedgerStream::Log, refusals.0),
            (LedgerStream::Vault, refusals.1),
            (LedgerStream::Keys, refusals.2),
        ];
        let reasons: Vec<String> = refusals
            .into_iter()
            .filter_map(|(stream, refused)| {
                let disk = self.storage.disk_of(&writer(stream));
                Some(describe(stream, &refused?, &disk))
            })
            .collect();
        (!reasons.is_empty()).then(|| reasons.join("; "))
    }
}

fn describe(stream: LedgerStream, refused: &WriteFailure, disk: &str) -> String {
    let why = refused.reason();
    if refused.is_limit() {
        return format!(
            "stream {stream} takes no writes: {why}. It has reached a limit in its settings: raise that limit"
        );
    }
    // nats-server's words when `max_file_store` is used up, however full the disk is.
    let advice = if why.contains("insufficient resources") {
        format!("JetStream has used up its limit: raise max_file_store, and check {disk}")
    } else {
        format!("Check {disk}: it is full or failing")
    };
    format!(
        "stream {stream} takes no writes: {why}. {advice}. Then restart \
         nats-server: it takes no more writes to this stream before that"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_warns_only_when_it_is_nearly_full() {
        let store = |used| StoreUsage {
            server_name: "s".to_owned(),
            directory: "/d".to_owned(),
            used,
            capacity: 1_000,
        };
        assert_eq!(nearly_used(&store(849)), None);
        let warning = nearly_used(&store(850)).expect("a warning");
        assert!(
            warning.contains("85 %") && warning.contains("/d"),
            "{warning}"
        );
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
