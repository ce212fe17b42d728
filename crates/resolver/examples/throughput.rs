//! Measures how fast blocks are resolved and outputs masked, without a network.
//!
//! ```console
//! $ cargo run --release -p keyroll-resolver --example throughput
//! ```

use std::hint::black_box;
use std::time::Instant;

use keyroll_resolver::{Block, BlockFile, Redactor, SecretValue, SecretValues, prepare};
use serde_json::json;

const ROUNDS: usize = 31;
const OUTPUT: usize = 1024 * 1024;

/// Pseudo-random numbers, the same in every run.
fn numbers() -> impl FnMut() -> usize {
    let mut state = 7_u64;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 40).expect("24 bits fit")
    }
}

fn values(count: usize) -> Vec<(String, String)> {
    let mut next = numbers();
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    (0..count)
        .map(|number| {
            let value = (0..40).map(|_| char::from(alphabet[next() % 64])).collect();
            (format!("Key_{number}"), value)
        })
        .collect()
}

/// The median of seconds.
fn median(mut run: impl FnMut()) -> f64 {
    let mut seconds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let begun = Instant::now();
            run();
            begun.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[ROUNDS / 2]
}

fn masking(values: &[(String, String)]) {
    let mut next = numbers();
    let pairs: Vec<(&str, &[u8])> = values
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    let begun = Instant::now();
    let redactor = Redactor::new(&pairs);
    println!(
        "searching for {} secrets: {:.1} ms",
        pairs.len(),
        begun.elapsed().as_secs_f64() * 1e3
    );
    let mut lines = String::new();
    while lines.len() < OUTPUT {
        let (a, b) = (next(), next());
        lines += &json!({"id": a, "name": format!("customer {b}"), "note": "nothing to hide"})
            .to_string();
        lines.push('\n');
    }
    let words: String = (0..OUTPUT)
        .map(|_| char::from(b'a' + u8::try_from(next() % 26).expect("a letter")))
        .collect();
    let mut leaking = lines.clone();
    for (at, (_, value)) in values.iter().enumerate() {
        leaking.insert_str(at * 10_000, value);
    }
    let nested = (0..3).fold(lines.clone(), |text, _| json!(text).to_string());
    for (what, text) in [
        ("JSON lines", &lines),
        ("JSON lines in JSON in JSON in JSON", &nested),
        ("random letters", &words),
        ("JSON lines with every value once", &leaking),
    ] {
        let seconds = median(|| drop(black_box(redactor.redact(black_box(text.as_bytes())))));
        let size = u32::try_from(text.len()).expect("a small text");
        println!(
            "masking {what}: {:.0} MB/s",
            f64::from(size) / seconds / 1e6
        );
    }
}

fn resolving(values: &[(String, String)]) {
    let references: Vec<String> = (0..1000)
        .map(|number| format!("{{{{secrets.{}}}}}", values[number % values.len()].0))
        .collect();
    let block = json!({"name": "b", "type": "external_api", "method": "POST",
        "url": "https://api.example/v1", "body": {"json": references}});
    let file = json!({"workflow": "w", "blocks": [block]}).to_string();
    let file = BlockFile::parse(file.as_bytes()).expect("a block file");
    let secrets: SecretValues = values
        .iter()
        .map(|(name, value)| (name.clone(), SecretValue::new(value.as_str())))
        .collect();
    let Block::External(api) = &file.blocks[0] else {
        unreachable!("it was written above")
    };
    let seconds = median(|| {
        drop(black_box(
            prepare(black_box(api), &secrets).expect("prepared"),
        ));
    });
    println!(
        "resolving 1,000 references to {} secrets: {:.3} ms",
        values.len(),
        seconds * 1e3
    );
}

fn main() {
    masking(&values(100));
    resolving(&values(100));
    resolving(&values(1000));
}
