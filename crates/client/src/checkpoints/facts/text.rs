//! The text form of the facts: a line for each secret, then one for each name.

use std::fmt::Write as _;

use keyroll_core::names::HostPattern;
use keyroll_core::{Index, SecretId, Version};

use super::{CurrentVersion, HostBinding, NameBinding, Secret, SecretFacts};

/// The first and the last line of the file.
pub(super) const FORM: &str = "keyroll-secrets/v1";
pub(super) const END_LINE: &str = "\nend\n";

/// Stands for an unknown fact.
const NONE: &str = "-";

impl SecretFacts {
    /// The text of a file.
    pub(in crate::checkpoints) fn text(&self) -> String {
        let mut text = FORM.to_owned();
        for (id, secret) in &self.secrets {
            text.push_str(&secret_line(id, secret));
        }
        // A secret's last name has the highest index, or is the last of two in one entry.
        let mut names: Vec<&NameBinding> = self.names.values().collect();
        names.sort_by_key(|named| {
            (
                named.at,
                self.last.get(&named.id) == Some(&named.name.folded()),
            )
        });
        for named in names {
            text.push_str(&name_line(named));
        }
        text + END_LINE
    }

    /// Reads a file; `None` when it is damaged.
    pub(in crate::checkpoints) fn parse(text: &str) -> Option<Self> {
        let mut known = Self::default();
        let mut lines = text.strip_suffix(END_LINE)?.split('\n');
        if lines.next()? != FORM {
            return None;
        }
        for line in lines {
            known.bytes += line.len() + 1;
            let mut words = line.split(' ');
            match words.next()? {
                "secret" => {
                    let id = words.next()?.parse().ok()?;
                    let (current, hosts) = (words.next()?, words.next()?);
                    let mut secret = Secret::default();
                    if current != NONE {
                        secret.current = Some(parse_current(current)?);
                    }
                    if hosts != NONE {
                        secret.hosts = Some(parse_bound(hosts)?);
                    }
                    known.secrets.insert(id, secret).is_none().then_some(())?;
                }
                "name" => {
                    let named = NameBinding {
                        name: words.next()?.parse().ok()?,
                        id: words.next()?.parse().ok()?,
                        at: Index(words.next()?.parse().ok()?),
                    };
                    let folded = named.name.folded();
                    (!known.names.contains_key(&folded)).then_some(())?;
                    known.name(named);
                }
                _ => return None,
            }
            words.next().is_none().then_some(())?;
        }
        Some(known)
    }
}

/// `secret ID VERSION@ENTRY=DIGEST ENTRY=HOST,HOST`, `-` for an unknown fact, after a newline.
/// Empty when nothing is known.
pub(super) fn secret_line(id: &SecretId, secret: &Secret) -> String {
    if *secret == Secret::default() {
        return String::new();
    }
    let current = secret.current.as_ref().map_or_else(
        || NONE.to_owned(),
        |known| format!("{}@{}={}", known.version, known.at, known.digest),
    );
    let mut line = format!("\nsecret {id} {current} ");
    match &secret.hosts {
        None => line.push_str(NONE),
        Some(bound) => {
            let hosts: Vec<&str> = bound.hosts.iter().map(HostPattern::as_str).collect();
            // Writing to a String cannot fail.
            let _ = write!(line, "{}={}", bound.at, hosts.join(","));
        }
    }
    line
}

/// `name NAME ID ENTRY`, after a newline.
pub(super) fn name_line(named: &NameBinding) -> String {
    format!("\nname {} {} {}", named.name, named.id, named.at)
}

fn parse_current(word: &str) -> Option<CurrentVersion> {
    let (version, rest) = word.split_once('@')?;
    let (at, digest) = rest.split_once('=')?;
    Some(CurrentVersion {
        version: Version(version.parse().ok()?),
        at: Index(at.parse().ok()?),
        digest: digest.parse().ok()?,
    })
}

fn parse_bound(word: &str) -> Option<HostBinding> {
    let (at, hosts) = word.split_once('=')?;
    let hosts = hosts.split(',').filter(|host| !host.is_empty());
    Some(HostBinding {
        at: Index(at.parse().ok()?),
        hosts: hosts.map(str::parse).collect::<Result<_, _>>().ok()?,
    })
}
