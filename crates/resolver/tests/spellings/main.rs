//! Masking of texts that encoders of Python, Node.js and bash have written.
//!
//! Up to three encoders are applied to a text with a value in it. After masking, nothing that depends on the
//! value may be left, however the text is cut into chunks.

use std::io::Write;
use std::process::{Command, Stdio};

use keyroll_resolver::Redactor;
use serde_json::{Value, json};

const LABEL: &str = "[REDACTED:KEY]";
const CASES: usize = 20_000;

/// Pseudo-random numbers, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).expect("31 bits fit") % below
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.next(all.len())]
    }

    fn text(&mut self, alphabet: &str, len: usize) -> String {
        let alphabet: Vec<char> = alphabet.chars().collect();
        (0..len).map(|_| *self.pick(&alphabet)).collect()
    }
}

/// A text with a value in it, and the same text with a value that has another first and last character. The
/// part that both have in common after encoding does not depend on the value.
struct Case {
    value: String,
    text: String,
    other: String,
}

const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const PRINTABLE: &str = "ABCDEFabcdef0123456789 !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
const SPECIAL: &str = "\"'\\/%&+ <>=\n\t$`!-";
const FOREIGN: &str = "aé€ж漢𝄞\u{7f}\u{a0}ÿ \"\\";

fn value(next: &mut Numbers) -> String {
    let len = 6 + next.next(40);
    match next.next(6) {
        0 => next.text(LETTERS, len + 2),
        1 => next.text(PRINTABLE, len),
        2 => next.text(SPECIAL, len),
        3 => next.text(FOREIGN, len),
        4 => (0..3).map(|_| next.text(LETTERS, 40) + "\n").collect(),
        _ => json!({"id": next.text(LETTERS, 9), "key": next.text(PRINTABLE, 20)}).to_string(),
    }
}

fn case(next: &mut Numbers) -> Case {
    let inner = value(next);
    let before = next.text(LETTERS, 0).clone() + &next.text(LETTERS, 7)[..next.next(7)];
    let after = next.text(LETTERS, 6)[..next.next(6)].to_owned();
    // Marks around the value that no encoder changes.
    let value = format!("q{inner}Q");
    Case {
        text: format!("{before}{value}{after}"),
        other: format!("{before}Z{inner}z{after}"),
        value,
    }
}

/// Masks a text byte by byte, or a long one in small chunks.
fn in_parts(redactor: &Redactor, text: &[u8]) -> Vec<u8> {
    let size = if text.len() < 1000 { 1 } else { 61 };
    let mut stream = redactor.stream();
    let mut out: Vec<u8> = text
        .chunks(size)
        .flat_map(|part| stream.push(part))
        .collect();
    out.extend(stream.finish());
    out
}

/// Masks an encoded text whole and in chunks, and compares it with the other text. `lines` says that it has
/// line ends; two characters of Base64 or hex may stay before them.
fn check(case: &Case, [text, other]: [&str; 2], lines: bool, what: &str) {
    // In Base64 a value shares a character with the text beside it. That character may be escaped.
    let spelled = text.len().div_ceil(case.text.len());
    let slack = 1 + if lines { 4 } else { 1 } * spelled;
    let redactor = Redactor::new(&[("KEY", case.value.as_bytes())]);
    let framed = format!("at 12:30 {text} and more\n");
    let masked = redactor.redact(framed.as_bytes());
    assert_eq!(
        in_parts(&redactor, framed.as_bytes()),
        masked,
        "{what}: in parts\n{framed}"
    );
    let masked = String::from_utf8(masked).expect("text");
    let masked = masked["at 12:30 ".len()..]
        .strip_suffix(" and more\n")
        .unwrap_or_else(|| panic!("{what}: the frame is masked\n{:?}\n{text}", case.value));
    let alike = |a: &str, b: &str| a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b).count();
    let reversed = |text: &str| text.bytes().rev().map(char::from).collect::<String>();
    let free = (alike(text, other), alike(&reversed(text), &reversed(other)));
    let kept = (
        masked.find(LABEL),
        masked
            .rfind(LABEL)
            .map(|at| masked.len() - at - LABEL.len()),
    );
    let (Some(before), Some(after)) = kept else {
        panic!("{what}: not masked\n{:?}\n{text}\n{masked}", case.value);
    };
    // If an encoder split a value into its lines, each line of eight bytes or more is masked.
    let cut = case.value.contains('\n') && masked.matches(LABEL).count() > 1;
    let between = masked[before..masked.len() - if cut { 0 } else { after }].split(LABEL);
    let shown = case.value.as_bytes().windows(8).any(|run| {
        let run = String::from_utf8_lossy(run);
        between.clone().any(|part| part.contains(&*run))
    });
    let lines_of_value = case.value.matches('\n').count();
    assert!(
        before <= free.0 + slack
            && (cut || after <= free.1 + slack)
            && !shown
            && between.clone().count() <= 3 + lines_of_value,
        "{what}: shown\n{:?}\n{text}\n{masked}\n{free:?} {kept:?}",
        case.value
    );
}

