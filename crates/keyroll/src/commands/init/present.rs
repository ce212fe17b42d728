//! `keyroll init` in the home of a ledger that exists.

use std::fs;
use std::path::Path;

use keyroll_core::Code;
use keyroll_server::nats::{LedgerStream, NatsClient, check_streams, create_missing};
use serde_json::json;

use super::credentials::{CredentialArgs, Given};
use super::local;
use crate::context::Context;
use crate::error::Failure;
use crate::input::{Confirmation, confirm};
use crate::serve_file::{EarlierServeFile, ServeFile};

/// Adds the stream that an earlier program did not make, and puts the given files of credentials in place of those
/// that the home has, or of the passwords that an earlier program kept. Nothing else of an existing ledger is touched;
/// its keys are in `keys`.
pub(super) async fn complete(
    context: &Context,
    home: &Path,
    nats_url: &str,
    args: &CredentialArgs,
    keys: &Path,
) -> Result<(), Failure> {
    let earlier = EarlierServeFile::load(home)?;
    if earlier.is_none() && !ServeFile::path(home).exists() {
        return Err(exists(keys));
    }
    let operator = if earlier.is_none() && args.is_without_operator() {
        None
    } else {
        Some(connect(nats_url, args).await?)
    };
    let lacks_tokens = match &operator {
        None => false,
        Some(operator) => lacks_tokens(operator, earlier.is_some(), keys).await?,
    };
    // Everything is read and checked before anything is written.
    let (moved, replaced) = match earlier {
        Some(earlier) => {
            move_from_passwords(home, nats_url, earlier, &args.read()?)?;
            (true, Vec::new())
        }
        None if args.names_service() => (false, replace(context, home, &args.read()?)?),
        None => (false, Vec::new()),
    };
    if !moved && replaced.is_empty() && !lacks_tokens {
        return Err(exists(keys));
    }
    let mut added = Vec::new();
    if let Some(operator) = operator.filter(|_| lacks_tokens) {
        create_missing(&operator).await.map_err(local)?;
        added.push(LedgerStream::Tokens.name());
    }
    let mut done = Vec::new();
    if moved {
        done.push("put credentials in place of the passwords in serve.toml".to_owned());
    }
    if !replaced.is_empty() {
        done.push(format!("replaced {}", replaced.join(", ")));
    }
    if lacks_tokens {
        done.push(format!("added the stream {}", added.join(", ")));
    }
    let words = format!("{}. Start `keyroll serve` again", done.join(" and "));
    let json = json!({"added": added, "credentials": moved, "replaced": replaced});
    context.out.done(&json, &words)
}

async fn connect(nats_url: &str, args: &CredentialArgs) -> Result<NatsClient, Failure> {
    let creds = args.operator()?;
    let connected = keyroll_client::connect_nats(nats_url, Some(&creds)).await;
    connected.map_err(|error| Failure::from(error).within("--operator-creds"))
}

async fn lacks_tokens(
    operator: &NatsClient,
    is_earlier: bool,
    keys: &Path,
) -> Result<bool, Failure> {
    match check_streams(operator).await {
        Ok(_) => Ok(false),
        Err(error) if error.only_tokens_missing() => Ok(true),
        Err(error) if error.only_missing() && is_earlier => {
            let words = format!(
                "{error}. The streams of a ledger from before lie under another account: move them first, as \
                 docs/operations.md says"
            );
            Err(Failure::local(words))
        }
        // A NATS without a ledger: somebody wants a new one, and must not put its credentials into this home.
        Err(error) if error.only_missing() => Err(exists(keys)),
        Err(error) => Err(local(error)),
    }
}

fn move_from_passwords(
    home: &Path,
    nats_url: &str,
    earlier: EarlierServeFile,
    given: &Given,
) -> Result<(), Failure> {
    let kept = given.keep(home)?;
    let file = ServeFile {
        nats_url: nats_url.to_owned(),
        service_creds: kept.service,
        responder_creds: kept.responder,
        clients_seed: kept.clients_seed,
        console_creds: kept.console,
        credential_seconds: None,
        monitoring: earlier.monitoring,
        operators: earlier.operators,
        root_key: earlier.root_key,
    };
    file.store(home)
}

/// Puts credentials in place of the copies in the home, after a confirmation. Returns the names of the files.
fn replace(context: &Context, home: &Path, given: &Given) -> Result<Vec<String>, Failure> {
    let mut file = ServeFile::load(home)?;
    let mut replaced = Vec::new();
    for (path, text) in given.files()? {
        let named = file.names(&path);
        // One that cannot be read is replaced as well.
        let is_same = named && fs::read_to_string(home.join(&path)).is_ok_and(|have| have == text);
        if !is_same {
            replaced.push(path.display().to_string());
        }
    }
    if replaced.is_empty() {
        return Ok(replaced);
    }
    for path in &replaced {
        context
            .out
            .note(&format!("{path} differs from what is given"));
    }
    let confirmation = Confirmation {
        question: format!("Replace these NATS credentials in {}?", home.display()),
        refusal: "nothing was replaced".to_owned(),
    };
    confirm(context, &confirmation)?;
    let kept = given.keep(home)?;
    file.service_creds = kept.service;
    file.responder_creds = kept.responder;
    file.clients_seed = kept.clients_seed.or(file.clients_seed);
    file.console_creds = kept.console.or(file.console_creds);
    file.store(home)?;
    Ok(replaced)
}

fn exists(keys: &Path) -> Failure {
    let words = format!(
        "{} exists already, and keyroll never replaces a ledger's keys. Choose another directory with --home",
        keys.display()
    );
    Failure::coded(Code::Conflict, words)
}
