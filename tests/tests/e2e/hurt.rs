//! The ledger is hurt on purpose, under load, and what is left is judged: docs/reliability.md.
//!
//! `KEYROLL_FAULTS` says how often (`short`, `bounded`, `long`), `KEYROLL_FAULTS_SEED` by which numbers;
//! each test prints both what it did and its seed.

mod clocks;
mod crashes;
mod crowds;
mod replicas;
mod restarts;
mod syncs;
mod three_nodes;
