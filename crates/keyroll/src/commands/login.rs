//! `keyroll login` and `keyroll logout`: a sign-in of this machine, whose key signs where no identity file is
//! used.

use std::path::Path;
use std::time::Duration;

use clap::Args;
use keyroll_client::{Client, ClientError, SignInConsent, SignedOut, Signer};
use keyroll_core::limits::SIGN_IN_MS;
use keyroll_core::names::ClaimedOrigin;
use keyroll_core::sign_in::SignInTerms;
use keyroll_core::{Code, Identity, LedgerId, Millis, WorkspaceName};
use keyroll_wire::time::now;
use serde_json::json;

use crate::context::{Context, Origin};
use crate::error::Failure;
use crate::{identity_file, private_file, time};

#[derive(Debug, Args)]
pub(crate) struct LoginArgs {
    /// Sign in with the key of your identity file, as --identity names it (this is the only way yet)
    #[arg(long)]
    key: bool,
    /// How long the sign-in lasts, at most 12h
    #[arg(long, value_name = "DURATION", default_value = "8h")]
    expires: String,
    /// Where the sign-in is used: a label for people, in ASCII [default: keyroll on this host]
    #[arg(long = "where", value_name = "LABEL")]
    origin: Option<String>,
}

/// The times of a sign-in that begins now and lasts as long as a person wants.
pub(crate) fn times(expires: &str, most: u64) -> Result<(Millis, Millis), Failure> {
    let lasts = time::duration(expires)?;
    if lasts.is_zero() || lasts > Duration::from_millis(most) {
        let hours = most / 3_600_000;
        let message = format!("this sign-in lasts at most {hours}h");
        return Err(Failure::usage(message));
    }
    let from = now();
    let lasts = u64::try_from(lasts.as_millis()).unwrap_or(SIGN_IN_MS);
    Ok((from, Millis(from.0.saturating_add(lasts))))
}

pub(crate) async fn login(context: &Context, args: LoginArgs) -> Result<(), Failure> {
    let (from, until) = times(&args.expires, SIGN_IN_MS)?;
    let origin = match &args.origin {
        Some(label) => label.parse()?,
        None => this_host()?,
    };
    let settings = context.settings()?;
    let own = identity_file::load(&settings.identity.value, context.passphrase_source())?;
    // This also pins the ledger's id.
    let client = context.connect(own.clone().into()).await?;
    let ledger = client.ledger();
    let consent = |key: Identity| consent(&own, ledger, (key, from, until, origin));
    let path = identity_file::sign_in_path(&settings.home.value);
    close_earlier(context, &client, &path).await?;
    let (signer, text) = identity_file::signed_in(consent)?;
    // An open sign-in gets credentials for NATS itself: this first time it uses the connection of the own key.
    let workspace = match &settings.workspace {
        Some(_) => settings.workspace()?,
        None => first_workspace(&client).await?,
    };
    client
        .with_signer(signer.clone())
        .sign_in(&workspace)
        .await?;
    private_file::replace(&path, text.as_bytes())?;
    report(context, &signer, &path.display().to_string())?;
    if settings.identity.origin == Origin::Default {
        context.out.note(&format!(
            "commands are still signed with {}: the sign-in signs where that file is not",
            settings.identity.value.display()
        ));
    }
    Ok(())
}

/// Closes the sign-in that this one replaces: nobody could close it with its own key later.
async fn close_earlier(context: &Context, client: &Client, path: &Path) -> Result<(), Failure> {
    // A file that cannot be used signs nothing.
    let Ok(earlier) = context.signer(path) else {
        return Ok(());
    };
    let Some(consent) = earlier.consent().cloned() else {
        return Ok(());
    };
    if consent.until >= now() {
        if consent.ledger != client.ledger() {
            return Err(Failure::local(format!(
                "{} signs in to another ledger until {}: move it away first",
                path.display(),
                time::short(consent.until)
            )));
        }
        all_closed(client.with_signer(earlier).sign_out().await)
            .map_err(|failure| failure.within("the sign-in of before is still open"))?;
    }
    forget(context, consent.ledger);
    Ok(())
}

