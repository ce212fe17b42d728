//! `keyroll init`: sets a ledger up, once, before `keyroll serve`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use keyroll_core::crypto::Key;
use keyroll_core::{Code, Identity};
use keyroll_server::keys::{self, create_keys_with};
use keyroll_server::nats::{
    ClientUser, Credential, Endpoint, ServerConfig, TlsFiles, Users, Workspaces, check_streams,
    create_streams,
};
use keyroll_wire::time::now;
use serde_json::json;

use crate::context::Context;
use crate::error::Failure;
use crate::identity_file;
use crate::root_key_place::{self, RootKeyPlace};
use crate::serve_file::{self, ServeFile};

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// NATS URL with the user `operator`, who may create streams; required without --print-nats-config
    #[arg(
        long,
        value_name = "URL",
        required_unless_present = "print_nats_config"
    )]
    operator_nats: Option<String>,
    /// NATS URL with the user `service`, for `keyroll serve`; required without --print-nats-config
    #[arg(
        long,
        value_name = "URL",
        required_unless_present = "print_nats_config"
    )]
    ledger_nats: Option<String>,
    /// NATS URL with the user `responder`, for `keyroll serve`; required without --print-nats-config
    #[arg(
        long,
        value_name = "URL",
        required_unless_present = "print_nats_config"
    )]
    responder_nats: Option<String>,
    /// Monitoring address of a nats-server, http://HOST:PORT; repeat it for every server [default: none]
    #[arg(long, value_name = "URL")]
    monitoring: Vec<String>,
    /// Public key of an operator, who may create workspaces; repeat it for more [default: the
    /// identity of the settings]
    #[arg(long, value_name = "KEY")]
    operator: Vec<String>,
    /// Replicas of each stream: 1, 3 or 5
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// Place of the root key
    #[arg(long, value_name = "PLACE", value_enum, default_value = "file")]
    root_key: RootKeyPlace,
    /// Only print a nats-server configuration with new passwords
    #[arg(long)]
    print_nats_config: bool,
    #[command(flatten)]
    nats: NatsArgs,
}

/// For `--print-nats-config`.
#[derive(Debug, Args)]
#[command(next_help_heading = "With --print-nats-config")]
struct NatsArgs {
    /// Name of the nats-server
    #[arg(
        long,
        default_value = "keyroll-1",
        requires = "print_nats_config",
        value_name = "NAME"
    )]
    server_name: String,
    /// Directory of the streams
    #[arg(
        long,
        default_value = "/var/lib/nats",
        requires = "print_nats_config",
        value_name = "DIR"
    )]
    store_dir: PathBuf,
    /// Address for clients; any but loopback needs TLS
    #[arg(
        long,
        default_value = "127.0.0.1:4222",
        requires = "print_nats_config",
        value_name = "ADDRESS"
    )]
    listen: SocketAddr,
    /// Address for monitoring
    #[arg(
        long,
        default_value = "127.0.0.1:8222",
        requires = "print_nats_config",
        value_name = "ADDRESS"
    )]
    monitoring_listen: SocketAddr,
    /// File of the TLS certificate [default: no TLS]
    #[arg(long, requires_all = ["print_nats_config", "tls_key"], value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// File of the certificate's private key [default: no TLS]
    #[arg(long, requires = "tls_cert", value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// NATS user for clients: NAME for all workspaces, NAME=WORKSPACE,WORKSPACE for some; repeat it for
    /// more [default: none]
    #[arg(long, requires = "print_nats_config", value_name = "CLIENT")]
    client: Vec<String>,
}

