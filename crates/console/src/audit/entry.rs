//! One entry: its events, digest, proof and bytes.

use axum::extract::{Path, Query};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use keyroll_client::ProvedEntry;
use keyroll_core::statement::Delegation;
use keyroll_core::{Digest, Entry, Identity, Index, SignedCommand, cose};
use keyroll_merkle::{Hash, TlogProof, leaf_hash};
use keyroll_wire::query::{AuditLog, Question};
use keyroll_wire::reply::{Answer, AuditRow};
use maud::{Markup, html};

use super::filter::Filter;
use super::list::{outcome, secrets, what, who, with_sheet};
use crate::failure::Failure;
use crate::format::time;
use crate::layout::sheet;
use crate::request::{WorkspaceRequest, answer};

/// Fetches an entry and checks its proof.
async fn prove(request: &WorkspaceRequest, index: &str) -> Result<ProvedEntry, Failure> {
    let index = index
        .parse()
        .map(Index)
        .map_err(|_| Failure::not_found(format!("{index} is not an entry number.")))?;
    let client = &request.session.client;
    request.checked(client.prove(&request.workspace, index).await)
}

pub(super) async fn show(
    request: WorkspaceRequest,
    Path((_, index)): Path<(String, String)>,
    Query(filter): Query<Filter>,
) -> Response {
    let over = details(&request, &index, &filter).await;
    match over {
        Ok(over) => with_sheet(&request, &filter, Some(over)).await,
        Err(failure) => request
            .responder
            .failure(&failure, Some(&request.path("audit"))),
    }
}

async fn details(
    request: &WorkspaceRequest,
    index: &str,
    filter: &Filter,
) -> Result<Markup, Failure> {
    let proved = prove(request, index).await?;
    let index = proved.receipt.index;
    let rows = rows(request, index).await?;
    let before = filter.before.parse().ok().map(Index);
    let back = format!(
        "{}{}#e-{index}",
        request.path("audit"),
        filter.query(before)
    );
    let file = |name: &str| request.path(&format!("audit/{index}/{name}"));
    let receipt = &proved.receipt;
    let body = html! {
        @for row in &rows { (facts(row)) }
        @if let Some(key) = sign_in_key(&proved.entry) { (sign_in_facts(&key)) }
        @if let Some(delegation) = delegation(&proved.entry) { (delegation_facts(&delegation)) }
        h3 { "Proof" }
        p.proof {
            "This entry is in the tree of " (proved.size) " entries that the ledger signed. The console has just checked it with "
            (receipt.path.len()) " hashes."
        }
        dl.facts {
            dt { "Leaf" } dd { code.long { (Digest(leaf_hash(&receipt.entry.0).0)) } }
            dt { "Command" } dd { code.long { (Digest::of(&proved.entry.command.0)) } span.dim { "SHA-256 of the signed command" } }
        }
        details.fold { summary { "Inclusion path" }
            ol.hashes { @for hash in &receipt.path { li { code.long { (hash) } } } }
        }
        details.fold { summary { "Checkpoint, as the ledger signed it" } pre tabindex="0" { (receipt.checkpoint) } }
        details.fold { summary { "Raw entry, " (receipt.entry.0.len()) " bytes" } pre.hex tabindex="0" { (hex_dump(&receipt.entry.0)) } }
        p.row {
            a.button href=(file("proof.txt")) download=(format!("keyroll-{}-{index}.tlog-proof", request.workspace)) { "Save proof" }
            a.button href=(file("entry.cbor")) download=(format!("keyroll-{}-{index}.cbor", request.workspace)) { "Save entry" }
        }
    };
    Ok(sheet(&format!("Entry {index}"), &back, true, &body))
}

/// An entry's rows in the log: one for each event.
async fn rows(request: &WorkspaceRequest, index: Index) -> Result<Vec<AuditRow>, Failure> {
    let ask = AuditLog {
        limit: 1,
        after: Some(index),
        before: Some(Index(index.0.saturating_add(1))),
        ..AuditLog::default()
    };
    let answered = request.ask(Question::AuditLog(ask)).await?;
    Ok(answer!(answered, Answer::AuditLog)?.rows)
}

