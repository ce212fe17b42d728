//! What is written is read again, byte for byte, whatever the values hold.

use keyroll_core::SecretName;
use keyroll_files::{Empty, Format, Unrepresentable, read, write};
use proptest::prelude::*;

fn names(count: usize) -> Vec<SecretName> {
    (0..count)
        .map(|at| format!("Key_{at}").parse().expect("a name"))
        .collect()
}

/// The values that a file of them has.
fn back(format: Format, values: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let names = names(values.len());
    let pairs: Vec<_> = names.iter().zip(values.iter().map(Vec::as_slice)).collect();
    let file = write(format, &pairs);
    let read = read(format, &file, Empty::Refuse);
    let shown = String::from_utf8_lossy(&file);
    assert_eq!(read.problems, [], "{shown}");
    let fit = pairs
        .iter()
        .filter(|(_, value)| format.cannot_hold(value).is_none());
    let fit = fit.map(|(name, _)| *name);
    assert!(
        read.secrets.iter().map(|found| &found.name).eq(fit),
        "{shown}"
    );
    let values = read.secrets.iter();
    values.map(|found| found.value.to_vec()).collect()
}

fn that_fit(format: Format, values: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let fit = values
        .iter()
        .filter(|value| format.cannot_hold(value).is_none());
    fit.cloned().collect()
}

/// Texts that formats, shells or terminals take for something else.
const NASTY: [&str; 34] = [
    "a",
    " ",
    "  both  ",
    "\n",
    "\r",
    "\r\n",
    "a\nb",
    "a\r\nb\r\n",
    "\n\nlast\n",
    "\t",
    "'",
    "\"",
    "'\"",
    "it's \"quoted\"",
    "\\",
    "\\\\",
    "\\n",
    "'\\'",
    "ends with \\",
    "\"\\",
    "$HOME",
    "${HOME}",
    "$(id)'`id`",
    "`",
    "#",
    "a #b",
    "# '",
    "=",
    "null",
    "~",
    "{{secrets.X}}",
    "- [a]: {b}",
    "é\u{202e}\u{feff}\u{85}\u{2028}😀\u{7f}",
    "!!binary x: |\n  y",
];

#[test]
fn nasty_values_come_back() {
    let values: Vec<Vec<u8>> = NASTY.iter().map(|text| text.as_bytes().to_vec()).collect();
    for format in Format::ALL {
        assert_eq!(back(format, &values), that_fit(format, &values), "{format}");
    }
}

#[test]
fn what_no_dotenv_file_can_hold_is_known() {
    for (value, unfit) in [
        (
            &b"it's $5. Really: 10%"[..],
            Some(Unrepresentable::NoDotenvForm),
        ),
        (b"it's $ 5", None),
        (b"it's 5$", None),
        (b"$HOME \\d `id` \"x\"", None),
        (b"a\\'b", Some(Unrepresentable::NoDotenvForm)),
        (b"ends with \\", Some(Unrepresentable::NoDotenvForm)),
        (b"\\\\server", Some(Unrepresentable::NoDotenvForm)),
        (b"'\"", Some(Unrepresentable::NoDotenvForm)),
        (b"'`id`", Some(Unrepresentable::NoDotenvForm)),
        (b"'$'", None),
        (b"${HOME}", Some(Unrepresentable::NoDotenvForm)),
        (b"${HOME", None),
        (b"a\r\nb", Some(Unrepresentable::NoDotenvForm)),
        (b"a\nb\n", None),
        (b"a\0b", Some(Unrepresentable::NotText)),
        (b"\xff", Some(Unrepresentable::NotText)),
    ] {
        let shown = value.escape_ascii();
        assert_eq!(Format::Dotenv.cannot_hold(value), unfit, "{shown}");
        for format in [Format::Json, Format::Yaml] {
            assert_eq!(format.cannot_hold(value), None);
            assert_eq!(
                back(format, &[value.to_vec()]),
                [value.to_vec()],
                "{format} {shown}"
            );
        }
    }
}

#[test]
fn no_values_are_a_file_too() {
    for format in Format::ALL {
        assert!(back(format, &[]).is_empty(), "{format}");
        assert_eq!(read(format, b"", Empty::Refuse).secrets.len(), 0);
    }
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 1..200),
        any::<String>().prop_map(String::into_bytes),
        "[ -~\n\r\t]{1,60}".prop_map(String::into_bytes),
        // Mostly what means something to one of the formats.
        "['\"\\\\$`#=\n\r: {}\\[\\]&*!|>%@a]{1,40}".prop_map(String::into_bytes),
    ]
    .prop_filter("a value is not empty", |value| !value.is_empty())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn values_come_back(values in proptest::collection::vec(value(), 1..6)) {
        for format in Format::ALL {
            prop_assert_eq!(back(format, &values), that_fit(format, &values));
        }
    }

    #[test]
    fn any_file_is_read_or_refused_with_lines(text in "(?s).{0,200}", bytes in any::<Vec<u8>>()) {
        for format in Format::ALL {
            for file in [text.as_bytes(), &bytes] {
                // To YAML a carriage return is a line's end as well.
                let lines = 1 + file.iter().filter(|byte| b"\n\r".contains(byte)).count();
                let read = read(format, file, Empty::Refuse);
                for problem in &read.problems {
                    prop_assert!((1..=lines + 1).contains(&problem.line), "{:?}", problem);
                }
            }
        }
    }
}

/// A POSIX shell reads a dotenv file to the same values.
#[test]
fn a_shell_reads_the_same() {
    let fits = |text: &&str| Format::Dotenv.cannot_hold(text.as_bytes()).is_none();
    let values: Vec<&str> = NASTY.iter().copied().filter(fits).collect();
    let names = names(values.len());
    let pairs: Vec<_> = names
        .iter()
        .zip(values.iter().map(|text| text.as_bytes()))
        .collect();
    let file = write(Format::Dotenv, &pairs);
    let mut script = file.to_vec();
    for name in &names {
        script.extend_from_slice(format!("printf '%s\\0' \"${name}\"\n").as_bytes());
    }
    let path = std::env::temp_dir().join(format!("keyroll-files-{}.sh", std::process::id()));
    std::fs::write(&path, &script).expect("written");
    let run = std::process::Command::new("sh")
        .arg(&path)
        .output()
        .expect("sh runs");
    std::fs::remove_file(&path).expect("removed");
    let said: Vec<&[u8]> = run.stdout.split(|byte| *byte == 0).collect();
    assert_eq!(
        said.len(),
        values.len() + 1,
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    for (said, value) in said.iter().zip(values) {
        assert_eq!(*said, value.as_bytes());
    }
}
