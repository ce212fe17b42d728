//! Disks that stop accepting writes.

use std::fs;
use std::path::PathBuf;

use super::Cluster;

impl Cluster {
    /// Makes fsync fail from now on for the files of a nats-server (`server`) or a service
    /// (`replica-0`) whose path contains `file`.
    ///
    /// # Panics
    /// When the disk was never breakable.
    pub fn break_disk(&self, whose: &str, file: &str) {
        assert!(self.breakable, "the disk cannot be broken");
        let path = self.broken_file(whose);
        // In one step: an empty file would mean all files.
        let fresh = path.with_extension("new");
        fs::write(&fresh, file).expect("written");
        fs::rename(fresh, path).expect("broken");
    }

    /// Makes fsync work again.
    ///
    /// # Panics
    /// When it was not broken.
    pub fn mend_disk(&self, whose: &str) {
        fs::remove_file(self.broken_file(whose)).expect("mended");
    }

    /// The file that makes the disk of a process fail while it exists.
    pub(super) fn broken_file(&self, whose: &str) -> PathBuf {
        self.home.scratch().join(format!("{whose}.broken"))
    }
}
