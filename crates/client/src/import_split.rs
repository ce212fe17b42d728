//! Splits an import of many secrets into parts that each fit a request.

use std::ops::Range;

use keyroll_core::crypto::sealed_size;
use keyroll_core::{SecretId, limits};

use crate::NewSecretSpec;

/// Most bytes that a new secret takes besides its counted fields: in the command, and for its event
/// in the entry.
const NEW_BYTES: usize = 192;
const EVENT_BYTES: usize = 96;
/// Most bytes that its value takes in the request besides the sealed value: data key and lengths.
const VALUE_BYTES: usize = 128;
/// Most bytes of the signature and the rest of a command.
const AROUND_BYTES: usize = 8 * 1024;

fn command_bytes(spec: &NewSecretSpec) -> usize {
    let hosts: usize = spec.hosts.iter().map(|host| host.as_str().len() + 3).sum();
    NEW_BYTES + spec.name.as_str().len() + spec.description.as_str().len() + hosts
}

/// Splits secrets, in order, into as few imports as possible that each fit a request.
pub fn split_import(secrets: &[(SecretId, NewSecretSpec, &[u8])]) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let (mut begin, mut command, mut entry, mut request) = (0, 0, 0, 0);
    for (at, (_, spec, value)) in secrets.iter().enumerate() {
        let own = command_bytes(spec);
        let sealed = sealed_size(value.len()).unwrap_or(value.len());
        let fits = at - begin < limits::IMPORT_SECRETS
            && command + own + AROUND_BYTES <= limits::COMMAND_BYTES
            && entry + own + EVENT_BYTES + AROUND_BYTES <= limits::ENTRY_BYTES
            && request + own + sealed + VALUE_BYTES + AROUND_BYTES <= limits::REQUEST_BYTES;
        if !fits && at > begin {
            parts.push(begin..at);
            (begin, command, entry, request) = (at, 0, 0, 0);
        }
        command += own;
        entry += own + EVENT_BYTES;
        request += own + sealed + VALUE_BYTES;
    }
    if begin < secrets.len() {
        parts.push(begin..secrets.len());
    }
    parts
}

#[cfg(test)]
mod tests {
    use keyroll_core::command::{NewSecret, SecretImport, SessionRef};
    use keyroll_core::ids::{Encapsulated, ObjectId};
    use keyroll_core::{Action, Blob, Digest, Epoch, Event, cbor};

    use super::*;
    use keyroll_wire::reply::{CommandRequest, SealedValue};

    type New<'a> = (SecretId, NewSecretSpec, &'a [u8]);

    fn secret(at: usize, longest: bool, value: &[u8]) -> New<'_> {
        let number = format!("{at:06}");
        let (name, words) = if longest {
            (format!("N{number}{}", "x".repeat(121)), "w".repeat(1_024))
        } else {
            (format!("N{number}"), String::new())
        };
        let hosts = if longest { 16 } else { 0 };
        let spec = NewSecretSpec {
            name: name.parse().expect("a name"),
            description: words.parse().expect("words"),
            hosts: vec!["https://api.example.com:8443".parse().expect("a host"); hosts],
            restricted: longest,
            rotate_every: longest.then_some(u64::MAX),
        };
        (SecretId([0xff; 16]), spec, value)
    }

    /// The bytes of command, entry and request, with everything as large as it can be.
    fn sizes(part: &[New<'_>]) -> (usize, usize, usize) {
        let session = SessionRef {
            enc: Encapsulated([0xff; 32]),
            period: u32::MAX,
        };
        let size = |value: &[u8]| sealed_size(value.len()).expect("a value");
        let new = |(id, spec, value): &New<'_>| NewSecret {
            id: *id,
            name: spec.name.clone(),
            size: u32::try_from(size(value)).expect("small"),
            hosts: spec.hosts.clone(),
            digest: Digest([0xff; 32]),
            restricted: spec.restricted,
            description: spec.description.clone(),
            rotate_every: spec.rotate_every,
        };
        let secrets = part.iter().map(new).collect();
        let command = cbor::encode(&Action::SecretImport(SecretImport { secrets, session })).len();
        let event = |item: usize| {
            Event::SecretCreated(keyroll_core::event::Stored {
                item: u32::try_from(item).expect("small"),
                epoch: Epoch(u32::MAX),
                place: ObjectId([0xff; 32]),
            })
        };
        let events: Vec<Event> = (0..part.len()).map(event).collect();
        let sealed = |(.., value): &New<'_>| SealedValue {
            key: Blob(vec![0xff; 24 + 32 + 16]),
            sealed: Blob(vec![0xff; size(value)]),
        };
        let request = CommandRequest {
            seen: keyroll_core::TreeSize(u64::MAX),
            values: part.iter().map(sealed).collect(),
            command: Blob(vec![0; command]),
        };
        let entry = command + cbor::encode(&events).len();
        (command, entry, cbor::encode(&request).len())
    }

    #[test]
    fn imports_are_cut_so_that_each_fits() {
        let values = [vec![b'x'; 255], vec![b'x'; 5_000], vec![b'x'; 65_535]];
        for (longest, value) in [(false, 0), (true, 0), (false, 1), (true, 2), (false, 2)] {
            let secrets: Vec<_> = (0..2_500)
                .map(|at| secret(at, longest, &values[value]))
                .collect();
            let parts = split_import(&secrets);
            let mut next = 0;
            for part in &parts {
                assert_eq!(part.start, next);
                next = part.end;
                assert!(part.len() <= limits::IMPORT_SECRETS);
                let (command, entry, request) = sizes(&secrets[part.clone()]);
                // The rest is small: signature, kid, ids.
                let around = 4 * 1024;
                assert!(command + around <= limits::COMMAND_BYTES, "{command}");
                assert!(entry + around <= limits::ENTRY_BYTES, "{entry}");
                assert!(request + around <= limits::REQUEST_BYTES, "{request}");
            }
            assert_eq!(next, secrets.len());
        }
    }

    #[test]
    fn a_thousand_small_secrets_are_one_import() {
        let value = vec![b'x'; 255];
        let secrets: Vec<_> = (0..1_000).map(|at| secret(at, false, &value)).collect();
        assert_eq!(split_import(&secrets), vec![0..1_000]);
        assert!(split_import(&[]).is_empty());
    }
}
