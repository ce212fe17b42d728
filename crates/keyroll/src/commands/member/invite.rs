//! `keyroll member invite`, `confirm` and `revoke`.

use clap::Args;
use keyroll_client::{InvitationLink, LinkTls, public, random};
use keyroll_core::command::{MemberConfirm, MemberInvite, MemberRevoke};
use keyroll_core::event::MemberInvited;
use keyroll_core::invitation::{InvitationCode, fingerprint};
use keyroll_core::roles::Role;
use keyroll_core::{Action, Code, Event, Glob, MemberName, Millis};
use keyroll_wire::reply::InvitationRow;
use keyroll_wire::time::now;
use serde_json::{Value, json};

use super::{RoleArg, globs, join, note_unbound};
use crate::certificate;
use crate::context::Context;
use crate::error::Failure;
use crate::input::{Confirmation, can_confirm, confirm as ask_to_confirm};
use crate::options::DryRun;
use crate::session::Session;
use crate::time;

#[derive(Debug, Args)]
pub(crate) struct InviteArgs {
    /// Name of the new member, unique among members and invitations
    name: String,
    /// Role of the new member [default: with --renew, that of the invitation]
    #[arg(long, required_unless_present = "renew")]
    role: Option<RoleArg>,
    /// Pattern with * and ? of the secrets that the new member may access; repeat it for more
    /// [default: *, with --renew those of the invitation]
    #[arg(long, value_name = "GLOB")]
    secrets: Vec<String>,
    /// When the membership ends: an RFC 3339 time, or a duration from now. The link itself ends after seven
    /// days [default: never, with --renew that of the invitation]
    #[arg(long, value_name = "WHEN")]
    expires: Option<String>,
    /// Make a new link for an invitation that nobody has joined by. The old link ends
    #[arg(long)]
    renew: bool,
    #[command(flatten)]
    dry: DryRun,
}

#[derive(Debug, Args)]
pub(crate) struct ConfirmArgs {
    /// Name in the invitation
    name: String,
    /// The fingerprint that the new member told you. It must be that of the key that accepted, and then
    /// keyroll asks nothing [default: keyroll shows it and asks]
    #[arg(long, value_name = "FINGERPRINT")]
    fingerprint: Option<String>,
    #[command(flatten)]
    dry: DryRun,
}

/// The invitation of a name.
async fn find(session: &Session, name: &str) -> Result<InvitationRow, Failure> {
    let rows = session.client.invitations(&session.workspace).await?;
    let named = |row: &InvitationRow| row.name.as_str().eq_ignore_ascii_case(name);
    rows.into_iter().find(named).ok_or_else(|| {
        let message = format!(
            "{} has no invitation for {name:?}. `keyroll member list` shows the invitations",
            session.workspace
        );
        Failure::coded(Code::NotFound, message)
    })
}

/// The fields of the new invitation, and its code.
async fn fields(
    session: &Session,
    args: &InviteArgs,
) -> Result<(MemberInvite, InvitationCode), Failure> {
    let code = InvitationCode::new(random()?);
    let key = public(&code.key(&session.client.ledger(), &session.workspace));
    let old = if args.renew {
        Some(find(session, &args.name).await?)
    } else {
        None
    };
    let name: MemberName = match &old {
        Some(old) => old.name.clone(),
        None => args.name.parse()?,
    };
    let role = args
        .role
        .map(Role::from)
        .or(old.as_ref().map(|old| old.role));
    let mut secrets = globs(&args.secrets)?;
    if secrets.is_empty() {
        secrets = old
            .as_ref()
            .map_or_else(|| vec![Glob::any()], |old| old.secrets.clone());
    }
    let invite = MemberInvite {
        key,
        name,
        role: role.ok_or_else(|| Failure::usage("which role? Add --role"))?,
        renews: old.as_ref().map(|old| old.key),
        expires: match &args.expires {
            Some(when) => Some(time::future(when, now())?),
            None => old.and_then(|old| old.expires),
        },
        secrets,
        principal: None,
    };
    Ok((invite, code))
}

pub(super) async fn invite(context: &Context, args: InviteArgs) -> Result<(), Failure> {
    let session = context.session().await?;
    let (invite, code) = fields(&session, &args).await?;
    let (name, role) = (invite.name.clone(), invite.role);
    let unbound = (!invite.secrets.contains(&Glob::any())).then_some(role);
    let done = session
        .perform(Action::MemberInvite(invite), args.dry)
        .await?;
    note_unbound(context, unbound);
    if args.dry.dry_run {
        let json = json!({"member": name, "role": role});
        let words = format!("{name} as {}", role.as_str());
        return done.report(context, ("invited", &words, json));
    }
    let ends = done.events().iter().find_map(|event| {
        if let Event::MemberInvited(MemberInvited { until }) = event {
            Some(*until)
        } else {
            None
        }
    });
    let ends = ends.ok_or_else(|| Failure::from(keyroll_client::unexpected()))?;
    let link = link(context, &session, code)?.to_text();
    if context.out.json {
        return context.out.document(&json!({
            "link": link.as_str(),
            "terminal": link.as_str(),
            "link_expires": time::rfc3339(ends),
            "member": name,
        }));
    }
    context.out.line(&link)?;
    say_what_next(context, (&name, role), ends);
    Ok(())
}

