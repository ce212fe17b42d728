//! `keyroll login` and `keyroll logout`: a sign-in of this machine, whose key signs where no identity file is
//! used.

use std::time::Duration;

use clap::Args;
use keyroll_client::{Client, SignInConsent, Signer};
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
pub(crate) fn times(expires: &str) -> Result<(Millis, Millis), Failure> {
    let lasts = time::duration(expires)?;
    if lasts.is_zero() || lasts > Duration::from_millis(SIGN_IN_MS) {
        return Err(Failure::usage("a sign-in lasts at most 12h"));
    }
    let from = now();
    let lasts = u64::try_from(lasts.as_millis()).unwrap_or(SIGN_IN_MS);
    Ok((from, Millis(from.0.saturating_add(lasts))))
}

pub(crate) async fn login(context: &Context, args: LoginArgs) -> Result<(), Failure> {
    let (from, until) = times(&args.expires)?;
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
    let path = identity_file::sign_in_path(&settings.home.value);
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
    let until = signer.consent().map_or(Millis(0), |consent| consent.until);
    let key = keyroll_client::public(signer.key());
    // First of all, the key is of no use on this machine any more.
    let closed = if until < now() {
        Ok(Vec::new())
    } else {
        close(context, signer).await
    };
    private_file::remove(&path)?;
    let closed = closed.map_err(|failure| {
        failure.within(&format!(
            "the key of the sign-in is deleted here, and open until {} where it was not closed: close it with \
             `keyroll signin close {key}`",
            time::short(until)
        ))
    })?;
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
    Ok(context.connect(signer).await?.sign_out().await?)
}
