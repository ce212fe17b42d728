//! The private nats-server as a child process.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Harness, config, nats_bin};
use keyroll_server::dev::{DevError, DevServer, Launcher};
use keyroll_server::nats::{check_version, verify_sync_always};

#[tokio::test]
async fn it_is_the_named_server_and_syncs_always() {
    let nats = Harness::bare().await;
    let page = verify_sync_always(nats.server.monitoring_url())
        .await
        .unwrap();
    let info = nats.operator().await.client.server_info();
    assert_eq!(page.server_name, nats.config.server_name);
    assert_eq!(info.server_name, nats.config.server_name);
    check_version(&info).unwrap();
    assert!(info.max_payload > 1024 * 1024);
    assert!(
        verify_sync_always(&nats.server.nats_url().replace("nats:", "http:"))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn it_stops_when_asked_and_its_data_can_be_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let ((config, keys), bin) = (config(directory.path()), nats_bin().await);
    let operator = keys.users().unwrap().operator;
    let server = DevServer::start(&bin, None, &config, &operator)
        .await
        .unwrap();
    let second = DevServer::start(&bin, None, &config, &operator)
        .await
        .err()
        .unwrap();
    assert!(matches!(second, DevError::InUse { .. }), "{second}");
    let status = server.stop().await;
    assert!(
        status == "exit status: 0" || status == "exit status: 1",
        "{status}"
    );
    DevServer::start(&bin, None, &config, &operator)
        .await
        .unwrap()
        .stop()
        .await;
}

#[tokio::test]
async fn one_that_is_still_on_its_way_out_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let (config, keys) = config(directory.path());
    let operator = keys.users().unwrap().operator;
    std::fs::create_dir_all(&config.data_dir).unwrap();
    let leaving = std::fs::File::create(config.data_dir.join("nats-server.lock")).unwrap();
    leaving.lock().unwrap();
    let bin = nats_bin().await;
    let start = DevServer::start(&bin, None, &config, &operator);
    let (started, ()) = tokio::join!(start, async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        drop(leaving);
    });
    started.unwrap().stop().await;
}

#[tokio::test]
async fn its_passwords_are_for_its_owner_alone() {
    let directory = tempfile::tempdir().unwrap();
    let (config, keys) = config(directory.path());
    let operator = keys.users().unwrap().operator;
    let _server = DevServer::start(&nats_bin().await, None, &config, &operator)
        .await
        .unwrap();
    for (path, mode) in [
        ("run", 0o700),
        ("run/nats-server.conf", 0o600),
        ("data", 0o700),
    ] {
        let found = std::fs::metadata(directory.path().join(path)).unwrap();
        assert_eq!(found.permissions().mode() & 0o777, mode, "{path}");
    }
}

#[tokio::test]
async fn a_failed_start_quotes_what_the_server_said() {
    let directory = tempfile::tempdir().unwrap();
    let (mut config, keys) = config(directory.path());
    let operator = keys.users().unwrap().operator;
    config.data_dir = directory.path().join("data");
    std::fs::create_dir(&config.data_dir).unwrap();
    std::fs::write(config.data_dir.join("jetstream"), "in the way").unwrap();
    let error = DevServer::start(&nats_bin().await, None, &config, &operator)
        .await
        .err()
        .unwrap();
    assert!(
        matches!(&error, DevError::Ended { log, .. } if log.contains("not a directory")),
        "{error}"
    );
}

#[tokio::test]
async fn a_launcher_is_given_parent_program_and_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let (config, keys) = config(directory.path());
    let operator = keys.users().unwrap().operator;
    let launcher = Launcher {
        program: "/bin/sh".into(),
        args_prefix: ["-c", "echo \"got $0 $1 $2\" >&2; exit 9"]
            .map(Into::into)
            .to_vec(),
    };
    let error = DevServer::start(&nats_bin().await, Some(&launcher), &config, &operator)
        .await
        .err()
        .unwrap();
    let wanted = format!("got {} ", std::process::id());
    assert!(
        matches!(&error, DevError::Ended { status, log }
            if status == "exit status: 9" && log.contains(&wanted) && log.contains("nats-server.conf")),
        "{error}"
    );
}