pub(crate) async fn run(context: &Context, args: InitArgs) -> Result<(), Failure> {
    if args.print_nats_config {
        let config = nats_config(args.nats)?;
        context
            .out
            .bytes(config.render().map_err(unusable)?.as_bytes())?;
        context.out.note(
            "The configuration holds passwords: only nats-server should be able to read it. Put each user's \
             password into the URLs for `keyroll init` and for your clients.",
        );
        return Ok(());
    }
    let (Some(operator), Some(ledger_url), Some(client_account_url)) =
        (args.operator_nats, args.ledger_nats, args.responder_nats)
    else {
        return Err(Failure::usage(
            "init needs --operator-nats, --ledger-nats and --responder-nats",
        ));
    };
    root_key_place::writable(args.root_key)?;
    let home = context.settings()?.home.value;
    let operators = operators(context, &args.operator)?;
    // Check everything before anything is created.
    if let Some(file) = keys::found_in(&serve_file::keys(&home)) {
        let words = format!(
            "{} exists already, and keyroll never replaces a ledger's keys. Choose another directory with --home",
            file.display()
        );
        return Err(Failure::coded(Code::Conflict, words));
    }
    make_streams(&operator, args.replicas).await?;
    // After the streams: a run that was interrupted leaves no keys, so it can be repeated.
    let dir = serve_file::keys(&home);
    let keep = |key: &Key| args.root_key.keep(context, &dir, key);
    let ledger = create_keys_with::<Failure>(&dir, now(), keep)?;
    let file = ServeFile {
        ledger_url,
        client_account_url,
        monitoring: args.monitoring,
        operators,
        root_key: args.root_key,
    };
    file.store(&home)?;
    let json = json!({
        "ledger": ledger,
        "home": home.display().to_string(),
        "operators": file.operators,
    });
    let words = format!(
        "created the ledger {ledger} in {}. Run `keyroll serve` there. Keep ledger-id.pem offline, and back \
         the root key up separately",
        home.display()
    );
    context.out.done(&json, &words)
}

fn local(error: impl std::fmt::Display) -> Failure {
    Failure::local(error.to_string())
}

fn unusable(error: impl std::fmt::Display) -> Failure {
    Failure::usage(error.to_string())
}

fn operators(context: &Context, named: &[String]) -> Result<Vec<Identity>, Failure> {
    if !named.is_empty() {
        return named
            .iter()
            .map(|key| key.parse().map_err(unusable))
            .collect();
    }
    let path = context.settings()?.identity.value;
    Ok(vec![identity_file::identity(
        &identity_file::load_or_create(&path, context.passphrase_source())?,
    )])
}

async fn make_streams(url: &str, replicas: usize) -> Result<(), Failure> {
    let operator = keyroll_client::connect_nats(url)
        .await
        .map_err(|error| Failure::from(error).within("--operator-nats"))?;
    let made = create_streams(&operator, replicas).await.map_err(local)?;
    if made.is_empty() {
        let found = check_streams(&operator).await.map_err(local)?;
        if found.iter().any(|found| found.last_sequence > 0) {
            let words = "these streams hold a ledger already. For another replica of it, copy the home directory of \
                         its service (docs/operations.md). For another ledger, use another NATS account";
            return Err(Failure::coded(Code::Conflict, words));
        }
    }
    Ok(())
}

fn nats_config(args: NatsArgs) -> Result<ServerConfig, Failure> {
    let user = |name: &str| Credential::generate(name).map_err(unusable);
    let client = |text: &String| {
        let (name, workspaces) = match text.split_once('=') {
            None => (text.as_str(), Workspaces::All),
            Some((name, list)) => (
                name,
                Workspaces::Named(list.split(',').map(str::to_owned).collect()),
            ),
        };
        Ok(ClientUser {
            credential: user(name)?,
            workspaces,
        })
    };
    let tls = args
        .tls_cert
        .zip(args.tls_key)
        .map(|(certificate, key)| TlsFiles { certificate, key });
    Ok(ServerConfig {
        server_name: args.server_name,
        data_dir: args.store_dir,
        endpoint: Endpoint::Fixed {
            listen: args.listen,
            monitoring: args.monitoring_listen,
            tls,
        },
        users: Users {
            service: user("service")?,
            operator: user("operator")?,
            responder: user("responder")?,
            clients: args
                .client
                .iter()
                .map(client)
                .collect::<Result<_, Failure>>()?,
        },
    })
}
