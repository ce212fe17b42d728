//! Bytes that must be refused, each with its code, as far as the form alone decides it.

use ed25519_dalek::SigningKey;
use keyroll_core::command::Nothing;
use keyroll_core::statement::{LedgerKey, SealingKey};
use keyroll_core::{
    Action, Blob, Code, Command, Index, Recorded, Rejection, SignedCommand, cbor, cose,
};
use keyroll_wire::{CommandRequest, Query};
use serde_json::{Value, json};

use crate::log::Log;
use crate::raw::{ALG, ALG_EDDSA, Fields, Parts, bstr, head, header, map, tstr, uint};
use crate::refused_bundles::bundles;
use crate::refused_proofs::proofs;
use crate::world::{World, public};

const AAD: &str = "keyroll/command/v1";
const TYP: &str = "application/vnd.keyroll.command";

/// The order of the Ed25519 group, little-endian: S and S + L sign the same, so only one is taken.
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The fields of a valid `workspace.create`.
pub(crate) fn fields(world: &World) -> Fields {
    let command = world.command(1, Action::WorkspaceCreate(Nothing {}));
    let action = vec![(tstr("workspace.create"), head(5, 0))];
    vec![
        (tstr("v"), uint(1)),
        (tstr("at"), uint(command.at.0)),
        (tstr("id"), bstr(&command.id.0)),
        (tstr("action"), map(&action)),
        (tstr("ledger"), bstr(&world.ledger.0)),
        (tstr("workspace"), tstr(world.workspace.as_str())),
    ]
}

pub(crate) struct Cases<'a> {
    pub(crate) world: &'a World,
    list: Vec<Value>,
}

