//! `keyroll command`: signs and shows forms as bytes, for other NATS clients.

use std::io::{self, Read as _};

use clap::Subcommand;
use keyroll_client::Signer;
use keyroll_client::new_command_id;
use keyroll_core::command::COMMAND_V;
use keyroll_core::cose::{self, Form};
use keyroll_core::statement::{Delegation, LedgerKey, SealingKey};
use keyroll_core::{
    Action, Blob, Code, Command, Commit, Entry, LedgerId, Recorded, TreeSize, cbor, limits,
};
use keyroll_wire::time::now;
use keyroll_wire::{CommandReply, CommandRequest, Query, Reply};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::error::Failure;

/// The largest form is a message of the log, 1 MiB.
const FORM_BYTES: usize = 1024 * 1024;

#[derive(Debug, Subcommand)]
pub(crate) enum SignedCommand {
    /// Sign a command with the fields that standard input holds as JSON, and print the bytes of the
    /// request
    #[command(
        after_help = "Example:\n  echo '{\"id\": \"0000…\", \"name\": \"API_Key\"}' | keyroll command sign secret.delete | nats request keyroll.v1.demo.command"
    )]
    Sign {
        /// Action of the command, such as secret.delete
        action: String,
    },
    /// Show a signed form from standard input as JSON
    #[command(after_help = "Example:\n  keyroll command open < reply.bin")]
    Open,
}

pub(crate) async fn run(context: &Context, command: SignedCommand) -> Result<(), Failure> {
    match command {
        SignedCommand::Sign { action } => sign(context, &action).await,
        SignedCommand::Open => open(context),
    }
}

fn standard_input(most: usize) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    io::stdin()
        .lock()
        .take(most as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::local(format!("standard input: {error}")))?;
    if bytes.len() > most {
        let message = format!("standard input has more than {most} bytes");
        return Err(Failure::coded(Code::TooLarge, message));
    }
    Ok(bytes)
}

async fn sign(context: &Context, action: &str) -> Result<(), Failure> {
    let settings = context.settings()?;
    let workspace = settings.workspace()?;
    let action = read_action(action, &standard_input(limits::COMMAND_BYTES)?)?;
    let signer = context.signer_of(&settings)?;
    let (signer, ledger): (Signer, LedgerId) = match settings.ledger {
        // A sign-in has to be opened in the workspace first.
        Some(ledger) if signer.consent().is_none() => (signer, ledger.value),
        _ => {
            let client = context.client().await?;
            client.sign_in(&workspace).await?;
            (client.signer().clone(), client.ledger())
        }
    };
    let id = new_command_id();
    let command = Command {
        v: COMMAND_V,
        at: now(),
        id,
        action,
        ledger,
        member: signer.claim(),
        approval: None,
        workspace,
        delegation: None,
    };
    let command = Blob(cose::sign(&command, signer.key()));
    let request = cbor::encode(&CommandRequest {
        seen: TreeSize(0),
        values: Vec::new(),
        command,
    });
    if context.out.json {
        return context
            .out
            .document(&json!({"id": id, "request": Blob(request)}));
    }
    context.out.bytes(&request)
}

/// An action from its name and its fields.
fn read_action(name: &str, fields: &[u8]) -> Result<Action, Failure> {
    let fields: Value = match fields.trim_ascii() {
        b"" => json!({}),
        fields => serde_json::from_slice(fields).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Failure::usage(format!(
                "standard input is not JSON (line {line}, column {column})"
            ))
        })?,
    };
    let action = Value::Object(Map::from_iter([(name.to_owned(), fields)]));
    let action: Action = serde_json::from_value(action).map_err(|error| {
        Failure::usage(format!("{name}: {}", without_content(&error.to_string())))
    })?;
    if action.values().is_empty() {
        return Ok(action);
    }
    // The request would need their sealed bytes too, under an HPKE session.
    Err(Failure::usage(format!(
        "{name} carries values, which this command cannot seal. Use `keyroll secret`"
    )))
}

/// A parser's message, unless it may quote what stands in the field.
fn without_content(message: &str) -> &str {
    let harmless = [
        "missing field",
        "unknown field",
        "unknown variant",
        "duplicate field",
    ];
    let shown = harmless.iter().any(|start| message.starts_with(start));
    if shown {
        message
    } else {
        "a field has the wrong type or form"
    }
}

fn open(context: &Context) -> Result<(), Failure> {
    let shown = show(&standard_input(FORM_BYTES)?)?;
    if context.out.json {
        return context.out.document(&shown);
    }
    let text = serde_json::to_string_pretty(&shown)
        .map_err(|error| Failure::local(format!("it cannot be shown as JSON: {error}")))?;
    context.out.line(&text)
}

fn show(bytes: &[u8]) -> Result<Value, Failure> {
    if let Some(form) = cose::claimed_type(bytes) {
        return show_signed(&form, bytes);
    }
    if let Ok(request) = cbor::decode::<CommandRequest>(bytes) {
        return Ok(json!({
            "form": "command request",
            "seen": request.seen,
            "values": request.values.len(),
            "command": show(&request.command.0)?,
        }));
    }
    match cbor::decode::<CommandReply>(bytes) {
        Ok(CommandReply::Refused(reply)) => {
            Ok(json!({"form": "command reply", "refused": show(&reply.0)?}))
        }
        Ok(CommandReply::Committed(done)) => {
            let released = |one: &keyroll_wire::reply::ReleasedValue| json!({"name": one.name, "version": one.version});
            Ok(json!({
                "form": "command reply",
                "done": {
                    "index": done.receipt.index,
                    "entry": show_entry(&done.receipt.entry.0)?,
                    "path": done.receipt.path,
                    "checkpoint": done.receipt.checkpoint,
                    "released": done.released.iter().map(released).collect::<Vec<_>>(),
                    "consistency": done.consistency,
                },
            }))
        }
        Err(_) => Err(Failure::coded(
            Code::Malformed,
            "standard input holds none of keyroll's signed forms",
        )),
    }
}

