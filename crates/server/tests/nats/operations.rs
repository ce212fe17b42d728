//! docs/operations.md shows the configuration that this code renders, and nats-server accepts it.

use std::path::Path;
use std::process::Command;

use keyroll_server::nats::{
    ClientUser, Credential, Endpoint, ServerConfig, TlsFiles, Users, Workspaces,
};

use crate::support::nats_bin;

fn example() -> ServerConfig {
    let user =
        |name: &str| Credential::new(name, &format!("put-a-password-for-{name}-here")).unwrap();
    ServerConfig {
        server_name: "keyroll-1".to_owned(),
        data_dir: "/var/lib/nats".into(),
        endpoint: Endpoint::Fixed {
            listen: "0.0.0.0:4222".parse().unwrap(),
            monitoring: "127.0.0.1:8222".parse().unwrap(),
            tls: Some(TlsFiles {
                certificate: "/etc/nats/tls/server.pem".into(),
                key: "/etc/nats/tls/server-key.pem".into(),
            }),
        },
        users: Users {
            service: user("service"),
            operator: user("operator"),
            responder: user("responder"),
            clients: vec![
                ClientUser {
                    credential: user("alice"),
                    workspaces: Workspaces::Named(vec!["demo".to_owned(), "billing".to_owned()]),
                },
                ClientUser {
                    credential: user("console"),
                    workspaces: Workspaces::All,
                },
            ],
        },
    }
}

#[test]
fn the_page_shows_what_is_rendered() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (_, block) = page
        .split_once("```conf\n")
        .expect("no configuration in the page");
    let (block, _) = block.split_once("```").unwrap();
    let rendered = example().render().unwrap();
    assert!(
        block == rendered,
        "docs/operations.md should show:\n{rendered}"
    );
}

#[tokio::test]
async fn nats_server_takes_a_configuration_with_fixed_addresses() {
    let directory = tempfile::tempdir().unwrap();
    let config = ServerConfig {
        data_dir: directory.path().to_owned(),
        endpoint: Endpoint::Fixed {
            listen: "127.0.0.1:4222".parse().unwrap(),
            monitoring: "127.0.0.1:8222".parse().unwrap(),
            tls: None,
        },
        ..example()
    };
    let file = directory.path().join("nats-server.conf");
    std::fs::write(&file, config.render().unwrap()).unwrap();
    // Reads and judges the file without opening a port.
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
