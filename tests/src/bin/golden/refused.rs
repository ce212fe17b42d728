//! Refusals that are recorded, for each reason; and names that a later rule may refuse.

use std::time::Duration;

use keyroll_tests::harness::Dev;

/// Names with characters that are invisible, or that change how their neighbours are shown.
const ODD_NAMES: [&str; 12] = [
    "Zo\u{200b}e",
    "mallory\u{202e}gpj",
    "so\u{ad}ft",
    "no\u{a0}break",
    "\u{3164}",
    "\u{2800}",
    "ideo\u{3000}graphic",
    "word\u{2060}joiner",
    "tag\u{e0041}",
    "selector\u{fe0f}",
    "two  blanks",
    "private \u{e000} use",
];

pub(crate) fn all(dev: &Dev) {
    let denied = |who, words: &[&str]| {
        dev.keyroll_as(who, words).run().code(4);
    };
    let rudi = dev.member("rudi two", "runner", "STRIPE_*");
    // Refused for the role. Running programs is what a runner is for, by rules 4.
    denied(&rudi, &["secret", "reveal", "STRIPE_Live"]);
    let run = ["run", "--only", "STRIPE_Live", "--", "true"];
    dev.keyroll_as(&rudi, run).run().code(0);
    // Refused for the patterns.
    let nils = dev.member("nils", "editor", "Bob*");
    denied(&nils, &["secret", "reveal", "Plain"]);
    // Refused for a restricted secret.
    dev.keyroll(["secret", "reveal", "Blocks_Only"])
        .run()
        .code(4);
    // Refused for the end of a membership.
    let eve = dev.person("eve");
    let add = ["member", "add", "eve", &eve.key, "--role", "editor"];
    dev.keyroll(add).args(["--expires", "3s"]).run().code(0);
    std::thread::sleep(Duration::from_secs(4));
    denied(&eve, &["secret", "reveal", "Plain"]);
    // More refusals than have an entry each.
    let vera = dev.member("vera", "viewer", "*");
    for _ in 0..14 {
        denied(&vera, &["secret", "reveal", "Plain"]);
    }
    unusual_names(dev);
}

/// Adds members with such names, and renames members to them, where the program accepts it.
fn unusual_names(dev: &Dev) {
    for (number, name) in ODD_NAMES.iter().enumerate() {
        let key = dev.person(&format!("odd-{number}")).key;
        let add = ["member", "add", name, &key, "--role", "viewer"];
        dev.keyroll(add).run().code_in(&[0, 2]);
    }
    let change = ["member", "change", "vera", "--name", "Ve\u{200d}ra"];
    dev.keyroll(change).run().code_in(&[0, 2]);
}