fn show_signed(form: &str, bytes: &[u8]) -> Result<Value, Failure> {
    match form {
        <Command as Form>::TYP => signed::<Command>(bytes, show_payload),
        <Query as Form>::TYP => signed::<Query>(bytes, show_payload),
        <Reply as Form>::TYP => signed::<Reply>(bytes, show_payload),
        <Delegation as Form>::TYP => signed::<Delegation>(bytes, show_payload),
        <LedgerKey as Form>::TYP => signed::<LedgerKey>(bytes, show_payload),
        <SealingKey as Form>::TYP => signed::<SealingKey>(bytes, show_payload),
        <Commit as Form>::TYP => signed::<Commit>(bytes, show_commit),
        _ => Err(Failure::coded(
            Code::UpgradeNeeded,
            format!("this version of keyroll does not know the form {form}. Upgrade keyroll"),
        )),
    }
}

fn signed<F: Form>(
    bytes: &[u8],
    show: impl FnOnce(&F) -> Result<Value, Failure>,
) -> Result<Value, Failure> {
    let opened = cose::open::<F>(bytes)?;
    Ok(json!({
        "form": F::NAME,
        "signer": opened.signer,
        "signature": if opened.verify().is_ok() { "valid" } else { "INVALID" },
        "payload": show(&opened.payload)?,
    }))
}

fn show_payload<F: Serialize>(payload: &F) -> Result<Value, Failure> {
    serde_json::to_value(payload)
        .map_err(|error| Failure::local(format!("it cannot be shown as JSON: {error}")))
}

fn show_commit(commit: &Commit) -> Result<Value, Failure> {
    let mut shown = show_payload(commit)?;
    let entries = commit.entries.iter().map(|entry| show_entry(&entry.0));
    shown["entries"] = entries.collect::<Result<Vec<_>, _>>()?.into();
    Ok(shown)
}

fn show_entry(bytes: &[u8]) -> Result<Value, Failure> {
    let entry: Entry = cbor::decode(bytes)?;
    let recorded = Recorded::decode_strict(keyroll_core::Index(0), bytes)?;
    Ok(json!({
        "at": entry.at,
        "leaf": recorded.leaf.to_string(),
        "events": show_payload(&entry.events)?,
        "command": show(&entry.command.0)?,
    }))
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;

    use super::*;

    fn signed_command(action: Action) -> Vec<u8> {
        let command = Command {
            v: COMMAND_V,
            at: keyroll_core::Millis(1),
            id: keyroll_core::CommandId([2; 16]),
            action,
            ledger: LedgerId([3; 32]),
            workspace: "demo".parse().expect("name"),
            member: None,
            approval: None,
            delegation: None,
        };
        cose::sign(&command, &SigningKey::from_bytes(&[5; 32]))
    }

    #[test]
    fn fields_make_an_action() {
        let action = read_action("workspace.create", b"").expect("no fields");
        assert_eq!(action.name(), "workspace.create");
        let fields = format!(
            "{{\"id\": \"{}\", \"name\": \"API_Key\"}}\n",
            "07".repeat(16)
        );
        let action = read_action("secret.delete", fields.as_bytes()).expect("fields");
        assert_eq!(
            action.names().first().map(|name| name.as_str()),
            Some("API_Key")
        );
    }

    #[test]
    fn what_does_not_fit_is_refused_and_not_quoted() {
        for (name, fields) in [
            ("secret.delete", "{\"id\": \"hunter2\"}"),
            ("secret.delete", "hunter2"),
            ("workspace.create", "\"hunter2\""),
            ("member.remove", "{\"member\": 3}"),
            ("no.such", "{}"),
        ] {
            let failure = read_action(name, fields.as_bytes()).expect_err(name);
            assert_eq!(failure.code(), "usage");
            assert!(
                !failure.message().contains("hunter2"),
                "{}",
                failure.message()
            );
        }
    }

    #[test]
    fn what_was_signed_is_shown() {
        let command = signed_command(read_action("workspace.create", b"").expect("action"));
        let request = CommandRequest {
            seen: TreeSize(4),
            values: Vec::new(),
            command: Blob(command),
        };
        let shown = show(&cbor::encode(&request)).expect("shown");
        assert_eq!(shown["command"]["form"], "keyroll/command/v1");
        assert_eq!(shown["command"]["signature"], "valid");
        assert_eq!(shown["command"]["payload"]["workspace"], "demo");
        assert_eq!(
            shown["command"]["payload"]["action"],
            json!({"workspace.create": {}})
        );
        assert_eq!(show(b"nothing").expect_err("refused").code(), "malformed");
    }

    #[test]
    fn a_false_signature_is_said_to_be_one() {
        let mut command = signed_command(read_action("workspace.create", b"").expect("action"));
        let last = command.len() - 1;
        command[last] ^= 1;
        assert_eq!(show(&command).expect("shown")["signature"], "INVALID");
    }
}
