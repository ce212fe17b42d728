//! `keyroll console login`: signs in with the key that a console shows.

use std::time::Duration;

use clap::Args;
use keyroll_client::SignInConsent;
use keyroll_console::{LoginChallenge, LoginLink, LoginResponse, PublicOrigin};
use keyroll_core::Code;
use keyroll_core::sign_in::SignInTerms;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::open_browser;
use crate::commands::login::times;
use crate::context::Context;
use crate::error::Failure;
use crate::identity_file;
use crate::time;

/// A console answers with a few hundred bytes.
const ANSWER_BYTES: usize = 64 * 1024;
/// A console queries its ledger before it answers.
const PATIENCE: Duration = Duration::from_secs(15);

#[derive(Debug, Args)]
pub(super) struct LoginArgs {
    /// Address of the console, such as https://keyroll.example.com
    url: String,
    /// Duration of the session, at most 8h. It ends after 30 minutes in which nobody uses it
    #[arg(long, value_name = "DURATION", default_value = "8h")]
    expires: String,
}

pub(super) async fn run(context: &Context, args: LoginArgs) -> Result<(), Failure> {
    let origin = PublicOrigin::public(&args.url).map_err(|bad| Failure::usage(bad.0))?;
    let (from, until) = times(&args.expires, keyroll_console::SESSION_MS)?;
    let settings = context.settings()?;
    let workspace = settings.workspace()?;
    let identity = identity_file::load(&settings.identity.value, context.passphrase_source())?;
    // This also pins the ledger's id, so that keyroll refuses the console of another ledger.
    let client = context.connect(identity.clone().into()).await?;
    let http = Http::new(&origin)?;
    let challenge: LoginChallenge = http.post("/login/begin", &json!({})).await?;
    if challenge.ledger != client.ledger() {
        let message = format!(
            "the console at {} belongs to ledger {}, not to {}. Check the address",
            origin.as_str(),
            challenge.ledger,
            client.ledger()
        );
        return Err(Failure::coded(Code::WrongLedger, message));
    }
    let terms = SignInTerms {
        key: challenge.key,
        from,
        until,
        // The address that the caller typed, not the one that the console sends: a console in between
        // gets nothing.
        origin: origin.as_str().parse()?,
    };
    let response = LoginResponse {
        consent: SignInConsent::by_key(&identity, client.ledger(), terms),
        state: challenge.state,
        workspace: workspace.clone(),
    };
    let link: LoginLink = http.post("/login/finish", &response).await?;
    let document = json!({
        "url": link.url,
        "key": challenge.key,
        "workspace": workspace,
        "expires": time::rfc3339(until),
    });
    let words = format!(
        "{}\n\nThis link works once, within a minute. The session ends at {}.",
        link.url,
        time::short(until)
    );
    context.out.done(&document, &words)?;
    if !context.out.json {
        open_browser(&link.url);
    }
    Ok(())
}

struct Http {
    client: reqwest::Client,
    origin: String,
}

impl Http {
    fn new(origin: &PublicOrigin) -> Result<Self, Failure> {
        // Fails only where the process has a provider already, which then serves as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .timeout(PATIENCE)
            .redirect(reqwest::redirect::Policy::none());
        if origin.as_str().starts_with("http://") {
            // Loopback alone: nothing in between, and no certificates needed.
            builder = builder.no_proxy().tls_certs_only([]);
        }
        let client = builder.build().map_err(|error| {
            Failure::local(format!("the HTTP client cannot be set up: {error}"))
        })?;
        Ok(Self {
            client,
            origin: origin.as_str().to_owned(),
        })
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let unreachable = |why: &dyn std::fmt::Display| {
            Failure::coded(
                Code::Unreachable,
                format!("the console at {}: {why}", self.origin),
            )
        };
        let body = serde_json::to_vec(body).map_err(|error| unreachable(&error))?;
        let request = self
            .client
            .post(format!("{}{path}", self.origin))
            .header("content-type", "application/json")
            .header("origin", &self.origin)
            .body(body);
        let mut response = request
            .send()
            .await
            .map_err(|error| unreachable(&error.without_url()))?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| unreachable(&error.without_url()))?
        {
            if bytes.len() + chunk.len() > ANSWER_BYTES {
                return Err(unreachable(&"the answer is too large"));
            }
            bytes.extend_from_slice(&chunk);
        }
        if status.is_success() {
            let no_console = |_| unreachable(&"the server there is not a keyroll console");
            return serde_json::from_slice(&bytes).map_err(no_console);
        }
        Err(refused(&bytes).unwrap_or_else(|| unreachable(&format!("the server answers {status}"))))
    }
}

/// The console's refusal, with its code and message.
fn refused(bytes: &[u8]) -> Option<Failure> {
    let body: Value = serde_json::from_slice(bytes).ok()?;
    let text = |field: &str| body["error"][field].as_str();
    let code = Code::ALL
        .iter()
        .find(|code| Some(code.as_str()) == text("code"))
        .copied()
        .unwrap_or(Code::Denied);
    let message = text("message")?
        .chars()
        .filter(|c| !c.is_control())
        .take(500);
    Some(Failure::coded(code, message.collect::<String>()))
}
