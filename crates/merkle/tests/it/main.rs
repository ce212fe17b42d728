//! The crate seen from outside, in one binary.

mod checkpoints;
mod keys;
mod known_answers;
mod naive;
mod proofs;
mod tlog_proofs;
mod windows;