/// A program that encodes, or none if it is not installed.
fn program(name: &str, arguments: &[&str]) -> Option<Command> {
    let found = Command::new(name)
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if !found.is_ok_and(|status| status.success()) {
        eprintln!("skipped: {name} is not installed");
        return None;
    }
    let mut command = Command::new(name);
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/spellings"));
    command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    Some(command)
}

/// The output of a program for `input`.
fn converse(mut command: Command, input: Vec<u8>) -> Vec<u8> {
    let mut child = command.spawn().expect("started");
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("read");
    writer.join().expect("no panic").expect("written");
    assert!(output.status.success(), "{}", output.status);
    output.stdout
}

fn run(name: &str, script: &str, seed: u64, cases: usize) {
    let Some(mut list) = program(name, &[script, "--list"]) else {
        return;
    };
    let listed = list.output().expect("listed").stdout;
    let [first, any]: [Vec<String>; 2] = serde_json::from_slice(&listed).expect("two lists");
    let mut next = Numbers(seed);
    let mut all = Vec::new();
    let mut input = String::new();
    while all.len() < cases {
        let mut chain: Vec<&str> = Vec::new();
        if next.next(3) == 0 {
            chain.push(next.pick::<String>(&first));
        }
        let len = 1 + next.next(3);
        while chain.len() < len {
            chain.push(next.pick::<String>(&any));
        }
        let case = case(&mut next);
        for text in [&case.text, &case.other] {
            input += &json!([text, chain]).to_string();
            input.push('\n');
        }
        all.push((case, chain));
    }
    let command = program(name, &[script]).expect("found before");
    let output = String::from_utf8(converse(command, input.into_bytes())).expect("text");
    let lines: Vec<Value> = output
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 2 * cases);
    let mut checked = 0;
    for ((case, chain), encoded) in all.iter().zip(lines.chunks(2)) {
        if let [Value::String(text), Value::String(other)] = encoded {
            let lines = chain
                .iter()
                .any(|one| one.contains("lines") || one.contains("crlf"));
            check(case, [text, other], lines, &format!("{name} {chain:?}"));
            checked += 1;
        }
    }
    assert!(checked > cases * 9 / 10, "{checked}");
}

#[test]
fn python_encoders_show_nothing() {
    run("python3", "encoders.py", 1, CASES * 7 / 10);
}

#[test]
fn node_encoders_show_nothing() {
    run("node", "encoders.mjs", 2, CASES * 2 / 10);
}

#[test]
fn bash_quoting_shows_nothing() {
    let Some(command) = program("bash", &["encoders.sh"]) else {
        return;
    };
    let mut next = Numbers(3);
    let cases: Vec<Case> = (0..CASES / 60).map(|_| case(&mut next)).collect();
    let input = cases
        .iter()
        .flat_map(|case| [&case.text, &case.other])
        .flat_map(|text| text.bytes().chain([0]));
    let output = String::from_utf8(converse(command, input.collect())).expect("text");
    let spellings: Vec<&str> = output.split_terminator('\0').collect();
    let manners = [
        "%q",
        "@Q",
        "declare -p",
        "set -x",
        "base64 -w 20",
        "od -tx1",
    ];
    assert_eq!(spellings.len(), 2 * manners.len() * cases.len());
    for (case, both) in cases.iter().zip(spellings.chunks(2 * manners.len())) {
        let (texts, others) = both.split_at(manners.len());
        for ((text, other), manner) in texts.iter().zip(others).zip(manners) {
            let lines = manner.starts_with("base64") || manner.starts_with("od");
            check(case, [text, other], lines, manner);
        }
    }
}
