//! What files of people hold, and what is said of bad ones.

use std::collections::BTreeMap;

use keyroll_files::{Empty, Existing, Format, Preview, preview, read};

fn parsed(format: Format, text: &str) -> Vec<(String, String, usize)> {
    let read = read(format, text.as_bytes(), Empty::Refuse);
    assert_eq!(read.problems, [], "{text}");
    let secret = |found: &keyroll_files::ParsedEntry| {
        let value = String::from_utf8(found.value.to_vec()).expect("text");
        (found.name.to_string(), value, found.line)
    };
    read.secrets.iter().map(secret).collect()
}

fn expect(format: Format, text: &str, known: &[(&str, &str, usize)]) {
    let known: Vec<_> = known
        .iter()
        .map(|(name, value, line)| ((*name).to_owned(), (*value).to_owned(), *line))
        .collect();
    assert_eq!(parsed(format, text), known, "{text}");
}

/// Lines with a problem, and that no words repeat a value.
fn wrong(format: Format, text: &str) -> Vec<usize> {
    let read = read(format, text.as_bytes(), Empty::Refuse);
    for problem in &read.problems {
        assert!(!problem.message.contains("hunter2"), "{}", problem.message);
    }
    read.problems.iter().map(|problem| problem.line).collect()
}

#[test]
fn dotenv_files_as_people_write_them() {
    expect(
        Format::Dotenv,
        "\u{feff}# a comment\n\nexport A=1\r\n  B = two words  # said\nC='#not a comment'\n\
         D=\"line one\nline \\\"two\\\"\\n\\t\\$x\"  # after\nexport\tE=a#b=c\n\
         G='$HOME\\n\n'\nexport=7\nLAST=end",
        &[
            ("A", "1", 3),
            ("B", "two words", 4),
            ("C", "#not a comment", 5),
            ("D", "line one\nline \"two\"\n\t$x", 6),
            ("E", "a#b=c", 8),
            ("G", "$HOME\\n\n", 9),
            ("export", "7", 11),
            ("LAST", "end", 12),
        ],
    );
}

#[test]
fn every_bad_line_of_a_dotenv_file_is_named() {
    for (text, lines) in [
        ("A=1\nhunter2\nB=\n1C=hunter2\nD=2", vec![2, 3, 4]),
        ("A='x'\na=hunter2", vec![2]),
        ("A='x\ny' hunter2\nB=1", vec![2]),
        ("OK=1\nA='hunter2\nB=1\n", vec![2]),
        ("A=\"hunter2\\", vec![1]),
        ("A=\"hunter2\\q\"\nB=", vec![1, 2]),
        ("A=`hunter2`\nexport B\nlambda=hunter2", vec![1, 2, 3]),
        ("A='x'\n\n\nB=''\n", vec![4]),
    ] {
        assert_eq!(wrong(Format::Dotenv, text), lines, "{text}");
    }
    let largest = format!("A={}\nB={}", "x".repeat(65_535), "hunter2".repeat(10_000));
    assert_eq!(wrong(Format::Dotenv, &largest), [2]);
}

#[test]
fn what_programs_read_differently_is_refused_with_its_line() {
    for (text, lines) in [
        // A CR that ends no line: a line end for Python and JavaScript, a character for a shell.
        ("A=1\rB=hunter2\nC=1", vec![1]),
        ("A=1\r\nB=hunter2\r", vec![2]),
        ("A='1\nx\rhunter2'\r\nB=1\r\n", vec![2]),
        ("# a\rcomment\nA=1", vec![1]),
        ("A=1\r\r\nB=1", vec![1]),
        // Blanks that are neither space nor tab, wherever they are not quoted.
        ("A=hunter2\u{a0}\nB=1", vec![1]),
        ("A=1\nB=\u{3000}hunter2", vec![2]),
        ("A=hunter2\u{a0}# said\n", vec![1]),
        ("A=hunter\u{2009}2\n", vec![1]),
        ("A\u{a0}=hunter2\n", vec![1]),
        ("export\u{2003}A=hunter2\n", vec![1]),
        ("A=\u{a0}'hunter2'\nB='x'\u{2028}\n", vec![1, 2]),
        ("\u{a0}\nA=1\n\u{200b}# comment", vec![1, 3]),
        ("A=hunter2\u{200b}\nB=\u{feff}1\nC=1\u{b}", vec![1, 2, 3]),
    ] {
        assert_eq!(wrong(Format::Dotenv, text), lines, "{text:?}");
    }
    expect(
        Format::Dotenv,
        "A='\u{a0}x\u{2028}'\r\nB=\"\\r\u{3000}\" # \u{a0}\r\n# \u{a0}=\r\n \t \r\nC=1\t",
        &[
            ("A", "\u{a0}x\u{2028}", 1),
            ("B", "\r\u{3000}", 2),
            ("C", "1", 5),
        ],
    );
}

