mod samples;

use std::collections::{BTreeMap, BTreeSet};

use seccompiler::sock_filter;

use super::allowlist::{ALLOWED, Syscall, known};
use super::bpf_program::Arch;
use super::{FilterOptions, build};
use samples::{OWN, SAMPLES, one, sample_of};

/// The result of each call, for people and for these tests.
const TABLE: &str = include_str!("../../../syscalls/x86_64.tsv");

/// The calls that interpreters were observed to make.
const OBSERVED: &str = include_str!("../../../syscalls/observed.txt");

/// Refused calls that interpreters can do without, and what they do instead. Without the network there are
/// also Unix sockets: looking up a user asks a cache, and then reads a file.
const DONE_WITHOUT: [(&str, &str); 3] = [
    ("clone3", "threads are started with clone"),
    (
        "mbind",
        "OpenBLAS leaves its memory where the kernel puts it",
    ),
    ("statfs", "libffi takes SELinux for absent"),
];

fn options(network: bool, truncation: bool) -> FilterOptions {
    let pid = OWN;
    FilterOptions {
        pid,
        network,
        truncation,
    }
}

struct Row {
    number: u32,
    name: &'static str,
    outcome: &'static str,
}

fn is_allowed(row: &Row) -> bool {
    matches!(row.outcome, "allowed" | "checked" | "network")
}

fn table() -> Vec<Row> {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#'));
    rows.map(|line| {
        let [number, name, outcome] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("three columns: {line}")
        };
        let number = number.parse().expect("a number");
        Row {
            number,
            name,
            outcome,
        }
    })
    .collect()
}

