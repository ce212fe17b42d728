//! nats-server accepts configurations with fixed addresses, for one server and for a cluster; and the script for
//! others' servers has the same imports.

use std::path::Path;
use std::process::Command;

use keyroll_nats::jwt::{self, User};
use keyroll_server::nats::permissions::GUEST_REQUESTS;
use keyroll_server::nats::{AccountName, Cluster, Endpoint, OperatorKeys, ServerConfig};

use crate::support::nats_bin;

fn example(keys: &OperatorKeys, directory: &Path) -> ServerConfig {
    ServerConfig {
        server_name: "keyroll-1".to_owned(),
        data_dir: directory.to_owned(),
        endpoint: Endpoint::Fixed {
            listen: "127.0.0.1:4222".parse().unwrap(),
            monitoring: "127.0.0.1:8222".parse().unwrap(),
            tls: None,
        },
        cluster: None,
        trust: keys.trust().unwrap(),
    }
}

/// Reads and judges the file without opening a port.
async fn accepts(config: &ServerConfig, directory: &Path) {
    let file = directory.join("nats-server.conf");
    std::fs::write(&file, config.render().unwrap()).unwrap();
    let test = Command::new(nats_bin().await)
        .arg("-t")
        .arg("-c")
        .arg(&file)
        .output()
        .unwrap();
    assert!(
        test.status.success(),
        "{}",
        String::from_utf8_lossy(&test.stderr)
    );
}

#[tokio::test]
async fn nats_server_takes_a_configuration_with_fixed_addresses() {
    let directory = tempfile::tempdir().unwrap();
    let keys = OperatorKeys::generate().unwrap();
    let one = example(&keys, directory.path());
    accepts(&one, directory.path()).await;
    let of_three = ServerConfig {
        cluster: Some(Cluster {
            listen: "127.0.0.1:6222".parse().unwrap(),
            others: ["127.0.0.1:6223", "127.0.0.1:6224"]
                .map(str::to_owned)
                .to_vec(),
            advertise: Some("127.0.0.1:6222".to_owned()),
            credential: keys.routes().clone(),
            tls: None,
        }),
        ..one
    };
    accepts(&of_three, directory.path()).await;
}

#[test]
fn the_script_for_a_nats_of_others_has_the_same_imports() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/nsc-accounts.sh");
    let directory = tempfile::tempdir().unwrap();
    for account in AccountName::ALL {
        let wanted: Vec<String> = match account.borrows() {
            Some(exports) => exports.into_iter().map(|one| one.subject).collect(),
            None if account == AccountName::Guests => GUEST_REQUESTS.map(str::to_owned).to_vec(),
            None => Vec::new(),
        };
        let listed = Command::new("sh")
            .arg(&script)
            .arg(directory.path().join("out"))
            .args(["--list", account.as_str()])
            .output()
            .unwrap();
        assert!(listed.status.success(), "{listed:?}");
        let listed = String::from_utf8(listed.stdout).unwrap();
        assert_eq!(listed.lines().collect::<Vec<_>>(), wanted, "{account:?}");
    }
}

#[test]
fn the_script_for_a_nats_of_others_ends_guests_like_ours() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/nsc-accounts.sh");
    let directory = tempfile::tempdir().unwrap();
    let trust = OperatorKeys::generate().unwrap().trust().unwrap();
    let sentinel: jwt::Claims<User> = jwt::open(&trust.sentinel).unwrap();
    let times = sentinel.nats.times.iter();
    let wanted: Vec<String> = times
        .map(|range| format!("{}-{}", range.start, range.end))
        .collect();
    let listed = Command::new("sh")
        .arg(&script)
        .arg(directory.path().join("out"))
        .arg("--times")
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.lines().collect::<Vec<_>>(), wanted);
}