fn facts(row: &AuditRow) -> Markup {
    html! {
        dl.facts {
            dt { "Event" } dd { (what(row)) }
            dt { "Who" } dd { (who(row)) code.long { (row.actor) } }
            dt { "When" } dd { (time(row.at)) }
            @if !row.secrets.is_empty() { dt { "Secrets" } dd { (secrets(row)) } }
            dt { "Outcome" } dd { (outcome(row)) }
        }
    }
}

/// The key of the sign-in that signed. The ledger checked that it was open.
fn sign_in_key(entry: &Entry) -> Option<Identity> {
    let signed = SignedCommand::decode(&entry.command.0).ok()?;
    signed.command().member.map(|_| signed.signer())
}

fn sign_in_facts(key: &Identity) -> Markup {
    html! {
        h3 { "Signed in" }
        p.proof { "The actor did not sign this itself, but through a sign-in." }
        dl.facts { dt { "Key" } dd { code.long { (key) } } }
    }
}

/// The delegation under which another key signed. The ledger checked it before it accepted the command.
fn delegation(entry: &Entry) -> Option<Delegation> {
    let signed = SignedCommand::decode(&entry.command.0).ok()?;
    let statement = signed.command().delegation.as_ref()?;
    let opened = cose::open::<Delegation>(&statement.0).ok()?;
    Some(opened.payload)
}

fn delegation_facts(delegation: &Delegation) -> Markup {
    html! {
        h3 { "Delegated" }
        p.proof { "The actor did not sign this itself, but let another key sign for a while." }
        dl.facts {
            dt { "Where" } dd { (delegation.place) }
            dt { "Key" } dd { code.long { (delegation.key) } }
            dt { "In force" } dd { (time(delegation.not_before)) " to " (time(delegation.not_after)) }
        }
    }
}

/// A hex dump. An entry holds no value, only digests of sealed ones.
fn hex_dump(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(bytes.len() * 5);
    for (number, line) in bytes.chunks(16).enumerate() {
        let hex: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let plain = |byte: &u8| {
            if byte.is_ascii_graphic() || *byte == b' ' {
                char::from(*byte)
            } else {
                '.'
            }
        };
        let text: String = line.iter().map(plain).collect();
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{:06x}  {:<47}  {text}", number * 16, hex.join(" "));
    }
    out
}

pub(super) async fn raw(
    request: WorkspaceRequest,
    Path((_, index)): Path<(String, String)>,
) -> Response {
    match prove(&request, &index).await {
        Ok(proved) => file("application/cbor", proved.receipt.entry.0),
        Err(failure) => request
            .responder
            .failure(&failure, Some(&request.path("audit"))),
    }
}

pub(super) async fn proof(
    request: WorkspaceRequest,
    Path((_, index)): Path<(String, String)>,
) -> Response {
    match prove(&request, &index).await {
        Ok(proved) => {
            let receipt = proved.receipt;
            let proof = TlogProof {
                extra: Vec::new(),
                index: receipt.index.0,
                proof: receipt.path.iter().map(|hash| Hash(hash.0)).collect(),
                checkpoint: receipt.checkpoint,
            };
            file("text/plain; charset=utf-8", proof.format().into_bytes())
        }
        Err(failure) => request
            .responder
            .failure(&failure, Some(&request.path("audit"))),
    }
}

fn file(kind: &'static str, bytes: Vec<u8>) -> Response {
    (
        [(CONTENT_TYPE, kind), (CONTENT_DISPOSITION, "attachment")],
        bytes,
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_sixteen_to_a_line() {
        let dump = hex_dump(b"0123456789abcdef\x00z");
        let lines: Vec<&str> = dump.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("000000  30 31") && lines[0].ends_with("0123456789abcdef"));
        assert!(lines[1].starts_with("000010  00 7a") && lines[1].contains(".z"));
    }
}
