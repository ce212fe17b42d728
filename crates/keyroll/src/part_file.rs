//! A file that has another name until it is complete, so that half of it is not mistaken for the whole.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use crate::error::Failure;
use crate::exit_code::Exit;
use crate::shutdown::ShutdownSignals;

/// Written as `NAME.part`; [`PartFile::finish`] renames it to `NAME`. If it is dropped before that, it is
/// deleted.
pub(crate) struct PartFile {
    file: BufWriter<File>,
    part: PathBuf,
    whole: PathBuf,
    finished: bool,
}

impl PartFile {
    pub(crate) fn create(whole: &Path) -> Result<Self, Failure> {
        let mut name = whole.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = whole.with_file_name(name);
        let file = File::create(&part).map_err(|error| Failure::file(&part, &error))?;
        Ok(Self {
            file: BufWriter::new(file),
            part,
            whole: whole.to_owned(),
            finished: false,
        })
    }

    /// Lets `write` add to the file.
    pub(crate) fn write(
        &mut self,
        write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        write(&mut self.file).map_err(|error| Failure::file(&self.part, &error))
    }

    /// Completes the file.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.write(|file| {
            file.flush()?;
            file.get_ref().sync_all()
        })?;
        fs::rename(&self.part, &self.whole).map_err(|error| Failure::file(&self.whole, &error))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for PartFile {
    fn drop(&mut self) {
        if !self.finished {
            // The error that stopped the work matters more.
            let _ = fs::remove_file(&self.part);
        }
    }
}

/// Runs work on a part file, and stops it in order on Ctrl-C and SIGTERM.
pub(crate) async fn until_stopped<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut stop = ShutdownSignals::listen()?;
    tokio::select! {
        done = work => done,
        () = stop.received() => Err(Failure::Reported {
            code: "interrupted",
            exit: Exit::Interrupted,
            message: "interrupted before the file was complete, so the partial file was deleted".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_finished_leaves_nothing_and_what_is_has_its_name() {
        let home = tempfile::tempdir().expect("a directory");
        let whole = home.path().join("file");
        let names = || fs::read_dir(home.path()).expect("listed").count();
        let mut part = PartFile::create(&whole).expect("created");
        part.write(|file| file.write_all(b"half")).expect("written");
        assert_eq!(names(), 1);
        drop(part);
        assert_eq!(names(), 0);
        let mut part = PartFile::create(&whole).expect("created");
        part.write(|file| file.write_all(b"whole"))
            .expect("written");
        part.finish().expect("finished");
        assert_eq!(fs::read(&whole).expect("read"), b"whole");
        assert_eq!(names(), 1);
    }
}
