//! Another client, written in Python from `docs/protocol.md` and `schemas/` alone, on the real
//! service.

use std::path::Path;

use keyroll_tests::harness::{Dev, Run, python};
use serde_json::json;

#[test]
fn a_client_from_the_documents_alone_can_do_it_all() {
    let dev = Dev::start();
    dev.create("From_CLI", "made by the command line");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("foreign/run.py");
    let run = Run::program(python::python(), "run.py")
        // No byte code beside the sources.
        .arg("-B")
        .arg(script)
        .arg(dev.nats_url())
        .arg(dev.nats_creds())
        .arg(dev.ledger().to_string())
        .arg("demo")
        .arg(dev.home().data().join("identity.pem"))
        .arg(dev.home().scratch())
        .stdin(json!({"From_CLI": "made by the command line"}).to_string())
        .run()
        .code(0);
    let made = run.json()["made"].clone();
    let made = made.as_object().expect("names and values");
    assert!(!made.is_empty());
    for (name, value) in made {
        dev.keyroll(["secret", "reveal", name])
            .run()
            .code(0)
            .stdout(value.as_str().expect("a value"));
    }
    dev.verifies();
}
