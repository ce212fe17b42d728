//! Hostile bytes for every decoder, the template parser and the redactor: the test vectors, changed
//! at random. Nothing may panic, and accepted input must be the only encoding of its content.
//!
//! Each target gets a bounded number of tries, always the same ones, or as many as
//! `KEYROLL_FUZZ_SECONDS` allow (`just fuzz`), with a new seed every time or that of
//! `KEYROLL_FUZZ_SEED`. A failure prints the input in hex.

mod engine;
mod model;
mod stored;
mod values;

use keyroll_client::InvitationLink;
use keyroll_core::cose::{self, Form};
use keyroll_core::invitation::AcceptanceStatement;
use keyroll_core::sign_in::SignInStatement;
use keyroll_core::statement::{Delegation, LedgerKey, SealingKey};
use keyroll_core::{Commit, Entry, Index, Recorded, SignedCommand, cbor};
use keyroll_files::Format;
use keyroll_merkle::{Note, SignedCheckpoint, TlogProof, VerifierKey};
use keyroll_resolver::{Cidr, HostPattern, Template, find_credentials, parse_json};
use keyroll_wire::guest::GuestRequest;
use keyroll_wire::reply::ServiceInfo;
use keyroll_wire::{CommandReply, CommandRequest, Query, Reply};
use serde::Serialize;
use serde::de::DeserializeOwned;

use engine::{TRIES, attack};

fn plain<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    if let Ok(value) = cbor::decode::<T>(bytes) {
        assert_eq!(cbor::encode(&value), bytes, "the one encoding");
    }
}

fn signed<F: Form>(bytes: &[u8]) {
    if let Ok(opened) = cose::open::<F>(bytes) {
        assert_eq!(opened.bytes[..], bytes[..], "kept as it came");
        let _ = opened.verify();
    }
    let _ = cose::claimed_type(bytes);
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A separate test for each target, so that they are shared among the processors.
macro_rules! targets {
    ($($name:ident: $run:expr;)+) => {
        $(
            #[test]
            fn $name() {
                attack(stringify!($name), TRIES, $run);
            }
        )+
    };
}

mod target {
    use super::*;

    targets! {
        cbor_of_any_form: plain::<ciborium::Value>;
        entry: |bytes| {
            plain::<Entry>(bytes);
            let _ = Recorded::decode_strict(Index(0), bytes);
            let _ = Recorded::decode(Index(0), bytes);
        };
        command_request: plain::<CommandRequest>;
        command_reply: plain::<CommandReply>;
        info: plain::<ServiceInfo>;
        guest_request: plain::<GuestRequest>;
        sealed_answer: values::sealed_answer;
        command: |bytes| {
            if let Ok(command) = SignedCommand::decode(bytes) {
                let _ = command.verify();
            }
        };
        query: signed::<Query>;
        reply: signed::<Reply>;
        commit: |bytes| {
            signed::<Commit>(bytes);
            let _ = Commit::decode(bytes);
            let _ = Commit::decode_strict(bytes);
        };
        delegation: signed::<Delegation>;
        sign_in: signed::<SignInStatement>;
        acceptance: signed::<AcceptanceStatement>;
        invitation_link: |bytes: &[u8]| {
            if let Ok(link) = text(bytes).parse::<InvitationLink>() {
                assert_eq!(link.to_text().as_str(), text(bytes), "one spelling");
            }
        };
        ledger_key: signed::<LedgerKey>;
        sealing_key: signed::<SealingKey>;
        bundle: |bytes| {
            stored::bundle(bytes);
        };
        note: |bytes| {
            let _ = Note::parse(&text(bytes));
            let _ = SignedCheckpoint::parse(&text(bytes));
        };
        tlog_proof: |bytes| {
            let _ = TlogProof::parse(&text(bytes));
        };
        vkey: |bytes| {
            let _ = VerifierKey::parse(&text(bytes));
        };
        names_and_ids: values::names_and_ids;
        sealed_value: values::sealed_value;
        wrapped_keys_and_sessions: values::wrapped_keys_and_sessions;
        template: |bytes| {
            if let Ok(template) = Template::parse(&text(bytes)) {
                template.references().for_each(drop);
            }
        };
        block_file: values::block_file;
        json_document: |bytes| {
            if let Ok(read) = parse_json(&text(bytes)) {
                let again = parse_json(&read.to_string());
                assert_eq!(again.as_ref(), Ok(&read), "nothing is lost");
            }
        };
        hosts_addresses_and_key_shapes: |bytes| {
            let text = text(bytes);
            let _ = (text.parse::<HostPattern>(), text.parse::<Cidr>());
            let _ = find_credentials(&text);
        };
        dotenv_file: |bytes| values::file(Format::Dotenv, bytes);
        json_file: |bytes| values::file(Format::Json, bytes);
        yaml_file: |bytes| values::file(Format::Yaml, bytes);
        redactor: values::redactor;
        vault_message: stored::vault_message;
        stored_keys: stored::stored_keys;
        subjects: stored::subjects;
        saved_commits: stored::saved_commits;
        local_files: stored::local_files;
    }

    /// Each try writes a file and reads all of it.
    #[test]
    fn read_model() {
        attack("read_model", TRIES / 8, model::read_model);
    }
}
