//! Writes the test vectors in `schemas/vectors` from fixed keys, nonces and times: the same files
//! on every run. Everything goes through the ledger's own code; `tests/tools/check_vectors.py`
//! reads the files with other libraries.

mod actions;
mod answers;
mod forms;
mod invitations;
mod log;
mod queries;
mod raw;
mod refused;
mod refused_bundles;
mod refused_invitations;
mod refused_proofs;
mod refused_sign_ins;
mod tree;
mod values;
mod wire;
mod world;

use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

/// Every file's name and content.
fn documents() -> Vec<(&'static str, Value)> {
    let world = world::World::new();
    let log = log::Log::new(&world);
    vec![
        ("keys.json", world.keys()),
        ("statements.json", world.statements()),
        ("commands.json", actions::commands(&world)),
        ("entries.json", actions::entries(&world)),
        ("log.json", log.document()),
        ("tree.json", tree::document(&world, &log)),
        ("queries.json", queries::document(&world, &log)),
        ("wire.json", wire::document(&world, &log)),
        ("values.json", values::document(&world)),
        ("refused.json", refused::document(&world, &log)),
    ]
}

fn write(dir: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(dir)?;
    for (name, document) in documents() {
        std::fs::write(dir.join(name), format!("{document:#}\n"))?;
    }
    Ok(())
}

fn main() -> ExitCode {
    let Some(dir) = std::env::args_os().nth(1) else {
        eprintln!("usage: vectors DIR (schemas/vectors)");
        return ExitCode::from(2);
    };
    match write(Path::new(&dir)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("vectors: {}: {error}", dir.display());
            ExitCode::FAILURE
        }
    }
}