/// A call, its arguments, and the right result.
type Probe = (u32, [u64; 6], &'static str);

fn probes(network: bool) -> Vec<Probe> {
    let mut named = BTreeSet::new();
    let mut probes: Vec<Probe> = Vec::new();
    for row in table() {
        named.insert(row.number);
        let mut ask = |arguments: &[[u64; 6]], right| {
            probes.extend(arguments.iter().map(|one| (row.number, *one, right)));
        };
        // No bits and all bits.
        let anything = [[0; 6], [u64::MAX; 6]];
        match row.outcome {
            "allowed" => ask(&anything, "allowed"),
            "refused" => ask(&anything, "EPERM"),
            "unknown" => ask(&anything, "ENOSYS"),
            "unfiltered" => {}
            "checked" | "network" => {
                let sample = sample_of(row.name);
                ask(sample.allowed, "allowed");
                ask(sample.network, if network { "allowed" } else { "EPERM" });
                ask(sample.refused, "EPERM");
            }
            other => panic!("{}: {other}", row.name),
        }
    }
    let x32 = 0x4000_0000;
    let numbers = (0..1024)
        .chain(x32..x32 + 600)
        .chain([1 << 29, 1 << 31, u32::MAX - 1, u32::MAX]);
    let others = numbers.filter(|number| !named.contains(number));
    probes.extend(others.map(|number| (number, [0; 6], "ENOSYS")));
    probes
}

#[test]
fn the_table_names_what_the_list_allows_and_every_condition_has_samples() {
    let rows: BTreeMap<&str, Row> = table().into_iter().map(|row| (row.name, row)).collect();
    let known = known(Arch::X86_64);
    for row in rows.values() {
        let is_known = known.iter().any(|range| range.contains(&row.number));
        assert_eq!(
            is_known,
            !matches!(row.outcome, "unknown" | "unfiltered"),
            "{}",
            row.name
        );
    }
    for call in ALLOWED {
        let row = rows.get(call.name).expect("a row");
        assert_eq!(call.number(Arch::X86_64), Some(row.number), "{}", call.name);
        assert!(is_allowed(row), "{}", call.name);
    }
    let allowed = rows.values().filter(|row| is_allowed(row));
    assert_eq!(allowed.count(), ALLOWED.len());
    for row in rows.values() {
        if row.outcome == "checked" {
            let sample = sample_of(row.name);
            assert!(
                !sample.allowed.is_empty() && !sample.refused.is_empty(),
                "{}",
                row.name
            );
        }
    }
}

/// Every allowed call was observed or has a reason. For every observed call that is refused, it is known what
/// Python does instead.
#[test]
fn every_allowed_call_was_observed_or_has_a_reason() {
    let lines = OBSERVED.lines().filter_map(|line| line.split_once('\t'));
    let seen: BTreeSet<&str> = lines.map(|(call, _)| call).collect();
    let names: BTreeSet<&str> = seen
        .iter()
        .filter_map(|call| call.split(' ').next())
        .collect();
    for call in ALLOWED {
        let observed = names.contains(call.name);
        assert_ne!(
            observed,
            call.reason.is_some(),
            "{}: {:?}",
            call.name,
            call.reason
        );
    }
    let allowed: BTreeSet<&str> = ALLOWED.iter().map(|call| call.name).collect();
    for call in &seen {
        let done_without = DONE_WITHOUT
            .iter()
            .any(|(known, _)| call.starts_with(known));
        let name = call.split(' ').next().unwrap_or_default();
        assert!(
            done_without || allowed.contains(name),
            "{call} is observed and not in the list"
        );
    }
}

/// The kernel itself judges each number and each sample of arguments, each in a process of its own.
#[cfg(target_arch = "x86_64")]
#[test]
fn the_kernel_treats_every_number_as_in_the_table() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    for network in [false, true] {
        let mut probes = probes(network);
        if network {
            // The rest of the program is the same.
            let named = table();
            let decided = named
                .iter()
                .filter(|row| !matches!(row.outcome, "allowed" | "refused"));
            let decided: BTreeSet<u32> = decided.map(|row| row.number).collect();
            probes.retain(|(number, ..)| decided.contains(number));
        }
        let filter = build(Arch::X86_64, options(network, false));
        let filter: Vec<_> = filter
            .iter()
            .map(|one| (one.code, one.jt, one.jf, one.k))
            .collect();
        let asked: Vec<_> = probes
            .iter()
            .map(|(number, arguments, _)| (number, arguments))
            .collect();
        let asked = serde_json::json!({"filter": filter, "probes": asked}).to_string();
        let mut probe = Command::new("python3")
            .args([
                "-I",
                concat!(env!("CARGO_MANIFEST_DIR"), "/syscalls/probe.py"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut input = probe.stdin.take().expect("its input");
        input.write_all(asked.as_bytes()).expect("taken");
        drop(input);
        let output = probe.wait_with_output().expect("its answer");
        let words: Vec<String> = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(words.len(), probes.len());
        let wrong: Vec<String> = probes
            .iter()
            .zip(&words)
            .filter(|((_, _, right), word)| word != right)
            .map(|((number, arguments, right), word)| {
                format!("{number} {arguments:x?}: {word} instead of {right}")
            })
            .collect();
        assert!(wrong.is_empty(), "network {network}:\n{}", wrong.join("\n"));
    }
}

/// Runs a program as the kernel does, for architectures other than this machine's.
fn run(program: &[sock_filter], arch: u32, number: u32, arguments: [u64; 6]) -> u32 {
    let mut data = vec![number, arch, 0, 0];
    for argument in arguments {
        let half = |bits: u64| u32::try_from(bits & 0xffff_ffff).expect("32 bits");
        data.extend([half(argument), half(argument >> 32)]);
    }
    let (mut at, mut accumulator) = (0, 0);
    loop {
        let one = &program[at];
        let branch = |holds: bool| usize::from(if holds { one.jt } else { one.jf });
        at += 1;
        match one.code {
            0x20 => accumulator = data[one.k as usize / 4],
            0x54 => accumulator &= one.k,
            0x05 => at += one.k as usize,
            0x15 => at += branch(accumulator == one.k),
            0x25 => at += branch(accumulator > one.k),
            0x35 => at += branch(accumulator >= one.k),
            0x45 => at += branch(accumulator & one.k != 0),
            0x06 => return one.k,
            code => panic!("no such instruction: {code:x}"),
        }
    }
}

fn word(answer: u32) -> &'static str {
    match answer {
        0x7fff_0000 => "allowed",
        0x0005_0001 => "EPERM",
        0x0005_0026 => "ENOSYS",
        0x8000_0000 => "killed",
        other => panic!("no such answer: {other:x}"),
    }
}

#[test]
fn the_programs_of_both_architectures_match_the_table() {
    let names: BTreeMap<u32, &Syscall> = ALLOWED
        .iter()
        .filter_map(|call| Some((call.number(Arch::Aarch64)?, call)))
        .collect();
    for network in [false, true] {
        let program = build(Arch::X86_64, options(network, false));
        assert!(program.len() < 4096, "{}", program.len());
        for (number, arguments, right) in probes(network) {
            let answer = run(&program, Arch::X86_64 as u32, number, arguments);
            assert_eq!(word(answer), right, "{number} {arguments:x?}");
        }
        // int 0x80 has the numbers of 32-bit programs.
        assert_eq!(word(run(&program, 0x4000_0003, 1, [0; 6])), "killed");

        let program = build(Arch::Aarch64, options(network, false));
        assert!(program.len() < 4096, "{}", program.len());
        assert_eq!(
            word(run(&program, Arch::X86_64 as u32, 63, [0; 6])),
            "killed"
        );
        for number in (0..1024).chain([0x4000_0000, u32::MAX]) {
            let answer = |arguments| word(run(&program, Arch::Aarch64 as u32, number, arguments));
            let Some(call) = names.get(&number) else {
                let there = matches!(number, 0..=243 | 260..=294 | 424..=434 | 436 | 438..=469);
                assert_eq!(
                    answer([0; 6]),
                    if there { "EPERM" } else { "ENOSYS" },
                    "{number}"
                );
                continue;
            };
            let Some(sample) = SAMPLES.iter().find(|sample| sample.name == call.name) else {
                assert_eq!(answer([u64::MAX; 6]), "allowed", "{}", call.name);
                continue;
            };
            for arguments in sample.allowed {
                assert_eq!(
                    answer(*arguments),
                    "allowed",
                    "{} {arguments:x?}",
                    call.name
                );
            }
            for arguments in sample.network {
                let right = if network { "allowed" } else { "EPERM" };
                assert_eq!(answer(*arguments), right, "{} {arguments:x?}", call.name);
            }
            for arguments in sample.refused {
                assert_eq!(answer(*arguments), "EPERM", "{} {arguments:x?}", call.name);
            }
        }
    }
}

#[test]
fn truncation_is_left_to_landlock_where_it_can_refuse_it() {
    for (truncation, right) in [(false, "EPERM"), (true, "allowed")] {
        let program = build(Arch::X86_64, options(false, truncation));
        let answer = |flags| word(run(&program, Arch::X86_64 as u32, 257, one(2, flags)));
        assert_eq!(answer(0o1101), right);
        assert_eq!(answer(0o2020_0001), "EPERM", "a file without a name");
    }
}
