//! Faults are injected into the ledger, under load, and the result is checked: docs/reliability.md.
//!
//! `KEYROLL_FAULTS` sets how often (`short`, `bounded`, `long`), `KEYROLL_FAULTS_SEED` the seed;
//! each test prints its faults and its seed.

mod clocks;
mod crashes;
mod crowds;
mod replicas;
mod restarts;
mod syncs;
mod three_nodes;