/// Forgets where sign-ins of this machine were open. The ledger says it again to whoever needs it.
fn forget(context: &Context, ledger: LedgerId) {
    if let Ok(settings) = context.settings() {
        let _ = keyroll_client::forget_sign_ins(&settings.home.value, &ledger);
    }
}

/// The workspaces where a sign-in was closed, if it is closed in all.
fn all_closed(done: Result<SignedOut, ClientError>) -> Result<Vec<WorkspaceName>, Failure> {
    let SignedOut { closed, mut left } = done?;
    if left.is_empty() {
        return Ok(closed);
    }
    let places: Vec<String> = left
        .iter()
        .map(|(workspace, why)| format!("{workspace} ({why})"))
        .collect();
    let done: Vec<&str> = closed.iter().map(WorkspaceName::as_str).collect();
    let done = match done.as_slice() {
        [] => "it was closed nowhere".to_owned(),
        some => format!("it was closed in {}", some.join(", ")),
    };
    let message = format!("{done}, and not in {}", places.join(", "));
    let (_, first) = left.swap_remove(0);
    Err(Failure::from(first).saying(message))
}

/// A workspace of the member: the sign-in has to be open somewhere.
async fn first_workspace(client: &Client) -> Result<WorkspaceName, Failure> {
    let first = client.workspaces().await?.into_iter().next();
    first.map(|row| row.workspace).ok_or_else(|| {
        let message = format!(
            "{} is a member of no workspace. Ask an owner to add you",
            client.member()
        );
        Failure::coded(Code::Denied, message)
    })
}

fn consent(
    own: &ed25519_dalek::SigningKey,
    ledger: LedgerId,
    (key, from, until, origin): (Identity, Millis, Millis, ClaimedOrigin),
) -> SignInConsent {
    let terms = SignInTerms {
        key,
        from,
        until,
        origin,
    };
    SignInConsent::by_key(own, ledger, terms)
}

/// `keyroll on` and the name of this host.
fn this_host() -> Result<ClaimedOrigin, Failure> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let printable = name.trim().chars().filter(char::is_ascii_graphic);
    let name: String = printable.take(100).collect();
    let name = if name.is_empty() { "this host" } else { &name };
    Ok(format!("keyroll on {name}").parse()?)
}

fn report(context: &Context, signer: &Signer, file: &str) -> Result<(), Failure> {
    let Some(consent) = signer.consent() else {
        return Err(Failure::local("the new sign-in cannot be read back"));
    };
    let document = json!({
        "key": consent.key,
        "member": consent.member,
        "where": consent.origin,
        "expires": time::rfc3339(consent.until),
        "file": file,
    });
    let words = format!(
        "signed in as {} until {}",
        consent.member,
        time::short(consent.until)
    );
    context.out.done(&document, &words)
}

pub(crate) async fn logout(context: &Context) -> Result<(), Failure> {
    let home = context.settings()?.home.value;
    let path = identity_file::sign_in_path(&home);
    if !path.exists() {
        return Err(Failure::local(format!(
            "nobody is signed in: {} does not exist",
            path.display()
        )));
    }
    let signer = context.signer(&path)?;
    let consent = signer.consent().cloned();
    let until = consent.as_ref().map_or(Millis(0), |consent| consent.until);
    let key = keyroll_client::public(signer.key());
    let closed = if until < now() {
        Vec::new()
    } else {
        let closed = close(context, signer).await;
        closed.map_err(|failure| {
            failure.within(&format!(
                "you are not signed out: {} stays until the sign-in is closed. Try again, or close it with \
                 `keyroll signin close {key}` and your own key; it ends by itself at {}",
                path.display(),
                time::short(until)
            ))
        })?
    };
    private_file::remove(&path)?;
    if let Some(consent) = consent {
        forget(context, consent.ledger);
    }
    let names: Vec<&str> = closed.iter().map(WorkspaceName::as_str).collect();
    let document = json!({"key": key, "closed": names});
    let words = if names.is_empty() {
        "signed out".to_owned()
    } else {
        format!("signed out of {}", names.join(", "))
    };
    context.out.done(&document, &words)
}

async fn close(context: &Context, signer: Signer) -> Result<Vec<WorkspaceName>, Failure> {
    all_closed(context.connect(signer).await?.sign_out().await)
}