#[test]
fn empty_values_are_refused_or_left_out() {
    for (format, text) in [
        (Format::Dotenv, "A=\nB=1\nC=''\nD=  # said\n"),
        (
            Format::Json,
            "{\"A\": \"\", \"B\": \"1\",\n\"C\": {\"value_base64\": \"\"}, \"D\": \"\"}",
        ),
        (Format::Yaml, "A:\nB: 1\nC: ''\nD: !!binary ''\n"),
    ] {
        assert_eq!(wrong(format, text).len(), 3, "{format}");
        let read = read(format, text.as_bytes(), Empty::Skip);
        assert_eq!(read.problems, [], "{format}");
        let empty: Vec<&str> = read
            .empty
            .iter()
            .map(keyroll_core::SecretName::as_str)
            .collect();
        assert_eq!(empty, ["A", "C", "D"], "{format}");
        assert_eq!(read.secrets.len(), 1, "{format}");
    }
    // A name counts all the same.
    let twice = read(Format::Dotenv, b"A=\na=1\n", Empty::Skip);
    assert_eq!(twice.problems.len(), 1);
}

#[test]
fn json_objects_of_names_and_values() {
    expect(
        Format::Json,
        "{\n\"A\": \"x\\ny\", \"B\":\n{\"value_base64\": \"eA==\"},\n\"C\": 1.10, \"D\": true}",
        &[
            ("A", "x\ny", 2),
            ("B", "x", 3),
            ("C", "1.10", 4),
            ("D", "true", 4),
        ],
    );
    for (text, lines) in [
        (
            "{\"A\": \"x\",\n\"a\": \"hunter2\",\n\"B\": null, \"C\": [\"hunter2\"]}",
            vec![2, 3, 3],
        ),
        (
            "{\"A\": {\"value\": \"hunter2\"},\n \"B\": {\"value_base64\": \"hunter2!\"}}",
            vec![1, 2],
        ),
        ("{\"A\": \"hunter2\",\n\n}", vec![3]),
        ("{\"A\": \"hunter2", vec![1]),
        ("[\"hunter2\"]", vec![1]),
        ("\"hunter2\"", vec![1]),
        ("{\"not a name hunter2\": 1, \"A\": \"\"}", vec![1, 1]),
        ("{\"A\": \"\\ud800 hunter2\"}", vec![1]),
    ] {
        assert_eq!(wrong(Format::Json, text), lines, "{text}");
    }
}

#[test]
fn yaml_mappings_of_names_and_values() {
    expect(
        Format::Yaml,
        "# secrets\nA: plain text\nB: '1.10'\nC: 1.10\nD: yes\nE: |\n  two\n  lines\nF: >-\n  folded\n  \
         text\n\"G\": \"\\x41\\n\"\nH: !!binary |\n  eA==\nI: !!str null\n",
        &[
            ("A", "plain text", 2),
            ("B", "1.10", 3),
            ("C", "1.10", 4),
            ("D", "yes", 5),
            ("E", "two\nlines\n", 6),
            ("F", "folded text", 9),
            ("G", "A\n", 12),
            ("H", "x", 13),
            ("I", "null", 15),
        ],
    );
    expect(
        Format::Yaml,
        "---\n{A: x, B: y}\n...\n",
        &[("A", "x", 2), ("B", "y", 2)],
    );
    expect(Format::Yaml, "# nothing\n", &[]);
    for (text, lines) in [
        (
            "A: x\nB:\n  c: hunter2\n  d: [hunter2]\nC: [hunter2, {a: b}]\nD: ~\nE:",
            vec![3, 5, 6, 7],
        ),
        ("A: &a hunter2\nB: *a\nC: ok\na: hunter2", vec![2, 4]),
        ("A: x\n---\nB: hunter2\n", vec![2]),
        ("- hunter2\n", vec![1]),
        ("hunter2\n", vec![1]),
        ("A: \"hunter2\n", vec![1]),
        ("A: !secret hunter2\n<<: hunter2\n", vec![1, 2]),
        ("? [hunter2]\n: hunter2\nA: \n", vec![1, 3]),
        ("A: !!binary hunter2!\n", vec![1]),
    ] {
        assert_eq!(wrong(Format::Yaml, text), lines, "{text}");
    }
}

#[test]
fn what_is_no_text_is_said_to_be_none() {
    for format in Format::ALL {
        let read = read(format, b"A=1\n\xff\n", Empty::Refuse);
        assert_eq!(read.problems.len(), 1);
        assert_eq!(read.problems[0].line, 2);
    }
}

#[test]
fn a_preview_says_what_would_become_of_each() {
    let read = read(Format::Dotenv, b"NEW=1\napi_key=2\nMINE=3\n", Empty::Refuse);
    let existing = |name: &str, own| {
        let name: keyroll_core::SecretName = name.parse().expect("a name");
        (name.folded(), Existing { name, own })
    };
    let existing = BTreeMap::from([existing("API_Key", false), existing("MINE", true)]);
    let expected = Preview {
        create: vec![0],
        done: vec![2],
        taken: vec![(1, "API_Key".parse().expect("a name"))],
    };
    assert_eq!(preview(&read.secrets, &existing), expected);
}