impl<'a> Cases<'a> {
    pub(crate) fn parts(&self, payload: Vec<u8>) -> Parts<'a> {
        let key = &self.world.alice;
        let protected = map(&header(ALG, &public(key).0, TYP));
        Parts {
            protected,
            unprotected: head(5, 0),
            payload,
            aad: AAD,
            key,
        }
    }

    fn good(&self) -> Parts<'a> {
        self.parts(map(&fields(self.world)))
    }

    /// Adds a case after checking the code that our own decoder gives it.
    fn add(
        &mut self,
        rule: &str,
        name: &str,
        bytes: &[u8],
        code: Code,
        said: Result<(), Rejection>,
    ) {
        assert_eq!(
            said.map_err(|rejection| rejection.code),
            Err(code),
            "{name}"
        );
        self.list
            .push(json!({ "name": name, "rule": rule, "bytes": hex::encode(bytes), "code": code }));
    }

    pub(crate) fn command(&mut self, name: &str, bytes: &[u8], code: Code) {
        let said = SignedCommand::decode(bytes)
            .and_then(SignedCommand::verify)
            .map(drop);
        self.add("signed-command", name, bytes, code, said);
    }

    /// A payload with a valid signature that is still wrong.
    fn payload(&mut self, name: &str, payload: Vec<u8>, code: Code) {
        let bytes = self.parts(payload).sign1();
        self.command(name, &bytes, code);
    }

    fn field(&mut self, name: &str, at: usize, value: Vec<u8>, code: Code) {
        let mut fields = fields(self.world);
        fields[at].1 = value;
        self.payload(name, map(&fields), code);
    }

    fn envelopes(&mut self) {
        let good = self.good();
        let bytes = good.sign1();
        SignedCommand::decode(&bytes)
            .and_then(SignedCommand::verify)
            .expect("what the cases change is good");
        self.command("cut short", &bytes[..bytes.len() - 1], Code::Malformed);
        self.command(
            "a byte after the end",
            &[&bytes[..], &[0]].concat(),
            Code::Malformed,
        );
        self.command("no tag", &bytes[1..], Code::Malformed);
        self.command(
            "tag 17",
            &good.with(&[0xd1], &good.signature()),
            Code::Malformed,
        );
        self.command(
            "tag 18 in two bytes",
            &good.with(&[0xd8, 18], &good.signature()),
            Code::Malformed,
        );
        self.command(
            "a signature of 63 bytes",
            &good.with(&[0xd2], &[1; 63]),
            Code::Malformed,
        );
        let unprotected = Parts {
            unprotected: map(&vec![(uint(4), bstr(b"x"))]),
            ..self.good()
        };
        self.command(
            "an unprotected header",
            &unprotected.sign1(),
            Code::Malformed,
        );
        let key = public(&self.world.alice).0;
        for (name, protected) in [
            ("algorithm EdDSA", header(ALG_EDDSA, &key, TYP)),
            (
                "another type",
                header(ALG, &key, "application/vnd.keyroll.query"),
            ),
            ("a key id of 31 bytes", header(ALG, &key[1..], TYP)),
            (
                "no key id",
                vec![(uint(1), ALG.to_vec()), (uint(16), tstr(TYP))],
            ),
            (
                "a further header",
                [header(ALG, &key, TYP), vec![(uint(17), uint(0))]].concat(),
            ),
            (
                "headers out of order",
                header(ALG, &key, TYP).into_iter().rev().collect(),
            ),
        ] {
            let parts = Parts {
                protected: map(&protected),
                ..self.good()
            };
            self.command(name, &parts.sign1(), Code::Malformed);
        }
        let detached = [
            vec![0xd2],
            head(4, 4),
            bstr(&good.protected),
            head(5, 0),
            vec![0xf6],
            bstr(&good.signature()),
        ];
        self.command("no payload", &detached.concat(), Code::Malformed);
    }

    fn payloads(&mut self) {
        let good = fields(self.world);
        let mut list = good.clone();
        list.swap(1, 2);
        self.payload("keys out of order", map(&list), Code::Malformed);
        let mut list = good.clone();
        list.insert(1, list[0].clone());
        self.payload("a key twice", map(&list), Code::Malformed);
        let missing = good
            .iter()
            .filter(|(key, _)| *key != tstr("at"))
            .cloned()
            .collect();
        self.payload("a field is missing", map(&missing), Code::Malformed);
        let mut list = good.clone();
        list.insert(3, (tstr("why"), uint(1)));
        self.payload("a field too many", map(&list), Code::Malformed);
        let indefinite = [&[0xbf], &map(&good)[1..], &[0xff]].concat();
        self.payload("an indefinite map", indefinite, Code::Malformed);
        self.payload("two items", [map(&good), vec![0]].concat(), Code::Malformed);
    }

    /// One field of another type or content.
    fn contents(&mut self) {
        self.field(
            "a number not in its shortest form",
            0,
            vec![0x18, 0x01],
            Code::Malformed,
        );
        self.field(
            "a float",
            1,
            vec![0xfb, 0x42, 0x79, 0, 0, 0, 0, 0, 0],
            Code::Malformed,
        );
        self.field("null", 1, vec![0xf6], Code::Malformed);
        self.field(
            "a tagged time",
            1,
            [vec![0xc1], uint(5)].concat(),
            Code::Malformed,
        );
        self.field("a negative time", 1, vec![0x20], Code::Malformed);
        self.field(
            "text for bytes",
            2,
            tstr("0123456789abcdef"),
            Code::Malformed,
        );
        self.field(
            "an array for bytes",
            2,
            [head(4, 16), vec![1; 16]].concat(),
            Code::Malformed,
        );
        self.field("an id of 15 bytes", 2, bstr(&[1; 15]), Code::Malformed);
        self.field(
            "an action nobody knows",
            3,
            map(&vec![(tstr("secret.guess"), head(5, 0))]),
            Code::Malformed,
        );
        self.field(
            "an action without its map",
            3,
            tstr("workspace.create"),
            Code::Malformed,
        );
        let two = vec![
            (tstr("key.rotate"), head(5, 0)),
            (tstr("workspace.create"), head(5, 0)),
        ];
        self.field("two actions", 3, map(&two), Code::Malformed);
        self.field(
            "text that is not UTF-8",
            5,
            vec![0x61, 0xff],
            Code::Malformed,
        );
        self.field(
            "17 levels",
            3,
            [vec![0x81; 17], vec![0x00]].concat(),
            Code::Malformed,
        );
        self.field(
            "a workspace with a capital",
            5,
            tstr("Demo"),
            Code::InvalidName,
        );
        self.field("form 2", 0, uint(2), Code::UpgradeNeeded);
        let secret = |name: &str| {
            map(&vec![
                (tstr("id"), bstr(&[7; 16])),
                (tstr("name"), tstr(name)),
            ])
        };
        let delete = |name: &str| map(&vec![(tstr("secret.delete"), secret(name))]);
        self.field(
            "a Python keyword for a name",
            3,
            delete("class"),
            Code::InvalidName,
        );
        self.field(
            "a name of Python's secrets module",
            3,
            delete("token_hex"),
            Code::InvalidName,
        );
        self.field(
            "a name of 129 bytes",
            3,
            delete(&"a".repeat(129)),
            Code::InvalidName,
        );
    }

    fn signatures(&mut self) {
        let good = self.good();
        let mut flipped = good.signature();
        flipped[0] ^= 1;
        self.command(
            "a flipped signature",
            &good.with(&[0xd2], &flipped),
            Code::BadSignature,
        );
        let signature = good.signature();
        let mut fields = fields(self.world);
        fields[1].1 = uint(self.world.command(2, Action::KeyRotate(Nothing {})).at.0);
        let moved = Parts {
            payload: map(&fields),
            ..self.good()
        };
        self.command(
            "another time under the same signature",
            &moved.with(&[0xd2], &signature),
            Code::BadSignature,
        );
        let other = Parts {
            aad: "keyroll/query/v1",
            ..self.good()
        };
        self.command("signed as a query", &other.sign1(), Code::BadSignature);
        let other = Parts {
            key: &self.world.bob,
            ..self.good()
        };
        self.command(
            "signed by somebody else",
            &other.sign1(),
            Code::BadSignature,
        );
        let mut large = signature;
        let mut carry = 0_u16;
        for (byte, add) in large[32..].iter_mut().zip(L) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            *byte = sum.to_le_bytes()[0];
            carry = sum >> 8;
        }
        self.command(
            "S above the group order",
            &good.with(&[0xd2], &large),
            Code::BadSignature,
        );
        // The neutral element as key and R, and S = 0: lenient verifiers accept it for any message.
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let weak = Parts {
            protected: map(&header(ALG, &neutral, TYP)),
            ..self.good()
        };
        let forged = [neutral, [0; 32]].concat();
        self.command(
            "a key of small order",
            &weak.with(&[0xd2], &forged),
            Code::BadSignature,
        );
    }

    fn delegations(&mut self) {
        let world = self.world;
        let signed = |delegation: Vec<u8>, key: &SigningKey| {
            let command = world.command(1, Action::WorkspaceCreate(Nothing {}));
            cose::sign(
                &Command {
                    delegation: Some(Blob(delegation)),
                    ..command
                },
                key,
            )
        };
        let bytes = signed(
            world.delegation_of(&world.alice, &world.bob),
            &world.console,
        );
        self.command("a delegation to another key", &bytes, Code::BadSignature);
        let bytes = signed(
            world.delegation_of(&world.bob, &world.console),
            &world.console,
        );
        self.command(
            "a delegation not signed by its identity",
            &bytes,
            Code::BadSignature,
        );
        let bytes = signed(world.sealing_statement(), &world.console);
        self.command(
            "another statement for a delegation",
            &bytes,
            Code::Malformed,
        );
    }

    fn other_forms(&mut self, log: &Log) {
        let world = self.world;
        let command = self.good().sign1();
        let said = cose::open::<Query>(&command).and_then(|opened| opened.verify());
        self.add(
            "signed-query",
            "a command for a query",
            &command,
            Code::Malformed,
            said,
        );
        let statement =
            LedgerKey::open(&world.ledger_statement(), &world.ledger).expect("our own statement");
        let bytes = cose::sign(&statement, &world.bob);
        let said = LedgerKey::open(&bytes, &world.ledger).map(drop);
        self.add(
            "signed-ledger-key",
            "not signed by the ledger's id",
            &bytes,
            Code::WrongLedger,
            said,
        );
        let signer = public(&world.online);
        let statement = SealingKey::open(&world.sealing_statement(), &world.ledger, &signer)
            .expect("our own statement");
        let bytes = cose::sign(&statement, &world.ledger_key);
        let said = SealingKey::open(&bytes, &world.ledger, &signer).map(drop);
        self.add(
            "signed-sealing-key",
            "not signed by the online key",
            &bytes,
            Code::WrongLedger,
            said,
        );
        let request = vec![(tstr("seen"), uint(0)), (tstr("command"), bstr(&command))];
        let bytes = map(&request);
        let said = cbor::decode::<CommandRequest>(&bytes).map(drop);
        self.add(
            "command-request",
            "no values",
            &bytes,
            Code::Malformed,
            said,
        );
        let bytes = [&log.entries[0][..], &[0]].concat();
        let said = Recorded::decode_strict(Index(0), &bytes).map(drop);
        self.add(
            "entry",
            "a byte after the end",
            &bytes,
            Code::Malformed,
            said,
        );
    }
}

pub(crate) fn document(world: &World, log: &Log) -> Value {
    let mut cases = Cases {
        world,
        list: Vec::new(),
    };
    cases.envelopes();
    cases.payloads();
    cases.contents();
    cases.signatures();
    cases.delegations();
    crate::refused_sign_ins::add(&mut cases);
    crate::refused_invitations::add(&mut cases);
    cases.other_forms(log);
    json!({
        "about": "Bytes that must be refused, each with its code; proofs that prove nothing, and bundles that do not verify.",
        "forms": cases.list,
        "proofs": proofs(world, log),
        "bundles": bundles(world, log),
    })
}
