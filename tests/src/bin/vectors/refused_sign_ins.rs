//! Sign-ins that must be refused.

use keyroll_core::command::{Nothing, SignInOpen};
use keyroll_core::sign_in::{SignInProof, SignInStatement, SignInTerms};
use keyroll_core::{Action, Code, Command, Millis, cose};

use crate::raw::{bstr, map, tstr, uint};
use crate::refused::{Cases, fields};
use crate::world::{START, member};

pub(crate) fn add(cases: &mut Cases<'_>) {
    cases.sign_ins();
}

impl Cases<'_> {
    fn sign_ins(&mut self) {
        let world = self.world;
        let open = |open: SignInOpen| world.signed_in(1, Action::SignInOpen(open));
        let by_bob = world.sign_in_statement(&world.bob, &world.sign_in_terms());
        let other = SignInTerms {
            until: Millis(START + 1),
            ..world.sign_in_terms()
        };
        let other = world.sign_in_statement(&world.alice, &other);
        let proof = |statement: Vec<u8>| SignInOpen {
            proof: SignInProof::Key(statement.into()),
            ..world.sign_in()
        };
        let mut flipped = world.sign_in_statement(&world.alice, &world.sign_in_terms());
        *flipped.last_mut().expect("bytes") ^= 1;
        let cases = [
            (
                "a proof of a sign-in for another time",
                open(proof(other)),
                Code::BadSignature,
            ),
            (
                "a proof of a sign-in with a flipped bit",
                open(proof(flipped)),
                Code::BadSignature,
            ),
            (
                "a delegation for a proof of a sign-in",
                open(proof(world.delegation())),
                Code::Malformed,
            ),
        ];
        for (called, bytes, code) in cases {
            self.command(called, &bytes, code);
        }
        // Bob's proof is a proof, but the state knows that alice is another member.
        let statement = cose::open::<SignInStatement>(&by_bob).and_then(|opened| opened.verify());
        assert!(statement.is_ok(), "bob signed it");
        let other_key = Command {
            member: Some(member(&world.alice)),
            ..world.command(1, Action::SignInOpen(world.sign_in()))
        };
        let bytes = cose::sign(&other_key, &world.nightly);
        self.command("a sign-in sent by another key", &bytes, Code::BadSignature);
        self.unknown_variants();
        let itself = Command {
            member: Some(member(&world.alice)),
            ..world.command(1, Action::KeyRotate(Nothing {}))
        };
        let bytes = cose::sign(&itself, &world.alice);
        self.command("a member named by its own key", &bytes, Code::Malformed);
    }

    /// Kinds of proofs and approvals that a later program may know.
    fn unknown_variants(&mut self) {
        let world = self.world;
        let open = world.sign_in();
        let made_up = map(&vec![(tstr("made-up"), bstr(&[0]))]);
        let action = vec![
            (tstr("key"), bstr(&open.key.0)),
            (tstr("from"), uint(open.from.0)),
            (tstr("proof"), made_up.clone()),
            (tstr("until"), uint(open.until.0)),
            (tstr("where"), tstr(open.origin.as_str())),
        ];
        let claim = (tstr("member"), bstr(&member(&world.alice).0));
        let mut proof = fields(world);
        proof[3].1 = map(&vec![(tstr("signin.open"), map(&action))]);
        proof.insert(5, claim.clone());
        let mut approval = fields(world);
        approval.insert(5, (tstr("approval"), made_up));
        approval.insert(5, claim);
        for (called, fields) in [
            ("a made-up proof of a sign-in", proof),
            ("a made-up approval", approval),
        ] {
            let bytes = self.parts(map(&fields)).sign1();
            self.command(called, &bytes, Code::UpgradeNeeded);
        }
    }
}
