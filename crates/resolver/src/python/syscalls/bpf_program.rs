//! Compiling the allowlist into a BPF program, as the kernel takes it.
//!
//! The program gets a call's number and arguments and returns an action. One program has all three actions. With
//! several filters the strictest action wins, and of two errors the one of the filter installed last, so the
//! result would depend on their order.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use nix::libc;
use seccompiler::sock_filter;

/// `AUDIT_ARCH_*`: the table of call numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Arch {
    X86_64 = 0xc000_003e,
    Aarch64 = 0xc000_00b7,
}

/// A condition on one argument, counted from zero. The kernel reads only 32 bits of most arguments, so
/// conditions compare the lower half.
#[derive(Debug, Clone, Copy)]
pub(super) enum Condition {
    /// The argument is one of these values.
    OneOf(u8, &'static [u32]),
    /// Without the bits of the mask, the argument is one of these values.
    MaskedOneOf(u8, u32, &'static [u32]),
    /// No other bits than these are set.
    OnlyBits(u8, u32),
    /// None of these bits is set.
    NoBits(u8, u32),
    /// The argument is at most this.
    AtMost(u8, u32),
    /// The upper half of the argument is zero.
    UpperHalfZero(u8),
    /// The argument is this process's id.
    OwnPid(u8),
}

/// A call is allowed if all conditions of a rule hold.
pub(super) type Rule = &'static [Condition];

/// Compiles a filter. A call in `allowed` is allowed if one of its rules holds, and fails with `EPERM`
/// otherwise. Any other call in `known` fails with `EPERM`. A call in neither fails with `ENOSYS`. A process
/// that uses another architecture's numbers is killed.
pub(super) fn program(
    arch: Arch,
    allowed: &BTreeMap<u32, Vec<Rule>>,
    known: &[RangeInclusive<u32>],
    own: u32,
) -> Vec<sock_filter> {
    let mut program = vec![
        load(ARCH),
        jump(JEQ, arch as u32, 1, 0),
        return_action(KILL_PROCESS),
        load(NUMBER),
    ];
    search(&ranges(allowed, known, own), &mut program);
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

fn return_action(action: u32) -> sock_filter {
    jump(RETURN, action, 0, 0)
}

/// An unconditional jump. Unlike the others it reaches any distance.
fn skip(count: usize) -> sock_filter {
    let count = u32::try_from(count).expect("a program has less than 4096 instructions");
    jump(JA, count, 0, 0)
}

/// The first number of a range, and the program for the calls of that range.
type NumberRange = (u32, Vec<sock_filter>);

/// All call numbers, as consecutive ranges.
fn ranges(
    allowed: &BTreeMap<u32, Vec<Rule>>,
    known: &[RangeInclusive<u32>],
    own: u32,
) -> Vec<NumberRange> {
    let starts = known
        .iter()
        .flat_map(|range| [*range.start(), range.end() + 1]);
    let around = allowed.keys().flat_map(|number| [*number, number + 1]);
    let mut starts: Vec<u32> = starts.chain(around).chain([0]).collect();
    starts.sort_unstable();
    let mut ranges: Vec<NumberRange> = Vec::new();
    for number in starts {
        let range_program = match allowed.get(&number) {
            Some(rules) => compile_rules(rules, own),
            None if known.iter().any(|range| range.contains(&number)) => {
                vec![return_action(REFUSED)]
            }
            None => vec![return_action(UNKNOWN)],
        };
        let differs = ranges
            .last()
            .is_none_or(|(_, last)| !same(last, &range_program));
        if differs {
            ranges.push((number, range_program));
        }
    }
    ranges
}

fn same(left: &[sock_filter], right: &[sock_filter]) -> bool {
    let parts = |one: &sock_filter| (one.code, one.jt, one.jf, one.k);
    left.iter().map(parts).eq(right.iter().map(parts))
}

/// Binary search for the range of the call number in the accumulator.
fn search(ranges: &[NumberRange], program: &mut Vec<sock_filter>) {
    if let [(_, range_program)] = ranges {
        program.extend_from_slice(range_program);
        return;
    }
    let (lower, upper) = ranges.split_at(ranges.len() / 2);
    program.push(jump(JGE, upper[0].0, 0, 1));
    let from = program.len();
    program.push(skip(0));
    search(lower, program);
    program[from] = skip(program.len() - from - 1);
    search(upper, program);
}

/// Compiles the rules of a call: it is allowed if one of them holds.
fn compile_rules(rules: &[Rule], own: u32) -> Vec<sock_filter> {
    let mut program = Vec::new();
    for rule in rules {
        let mut tests = Vec::new();
        for condition in *rule {
            tests.extend(test(*condition, own));
        }
        tests.push(Instruction::Bpf(return_action(ALLOW)));
        let count = tests.len();
        program.extend(tests.into_iter().enumerate().map(|(at, step)| match step {
            Instruction::Bpf(instruction) => instruction,
            Instruction::NextRule => skip(count - at - 1),
        }));
    }
    // A rule without conditions always holds, so nothing after it is reached.
    if !rules.iter().any(|rule| rule.is_empty()) {
        program.push(return_action(REFUSED));
    }
    program
}

enum Instruction {
    Bpf(sock_filter),
    NextRule,
}

/// Compiles a condition: continue if it holds, else jump to the next rule.
fn test(condition: Condition, own: u32) -> Vec<Instruction> {
    let lower = |argument: u8| load(ARGUMENTS + 8 * u32::from(argument));
    let upper = |argument: u8| load(ARGUMENTS + 8 * u32::from(argument) + 4);
    let mut steps: Vec<sock_filter> = Vec::new();
    match condition {
        Condition::OneOf(argument, values) => {
            steps.push(lower(argument));
            steps.extend(one_of(values));
        }
        Condition::MaskedOneOf(argument, mask, values) => {
            steps.push(lower(argument));
            steps.push(jump(AND, !mask, 0, 0));
            steps.extend(one_of(values));
        }
        Condition::OnlyBits(argument, bits) => {
            steps.push(lower(argument));
            steps.push(jump(JSET, !bits, 0, 1));
        }
        Condition::NoBits(argument, bits) => {
            steps.push(lower(argument));
            steps.push(jump(JSET, bits, 0, 1));
        }
        Condition::AtMost(argument, most) => {
            steps.push(lower(argument));
            steps.push(jump(JGT, most, 0, 1));
        }
        Condition::UpperHalfZero(argument) => {
            steps.push(upper(argument));
            steps.push(jump(JEQ, 0, 1, 0));
        }
        Condition::OwnPid(argument) => {
            steps.push(lower(argument));
            steps.extend(one_of(&[own]));
        }
    }
    steps
        .into_iter()
        .map(Instruction::Bpf)
        .chain([Instruction::NextRule])
        .collect()
}

/// Skips the instruction that follows if the accumulator is one of the values.
fn one_of(values: &[u32]) -> impl Iterator<Item = sock_filter> {
    let left = |at: usize| u8::try_from(values.len() - at).expect("fewer than 256 values");
    values
        .iter()
        .enumerate()
        .map(move |(at, value)| jump(JEQ, *value, left(at), 0))
}
