//! A filter as the kernel takes it: a small program that gets a call's number and arguments and
//! says what becomes of it.
//!
//! One program holds all three answers. Of filters that are stacked the strictest action counts,
//! and of two that answer with an error the one that was installed last; a list that is spread over
//! several filters has answers that depend on their order.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use nix::libc;
use seccompiler::sock_filter;

/// `AUDIT_ARCH_*`: which table of numbers a call means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Arch {
    X86_64 = 0xc000_003e,
    Aarch64 = 0xc000_00b7,
}

/// A condition on one argument, counted from zero. The kernel takes most arguments as 32 bits and
/// does not look at the upper half, so neither does a condition unless it says so.
#[derive(Debug, Clone, Copy)]
pub(super) enum Check {
    /// One of these.
    Is(u8, &'static [u32]),
    /// One of these, the bits of the mask aside.
    Aside(u8, u32, &'static [u32]),
    /// No bits but these.
    Only(u8, u32),
    /// None of these bits.
    Without(u8, u32),
    /// At most this.
    UpTo(u8, u32),
    /// All 64 bits: zero in the upper half.
    Short(u8),
    /// This process's id.
    Own(u8),
}

/// Conditions that hold together.
pub(super) type Case = &'static [Check];

/// A program: every number in `allowed` may be called in each of its cases, and is refused with
/// `EPERM` in others. So is any other number in `known`; what is in neither does not exist
/// (`ENOSYS`). A process that calls by another architecture's table is ended.
pub(super) fn program(
    arch: Arch,
    allowed: &BTreeMap<u32, Vec<Case>>,
    known: &[RangeInclusive<u32>],
    own: u32,
) -> Vec<sock_filter> {
    let mut program = vec![
        load(ARCH),
        jump(JEQ, arch as u32, 1, 0),
        answer(KILL_PROCESS),
        load(NUMBER),
    ];
    search(&leaves(allowed, known, own), &mut program);
    program
}

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENTS: u32 = 16;

const LOAD: u16 = 0x20;
const AND: u16 = 0x54;
const JA: u16 = 0x05;
const JEQ: u16 = 0x15;
const JGT: u16 = 0x25;
const JGE: u16 = 0x35;
const JSET: u16 = 0x45;
const RETURN: u16 = 0x06;

const KILL_PROCESS: u32 = 0x8000_0000;
const ALLOW: u32 = 0x7fff_0000;
const REFUSED: u32 = 0x0005_0000 | libc::EPERM.unsigned_abs();
const UNKNOWN: u32 = 0x0005_0000 | libc::ENOSYS.unsigned_abs();

fn jump(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

fn load(offset: u32) -> sock_filter {
    jump(LOAD, offset, 0, 0)
}

fn answer(what: u32) -> sock_filter {
    jump(RETURN, what, 0, 0)
}

/// `JA`: unlike the others it reaches any distance.
fn skip(count: usize) -> sock_filter {
    let count = u32::try_from(count).expect("a program has less than 4096 instructions");
    jump(JA, count, 0, 0)
}

/// What becomes of numbers from here to the next leaf.
type Leaf = (u32, Vec<sock_filter>);

/// The whole range of numbers, in order.
fn leaves(
    allowed: &BTreeMap<u32, Vec<Case>>,
    known: &[RangeInclusive<u32>],
    own: u32,
) -> Vec<Leaf> {
    let starts = known
        .iter()
        .flat_map(|range| [*range.start(), range.end() + 1]);
    let around = allowed.keys().flat_map(|number| [*number, number + 1]);
    let mut starts: Vec<u32> = starts.chain(around).chain([0]).collect();
    starts.sort_unstable();
    let mut leaves: Vec<Leaf> = Vec::new();
    for number in starts {
        let leaf = match allowed.get(&number) {
            Some(cases) => when(cases, own),
            None if known.iter().any(|range| range.contains(&number)) => vec![answer(REFUSED)],
            None => vec![answer(UNKNOWN)],
        };
        let differs = leaves.last().is_none_or(|(_, last)| !same(last, &leaf));
        if differs {
            leaves.push((number, leaf));
        }
    }
    leaves
}

fn same(left: &[sock_filter], right: &[sock_filter]) -> bool {
    let parts = |one: &sock_filter| (one.code, one.jt, one.jf, one.k);
    left.iter().map(parts).eq(right.iter().map(parts))
}

/// Halves the range until one leaf is left. The number is in the accumulator.
fn search(leaves: &[Leaf], program: &mut Vec<sock_filter>) {
    if let [(_, leaf)] = leaves {
        program.extend_from_slice(leaf);
        return;
    }
    let (lower, upper) = leaves.split_at(leaves.len() / 2);
    program.push(jump(JGE, upper[0].0, 0, 1));
    let from = program.len();
    program.push(skip(0));
    search(lower, program);
    program[from] = skip(program.len() - from - 1);
    search(upper, program);
}

/// Allows a call in each of these cases.
fn when(cases: &[Case], own: u32) -> Vec<sock_filter> {
    let mut program = Vec::new();
    for case in cases {
        let mut tests = Vec::new();
        for check in *case {
            tests.extend(test(*check, own));
        }
        tests.push(Step::Do(answer(ALLOW)));
        let count = tests.len();
        program.extend(tests.into_iter().enumerate().map(|(at, step)| match step {
            Step::Do(instruction) => instruction,
            Step::NextCase => skip(count - at - 1),
        }));
    }
    // A case without a condition leaves nothing to refuse.
    if !cases.iter().any(|case| case.is_empty()) {
        program.push(answer(REFUSED));
    }
    program
}

enum Step {
    Do(sock_filter),
    NextCase,
}

/// Goes on behind itself where the condition holds, and else to the next case.
fn test(check: Check, own: u32) -> Vec<Step> {
    let lower = |argument: u8| load(ARGUMENTS + 8 * u32::from(argument));
    let upper = |argument: u8| load(ARGUMENTS + 8 * u32::from(argument) + 4);
    let mut steps: Vec<sock_filter> = Vec::new();
    match check {
        Check::Is(argument, values) => {
            steps.push(lower(argument));
            steps.extend(one_of(values));
        }
        Check::Aside(argument, mask, values) => {
            steps.push(lower(argument));
            steps.push(jump(AND, !mask, 0, 0));
            steps.extend(one_of(values));
        }
        Check::Only(argument, bits) => {
            steps.push(lower(argument));
            steps.push(jump(JSET, !bits, 0, 1));
        }
        Check::Without(argument, bits) => {
            steps.push(lower(argument));
            steps.push(jump(JSET, bits, 0, 1));
        }
        Check::UpTo(argument, most) => {
            steps.push(lower(argument));
            steps.push(jump(JGT, most, 0, 1));
        }
        Check::Short(argument) => {
            steps.push(upper(argument));
            steps.push(jump(JEQ, 0, 1, 0));
        }
        Check::Own(argument) => {
            steps.push(lower(argument));
            steps.extend(one_of(&[own]));
        }
    }
    steps
        .into_iter()
        .map(Step::Do)
        .chain([Step::NextCase])
        .collect()
}

/// Jumps over the instruction behind it where the accumulator is one of the values.
fn one_of(values: &[u32]) -> impl Iterator<Item = sock_filter> {
    let left = |at: usize| u8::try_from(values.len() - at).expect("fewer than 256 values");
    values
        .iter()
        .enumerate()
        .map(move |(at, value)| jump(JEQ, *value, left(at), 0))
}
