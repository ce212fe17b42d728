//! Acceptances of invitations that must be refused.

use keyroll_core::{Code, Command, cose};

use crate::invitations::{accept, bound, code_key, statement};
use crate::raw::{bstr, map, tstr};
use crate::refused::{Cases, fields};
use crate::world::{member, public};

pub(crate) fn add(cases: &mut Cases<'_>) {
    cases.acceptances();
}

impl Cases<'_> {
    fn acceptances(&mut self) {
        let world = self.world;
        let code = code_key(world);
        let signed = |proof| cose::sign(&world.command(1, accept(world, proof)), &code);
        let own = bound(world, &world.bob);
        let mut flipped = statement(&world.bob, own);
        *flipped.last_mut().expect("bytes") ^= 1;
        let cases = [
            (
                "an acceptance for another new member",
                signed(statement(&world.bob, bound(world, &world.nightly))),
                Code::BadSignature,
            ),
            (
                "an acceptance with a proof by another key",
                signed(statement(&world.nightly, own)),
                Code::BadSignature,
            ),
            (
                "an acceptance with a flipped bit in its proof",
                signed(flipped),
                Code::BadSignature,
            ),
            (
                "a sign-in for a proof of an acceptance",
                signed(world.sign_in_statement(&world.bob, &world.sign_in_terms())),
                Code::Malformed,
            ),
        ];
        for (called, bytes, code) in cases {
            self.command(called, &bytes, code);
        }
        let proof = || statement(&world.bob, own);
        let command = world.command(1, accept(world, proof()));
        let bytes = cose::sign(&command, &world.nightly);
        self.command("an acceptance by another code", &bytes, Code::BadSignature);
        let claimed = Command {
            member: Some(member(&world.alice)),
            ..command.clone()
        };
        let bytes = cose::sign(&claimed, &code);
        self.command("an acceptance for a member", &bytes, Code::Malformed);
        let bytes = cose::sign(&command, &world.bob);
        self.command(
            "an acceptance by the new member's key",
            &bytes,
            Code::Malformed,
        );
        let kind = map(&vec![(tstr("made-up"), bstr(&[0]))]);
        let key = map(&vec![(tstr("key"), bstr(&public(&world.bob).0))]);
        let known = map(&vec![(tstr("key"), bstr(&proof()))]);
        for (called, proof, principal) in [
            ("a made-up proof of an acceptance", kind.clone(), key),
            ("a made-up principal", known, kind),
        ] {
            let action = vec![(tstr("proof"), proof), (tstr("principal"), principal)];
            let mut fields = fields(world);
            fields[3].1 = map(&vec![(tstr("member.accept"), map(&action))]);
            let bytes = self.parts(map(&fields)).sign1();
            self.command(called, &bytes, Code::UpgradeNeeded);
        }
    }
}
