//! `keyroll init`: sets a ledger up, once, before `keyroll serve`.

mod credentials;
mod differences;
mod nats_files;
mod present;

use clap::Args;
use keyroll_core::crypto::Key;
use keyroll_core::{Code, Identity, LedgerId};
use keyroll_server::keys::{self, create_keys_with};
use keyroll_server::nats::{NatsClient, check_streams, create_streams};
use keyroll_wire::time::now;
use serde_json::json;

use self::credentials::CredentialArgs;
use self::nats_files::NatsArgs;
use crate::context::Context;
use crate::error::Failure;
use crate::identity_file;
use crate::root_key_place::{self, RootKeyPlace};
use crate::serve_file::{self, ServeFile};

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    credentials: CredentialArgs,
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
    #[command(flatten)]
    nats: NatsArgs,
}

pub(crate) async fn run(context: &Context, args: InitArgs) -> Result<(), Failure> {
    if args.nats.print_nats_config {
        return nats_files::run(context, &args.nats);
    }
    let settings = context.settings()?;
    let home = settings.home.value;
    let nats_url = settings.nats_url.value;
    if let Some(file) = keys::found_in(&serve_file::keys(&home)) {
        return present::complete(context, &home, &nats_url, &args.credentials, &file).await;
    }
    let operator_creds = args.credentials.operator()?;
    root_key_place::writable(args.root_key)?;
    let operators = operators(context, &args.operator)?;
    // Check everything before anything is created.
    let credentials = args.credentials.read()?;
    let operator = keyroll_client::connect_nats(&nats_url, Some(&operator_creds))
        .await
        .map_err(|error| Failure::from(error).within("--operator-creds"))?;
    make_streams(&operator, args.replicas).await?;
    let kept = credentials.keep(&home)?;
    // After the streams: a run that was interrupted leaves no keys, so it can be repeated.
    let dir = serve_file::keys(&home);
    let keep = |key: &Key| args.root_key.keep(context, &dir, key);
    let ledger = create_keys_with::<Failure>(&dir, now(), keep)?;
    let file = ServeFile {
        nats_url,
        service_creds: kept.service,
        responder_creds: kept.responder,
        clients_seed: kept.clients_seed,
        credential_seconds: None,
        console_creds: kept.console,
        monitoring: args.monitoring,
        operators,
        root_key: args.root_key,
    };
    file.store(&home)?;
    done(context, &home, ledger, &file)
}

fn done(
    context: &Context,
    home: &std::path::Path,
    ledger: LedgerId,
    file: &ServeFile,
) -> Result<(), Failure> {
    let json = json!({
        "ledger": ledger,
        "home": home.display().to_string(),
        "operators": file.operators,
    });
    let words = format!(
        "created the ledger {ledger} in {home}. Run `keyroll serve` there. Keep ledger-id.pem and the operator's NATS \
         credentials offline, and back the root key up separately.\nClients connect with: --nats {url}, ledger {ledger}",
        home = home.display(),
        url = file.nats_url,
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

async fn make_streams(operator: &NatsClient, replicas: usize) -> Result<(), Failure> {
    let made = create_streams(operator, replicas).await.map_err(local)?;
    if made.is_empty() {
        let found = check_streams(operator).await.map_err(local)?;
        if found.iter().any(|found| found.last_sequence > 0) {
            let words = "these streams hold a ledger already. For another replica of it, copy the home directory of \
                         its service (docs/operations.md). For another ledger, use another NATS account";
            return Err(Failure::coded(Code::Conflict, words));
        }
    }
    Ok(())
}
