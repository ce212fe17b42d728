//! `keyroll init` in the home of a ledger that an earlier program set up.

use std::path::Path;

use keyroll_core::Code;
use keyroll_server::nats::{LedgerStream, NatsClient, check_streams, create_missing};
use serde_json::json;

use super::credentials::Given;
use super::local;
use crate::context::Context;
use crate::error::Failure;
use crate::serve_file::{EarlierServeFile, ServeFile};

/// Adds the stream that an earlier program did not make, and puts files of credentials in place of the passwords
/// that it kept. Nothing else of an existing ledger is touched; its keys are in `keys`.
pub(super) async fn complete(
    context: &Context,
    home: &Path,
    (operator, nats_url): (&NatsClient, &str),
    given: impl FnOnce() -> Result<Given, Failure>,
    keys: &Path,
) -> Result<(), Failure> {
    let earlier = EarlierServeFile::load(home)?;
    let lacks_tokens = match check_streams(operator).await {
        Ok(_) => false,
        Err(error) if error.only_tokens_missing() => true,
        Err(error) if earlier.is_some() && error.only_missing() => {
            let words = format!(
                "{error}. The streams of a ledger from before lie under another account: move them first, as \
                 docs/operations.md says"
            );
            return Err(Failure::local(words));
        }
        Err(_) => return Err(exists(keys)),
    };
    if !lacks_tokens && earlier.is_none() {
        return Err(exists(keys));
    }
    let moved = earlier.is_some();
    if let Some(earlier) = earlier {
        let kept = given()?.keep(home)?;
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
        file.store(home)?;
    }
    let mut added = Vec::new();
    if lacks_tokens {
        create_missing(operator).await.map_err(local)?;
        added.push(LedgerStream::Tokens.name());
    }
    let mut done = Vec::new();
    if moved {
        done.push("put credentials in place of the passwords in serve.toml".to_owned());
    }
    if lacks_tokens {
        done.push(format!("added the stream {}", added.join(", ")));
    }
    let words = format!("{}. Start `keyroll serve` again", done.join(" and "));
    context
        .out
        .done(&json!({"added": added, "credentials": moved}), &words)
}

fn exists(keys: &Path) -> Failure {
    let words = format!(
        "{} exists already, and keyroll never replaces a ledger's keys. Choose another directory with --home",
        keys.display()
    );
    Failure::coded(Code::Conflict, words)
}