fn say_what_next(context: &Context, (name, role): (&MemberName, Role), ends: Millis) {
    context.out.note(&format!(
        "send this link to {name} alone: whoever has it can accept, once, until {}. They run `keyroll accept LINK`",
        time::short(ends)
    ));
    if matches!(role, Role::Owner | Role::Editor) {
        context.out.note(&format!(
            "afterwards compare fingerprints with {name}, and run `keyroll member confirm {name}`"
        ));
    }
}

/// The link with the servers that this command used.
fn link(
    context: &Context,
    session: &Session,
    code: InvitationCode,
) -> Result<InvitationLink, Failure> {
    let settings = context.settings()?;
    let url = settings.nats_url.value;
    let mut tls = LinkTls::Off;
    let servers = url.split(',').map(str::trim).map(|server| {
        let (scheme, rest) = server.split_once("://").unwrap_or(("", server));
        if scheme == "tls" {
            tls = LinkTls::System;
        }
        // Users and passwords are this person's own.
        let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
        host.trim_end_matches('/').to_owned()
    });
    let servers = servers.collect();
    if let (LinkTls::System, Some(ca)) = (&tls, &settings.nats_ca) {
        tls = LinkTls::Ca(certificate::read(&ca.value)?);
    }
    let link = InvitationLink {
        servers,
        tls,
        ledger: session.client.ledger(),
        workspace: session.workspace.clone(),
        code,
    };
    // The new member's keyroll has to read it.
    link.to_text().parse().map_err(|_| {
        let message = "the invitation was made, but its link cannot name the nats-servers of --nats. Write them as \
                       HOST:PORT, and make a new link with --renew";
        Failure::usage(message)
    })
}

pub(super) async fn confirm(context: &Context, args: ConfirmArgs) -> Result<(), Failure> {
    let session = context.session().await?;
    let row = find(&session, &args.name).await?;
    let Some(accepted) = row.accepted else {
        let message = format!("{} has not accepted yet", row.name);
        return Err(Failure::coded(Code::Conflict, message));
    };
    let seen = fingerprint(&accepted.member);
    let (name, role) = (&row.name, row.role.as_str());
    match &args.fingerprint {
        Some(told) if same(told, &seen) => {}
        Some(_) => {
            let message = format!(
                "{name} was not confirmed: the key that accepted has the fingerprint {seen}. If {name} sees another \
                 one, somebody else has used the link: end it with `keyroll member revoke {name}`"
            );
            return Err(Failure::coded(Code::Conflict, message));
        }
        None if args.dry.dry_run => {}
        None => {
            let confirmation = Confirmation {
                question: format!(
                    "The key that accepted has the fingerprint {seen}. Does {name} see the same one? Make this key {role} \
                     in {}, for secrets {}?",
                    session.workspace,
                    join(&row.secrets)
                ),
                refusal: format!("{name} (fingerprint {seen}) was not confirmed"),
            };
            can_confirm(context, &confirmation)?;
            ask_to_confirm(context, &confirmation)?;
        }
    }
    let json =
        json!({"name": row.name, "member": accepted.member, "role": row.role, "fingerprint": seen});
    let action = Action::MemberConfirm(MemberConfirm {
        key: row.key,
        member: accepted.member,
    });
    let done = session.perform(action, args.dry).await?;
    let words = format!("{name} as {role}, with the fingerprint {seen}");
    done.report(context, ("confirmed", &words, json))
}

/// People type and read out fingerprints in their own way.
fn same(told: &str, seen: &str) -> bool {
    let plain = |text: &str| -> String {
        text.chars()
            .filter(char::is_ascii_alphanumeric)
            .map(|letter| letter.to_ascii_uppercase())
            .collect()
    };
    plain(told) == plain(seen)
}

pub(super) async fn revoke(context: &Context, name: &str, dry: DryRun) -> Result<(), Failure> {
    let session = context.session().await?;
    let row = find(&session, name).await?;
    let json = json!({"name": row.name});
    let action = Action::MemberRevoke(MemberRevoke { key: row.key });
    let done = session.perform(action, dry).await?;
    let words = format!("the invitation of {}", row.name);
    done.report(context, ("ended", &words, json))
}

/// An invitation, in the shape of a member.
pub(super) fn row_json(row: &InvitationRow) -> Value {
    let accepted = row.accepted.map(|accepted| {
        json!({"at": time::rfc3339(accepted.at), "fingerprint": fingerprint(&accepted.member)})
    });
    json!({
        "name": row.name,
        "member": row.accepted.map(|accepted| accepted.member),
        "role": row.role,
        "secrets": row.secrets,
        "expires": row.expires.map(time::rfc3339),
        "removed": false,
        "invited": {
            "by": row.by_name,
            "until": time::rfc3339(row.until),
            "accepted": accepted,
            "key": row.key,
        },
    })
}

/// What an invitation waits for, in words.
pub(super) fn state(row: &InvitationRow) -> String {
    let role = row.role.as_str();
    if row.until <= now() {
        return format!("{role} (link ended)");
    }
    match row.accepted {
        Some(_) => format!("{role} (to confirm)"),
        None => format!("{role} (invited)"),
    }
}

/// The key of an invitation's code, or of who accepted it.
pub(super) fn key(row: &InvitationRow) -> String {
    let waits = |of: keyroll_wire::reply::AcceptedRow| {
        format!("{} fingerprint {}", of.member, fingerprint(&of.member))
    };
    row.accepted.map(waits).unwrap_or_default()
}
