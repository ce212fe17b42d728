//! The fields of forms about secrets.

use keyroll_client::random;
use keyroll_core::SecretId;
use keyroll_core::limits;
use keyroll_core::names::{HostPattern, Text};
use maud::{Markup, html};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::input::{is_never, list};
use keyroll_wire::time::duration;

const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
/// Characters of a generated value: 190 bits.
const GENERATED: usize = 32;

/// The value as it was typed. A text field shows lines that end in LF but sends them as CRLF (HTML,
/// "constructing an entry list"), so CRLF becomes LF.
pub(super) fn value(
    typed: &str,
    generate: bool,
    keep_newline: bool,
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    if generate {
        return generated();
    }
    let value = Zeroizing::new(typed.replace("\r\n", "\n"));
    if value.is_empty() {
        return Err(Failure::field(
            "A value is needed: type one, or generate one.",
        ));
    }
    if value.ends_with('\n') && !keep_newline {
        return Err(Failure::field(
            "The value ends in a line break. Remove it, or tick that it belongs to the value.",
        ));
    }
    if value.len() > *limits::VALUE_BYTES.end() {
        let most = limits::VALUE_BYTES.end();
        return Err(Failure::field(format!("A value has at most {most} bytes.")));
    }
    Ok(Zeroizing::new(value.as_bytes().to_vec()))
}

fn generated() -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut value = Zeroizing::new(Vec::with_capacity(GENERATED));
    while value.len() < GENERATED {
        let bytes = Zeroizing::new(random::<64>()?);
        // Below the largest multiple of 62, so that every letter is as likely as the others.
        let letters = bytes.iter().filter(|byte| **byte < 248);
        let letters = letters.map(|byte| ALPHABET[usize::from(byte % 62)]);
        let missing = GENERATED - value.len();
        value.extend(letters.take(missing));
    }
    Ok(value)
}

pub(super) fn text(typed: &str) -> Result<Text, Failure> {
    Ok(typed.replace("\r\n", "\n").trim().parse::<Text>()?)
}

pub(super) fn reason(typed: &str) -> Result<Option<Text>, Failure> {
    let reason = text(typed)?;
    Ok((!reason.as_str().is_empty()).then_some(reason))
}

/// Hosts, separated by spaces, commas or lines.
pub(super) fn hosts(typed: &str) -> Result<Vec<HostPattern>, Failure> {
    let hosts: Vec<HostPattern> = list(typed)?;
    if hosts.len() > limits::HOSTS {
        let most = limits::HOSTS;
        return Err(Failure::field(format!("Name at most {most} hosts.")));
    }
    Ok(hosts)
}

/// A period in seconds; none when the field is empty.
pub(super) fn period(typed: &str) -> Result<Option<u64>, Failure> {
    if is_never(typed) {
        return Ok(None);
    }
    match duration(typed.trim()).map(|period| period.as_secs()) {
        Some(seconds) if seconds > 0 => Ok(Some(seconds)),
        _ => Err(Failure::field(
            "A period is a number and a unit, such as 90d or 12h.",
        )),
    }
}

/// The id in a form: by now, another secret may have the name.
pub(super) fn id(text: &str) -> Result<SecretId, Failure> {
    text.parse().map_err(|_| Failure::damaged_form())
}

/// Seconds as the largest unit that divides them.
pub(super) fn format_period(seconds: u64) -> String {
    let units = [(86_400, 'd'), (3_600, 'h'), (60, 'm')];
    let unit = units
        .into_iter()
        .find(|(size, _)| seconds >= *size && seconds.is_multiple_of(*size));
    let (size, letter) = unit.unwrap_or((1, 's'));
    format!("{}{letter}", seconds / size)
}

/// The field for a value. It shows what is typed, and is never filled in.
pub(super) fn value_field(label: &str) -> Markup {
    html! {
        div.field.with-button {
            label for="value" { (label) }
            textarea #value .secret name="value" rows="4" spellcheck="false" autocomplete="off" autocapitalize="off"
                aria-describedby="value-note" data-generated=(GENERATED) {}
            button.generate type="button" hidden { "Generate" }
            p.note #value-note { "Leading and trailing spaces are kept." }
            noscript { label.check { input type="checkbox" name="generate" value="on"; "Generate " (GENERATED) " letters and digits instead" } }
            label.check.newline { input type="checkbox" name="newline" value="on"; "A line break at the end belongs to the value" }
        }
    }
}

/// The fields for a secret's details.
pub(super) fn about_fields(
    description: &str,
    hosts: &str,
    period: &str,
    restricted: bool,
) -> Markup {
    // A restricted secret stays restricted: a disabled box sends nothing.
    html! {
        div.field {
            label for="description" { "Description" }
            input #description name="description" value=(description) autocomplete="off";
        }
        div.field {
            label for="hosts" { "Allowed hosts" }
            input #hosts name="hosts" value=(hosts) autocomplete="off" spellcheck="false" aria-describedby="hosts-note";
            p.note #hosts-note { "Blocks may send it only there, such as api.example.com or *.example.com. Empty means any host." }
        }
        div.field {
            label for="rotate" { "New value due every" }
            input #rotate name="rotate" value=(period) autocomplete="off" placeholder="never" aria-describedby="rotate-note";
            p.note #rotate-note { "Such as 90d. Afterwards it is marked as stale." }
        }
        label.check {
            input type="checkbox" name="restricted" value="on" checked[restricted] disabled[restricted];
            "Restricted: released to runners’ blocks only, never shown"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(text: &str, keep: bool) -> Result<Vec<u8>, String> {
        value(text, false, keep)
            .map(|value| value.to_vec())
            .map_err(|failure| failure.message)
    }

    #[test]
    fn a_value_is_what_the_field_showed() {
        assert_eq!(typed(" a\r\nb ", false), Ok(b" a\nb ".to_vec()));
        assert_eq!(typed("a\n", true), Ok(b"a\n".to_vec()));
        assert!(typed("a\r\n", false).is_err_and(|message| message.contains("line break")));
        assert!(typed("", false).is_err());
        assert!(typed(&"a".repeat(65_536), false).is_err());
        assert!(typed(&"a".repeat(65_535), false).is_ok());
    }

    #[test]
    fn generated_values_are_letters_and_digits_and_differ() {
        let made = || value("", true, false).expect("made").to_vec();
        assert_eq!(made().len(), GENERATED);
        assert!(made().iter().all(u8::is_ascii_alphanumeric));
        assert_ne!(made(), made());
    }

    #[test]
    fn hosts_and_periods_are_read_as_people_write_them() {
        let two = hosts(" a.example.com, *.example.org\n").expect("read");
        assert_eq!(two.len(), 2);
        assert!(hosts("a b@c").is_err() && hosts(&"a.example ".repeat(17)).is_err());
        assert_eq!(period("90d").expect("read"), Some(7_776_000));
        assert_eq!(period(" never ").expect("read"), None);
        assert!(period("0s").is_err() && period("soon").is_err());
        assert_eq!(format_period(7_776_000), "90d");
    }
}
