//! Finds the nats-server to run.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::nats::checks::{VERSION_FLOOR, is_recent};

/// The variable with the path of a nats-server.
pub const NATS_BIN_VARIABLE: &str = "KEYROLL_NATS_BIN";
const PROGRAM: &str = "nats-server";
/// Printing a version takes milliseconds. A program that hangs is not nats-server.
const VERSION_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum FindError {
    #[error(
        "no nats-server found: install version {}.{} or later from https://nats.io/download, then put it \
         on PATH, or give its path with --nats-bin or {NATS_BIN_VARIABLE}",
        VERSION_FLOOR.0,
        VERSION_FLOOR.1
    )]
    None,
    #[error("cannot run {path} (from {origin}) as nats-server: {reason}", path = path.display())]
    NotUsable {
        path: PathBuf,
        origin: &'static str,
        reason: String,
    },
    #[error(
        "{path} (from {origin}) is nats-server {version}: install {}.{} or later, or give the path of \
         another with --nats-bin or {NATS_BIN_VARIABLE}",
        VERSION_FLOOR.0,
        VERSION_FLOOR.1,
        path = path.display()
    )]
    TooOld {
        path: PathBuf,
        origin: &'static str,
        version: String,
    },
}

/// A nats-server with its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsServer {
    pub path: PathBuf,
    pub version: String,
}

/// The nats-server given explicitly, else by `KEYROLL_NATS_BIN`, else the first on PATH. If a given one
/// cannot be used, this is an error; no other is tried.
///
/// # Errors
///
/// When there is none, it cannot be run, or it is older than 2.12.
pub async fn find_nats_server(explicit: Option<&Path>) -> Result<NatsServer, FindError> {
    let from_variable = std::env::var_os(NATS_BIN_VARIABLE).filter(|value| !value.is_empty());
    let (path, origin) = if let Some(path) = explicit {
        (path.to_owned(), "--nats-bin")
    } else if let Some(path) = from_variable {
        (PathBuf::from(path), NATS_BIN_VARIABLE)
    } else {
        let search = std::env::var_os("PATH").unwrap_or_default();
        (on_path(&search).ok_or(FindError::None)?, "PATH")
    };
    let version = version_of(&path)
        .await
        .map_err(|reason| FindError::NotUsable {
            path: path.clone(),
            origin,
            reason,
        })?;
    if is_recent(&version) {
        return Ok(NatsServer { path, version });
    }
    Err(FindError::TooOld {
        path,
        origin,
        version,
    })
}

fn on_path(search: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(search)
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(PROGRAM))
        .find(|path| path.is_file())
}

async fn version_of(path: &Path) -> Result<String, String> {
    let run = Command::new(path)
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(VERSION_TIMEOUT, run)
        .await
        .map_err(|_elapsed| "it did not print its version in time".to_owned())?
        .map_err(|error| error.to_string())?;
    String::from_utf8_lossy(&output.stdout)
        .trim()
        .strip_prefix("nats-server: v")
        .map(str::to_owned)
        .ok_or_else(|| "its --version does not begin with `nats-server: v`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another process writes the script. A child that another test starts at that moment would inherit a
    /// file open for writing in this process, and the script could not be run ("text file busy").
    fn script(directory: &Path, text: &str) -> PathBuf {
        let path = directory.join(PROGRAM);
        let write = "printf '#!/bin/sh\\n%s\\n' \"$1\" > \"$0\" && chmod 755 \"$0\"";
        let written = std::process::Command::new("sh")
            .arg("-c")
            .arg(write)
            .arg(&path)
            .arg(text)
            .status();
        assert!(written.unwrap().success());
        path
    }

    #[tokio::test]
    async fn errors_name_the_program_and_its_origin() {
        let directory = tempfile::tempdir().unwrap();
        let path = script(directory.path(), "echo 'nats-server: v2.11.4'");
        let error = find_nats_server(Some(&path)).await.unwrap_err();
        assert!(
            matches!(&error, FindError::TooOld { version, origin: "--nats-bin", .. } if version == "2.11.4"),
            "{error}"
        );

        let path = script(directory.path(), "echo hello");
        let error = find_nats_server(Some(&path)).await.unwrap_err();
        assert!(matches!(error, FindError::NotUsable { .. }), "{error}");

        let missing = directory.path().join("missing");
        let error = find_nats_server(Some(&missing)).await.unwrap_err();
        assert!(matches!(error, FindError::NotUsable { .. }), "{error}");
    }

    #[tokio::test]
    async fn a_recent_one_is_used() {
        let directory = tempfile::tempdir().unwrap();
        let path = script(directory.path(), "echo 'nats-server: v2.12.0'");
        let found = find_nats_server(Some(&path)).await.unwrap();
        assert_eq!(found.version, "2.12.0");
    }

    #[test]
    fn path_is_searched_in_order_and_relative_entries_are_skipped() {
        let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let wanted = script(second.path(), "exit 0");
        let search = std::env::join_paths([Path::new("."), first.path(), second.path()]).unwrap();
        assert_eq!(on_path(&search), Some(wanted));
    }
}
