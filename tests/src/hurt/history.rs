//! Callers that record the begin, the end and the result of each call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use keyroll_client::Client;
use keyroll_client::{ClientError, NewSecretSpec, RequestedValue};
use keyroll_core::command::{Nothing, Purpose};
use keyroll_core::{
    Action, Code, Digest, Index, SecretId, SecretName, SignedCommand, Version, WorkspaceName,
};

use super::Seeded;
use super::linear::{Call, Content, Did};

/// A secret that a history is about.
#[derive(Debug, Clone)]
pub struct Subject {
    name: SecretName,
    id: SecretId,
    /// Its first content.
    pub first: Content,
}

/// The calls, per secret.
#[derive(Default)]
pub struct History {
    /// The calls, by the secret's number.
    pub calls: BTreeMap<usize, Vec<Call>>,
    /// Begin, end and index of every call that became an entry.
    indexes: Vec<(u64, u64, Index)>,
    /// How often each code came back.
    pub codes: BTreeMap<&'static str, u64>,
}

impl History {
    /// A call that ended before another began has the lower index, and no index occurs twice.
    ///
    /// # Panics
    /// When that is not so.
    pub fn assert_in_order(&self) {
        let mut by_begin = self.indexes.clone();
        by_begin.sort_unstable();
        let mut by_end: Vec<(u64, Index)> = self
            .indexes
            .iter()
            .map(|(_, ended, index)| (*ended, *index))
            .collect();
        by_end.sort_unstable();
        let (mut ended, mut highest) = (by_end.into_iter().peekable(), None);
        for (begun, _, index) in by_begin {
            while let Some((_, before)) = ended.next_if(|(at, _)| *at < begun) {
                highest = highest.max(Some(before));
            }
            assert!(highest < Some(index), "entry {index} came too late");
        }
        let mut indexes: Vec<Index> = self.indexes.iter().map(|(_, _, index)| *index).collect();
        indexes.sort_unstable();
        let before = indexes.len();
        indexes.dedup();
        assert_eq!(indexes.len(), before, "two commands share an entry");
    }

    /// The entries that were acknowledged.
    pub fn entries(&self) -> usize {
        self.indexes.len()
    }
}

fn value_of(value: &[u8]) -> u64 {
    let digest = Digest::of(value);
    u64::from_be_bytes(digest.0[..8].try_into().expect("8 bytes"))
}

/// Makes secrets for one history.
///
/// # Panics
/// When they cannot be made.
pub async fn subjects(
    client: &Client,
    workspace: &WorkspaceName,
    count: usize,
    numbers: &mut Seeded,
) -> Vec<Subject> {
    let mut made = Vec::new();
    for _ in 0..count {
        let name: SecretName = format!("H{:016x}", numbers.any()).parse().expect("a name");
        let spec = NewSecretSpec {
            name: name.clone(),
            description: "of a history".parse().expect("a text"),
            hosts: Vec::new(),
            restricted: false,
            rotate_every: None,
        };
        let value = format!("the first of {name}");
        let acted = client
            .create(workspace, &[(spec, value.as_bytes())])
            .await
            .expect("created");
        let command = SignedCommand::decode(&acted.entry.command.0).expect("a command");
        let Action::SecretCreate(create) = &command.command().action else {
            panic!("another command was carried out")
        };
        made.push(Subject {
            name,
            id: create.secret.id,
            first: Content {
                version: 1,
                value: value_of(value.as_bytes()),
            },
        });
    }
    made
}

/// The result of a call.
enum CallResult {
    /// It became an entry, after which the secret has this content.
    Entry(Did, Content, Index),
    /// It was refused because of the current version.
    Refused(Did),
    /// Its outcome is unknown.
    Unknown(Did),
    /// It had no effect.
    Nothing(Code),
}

/// One caller: `calls` reads and writes of any of the subjects, one after the other.
///
/// # Panics
/// When a result is not allowed.
pub async fn call(
    client: Client,
    workspace: WorkspaceName,
    subjects: Vec<Subject>,
    (calls, mut numbers): (u64, Seeded),
    (clock, history): (Instant, Arc<Mutex<History>>),
) {
    let now = || u64::try_from(clock.elapsed().as_nanos()).expect("a short test");
    let mut known: Vec<u32> = subjects
        .iter()
        .map(|subject| subject.first.version)
        .collect();
    for _ in 0..calls {
        let number = usize::try_from(numbers.below(subjects.len() as u64)).expect("an index");
        let subject = &subjects[number];
        let begun = now();
        let told = if numbers.below(5) < 3 {
            read(&client, &workspace, subject).await
        } else {
            let value = format!("{:016x}", numbers.any());
            write(&client, &workspace, subject, known[number] + 1, &value).await
        };
        let ended = now();
        let mut history = history.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = history.calls.entry(number).or_default();
        let call = |ended, did| Call { begun, ended, did };
        match told {
            CallResult::Entry(did, content, index) => {
                known[number] = content.version;
                calls.push(call(Some(ended), did));
                history.indexes.push((begun, ended, index));
            }
            CallResult::Refused(did) => {
                // Another caller was faster. The next read shows the current version.
                known[number] += 1;
                calls.push(call(Some(ended), did));
                *history.codes.entry(Code::Conflict.as_str()).or_default() += 1;
            }
            CallResult::Unknown(did) => {
                calls.push(call(None, did));
                *history
                    .codes
                    .entry(Code::AuditUnknown.as_str())
                    .or_default() += 1;
            }
            CallResult::Nothing(code) => *history.codes.entry(code.as_str()).or_default() += 1,
        }
    }
}

/// The result of a failed call.
fn failed(error: &ClientError, did: Option<Did>) -> CallResult {
    match (error.code(), did) {
        (Code::Conflict, Some(Did::Wrote(content))) => {
            CallResult::Refused(Did::Refused(content.version))
        }
        (Code::AuditUnknown, Some(did)) => CallResult::Unknown(did),
        (
            code @ (Code::AuditUnknown | Code::Busy | Code::AuditUnavailable | Code::Unreachable),
            _,
        ) => CallResult::Nothing(code),
        (code, _) => panic!("{code}: {error}"),
    }
}

async fn read(client: &Client, workspace: &WorkspaceName, subject: &Subject) -> CallResult {
    let wanted = [RequestedValue {
        name: subject.name.clone(),
        version: None,
    }];
    let purpose = Purpose::Run(Nothing {});
    match client.reveal(workspace, &wanted, &purpose, None).await {
        Ok(revealed) => {
            let revealed = revealed.warn(|warning| panic!("a false alarm: {warning}"));
            let opened = &revealed.values[0];
            let content = Content {
                version: opened.version.0,
                value: value_of(&opened.value),
            };
            CallResult::Entry(Did::Read(content), content, revealed.index)
        }
        // A read with an unknown outcome changes nothing.
        Err(error) => failed(&error, None),
    }
}

async fn write(
    client: &Client,
    workspace: &WorkspaceName,
    subject: &Subject,
    version: u32,
    value: &str,
) -> CallResult {
    let secret = (subject.id, &subject.name);
    let content = Content {
        version,
        value: value_of(value.as_bytes()),
    };
    let edit = client.edit(
        workspace,
        secret,
        Version(version),
        value.as_bytes(),
        (None, None),
    );
    match edit.await {
        Ok(acted) => CallResult::Entry(Did::Wrote(content), content, acted.index),
        Err(error) => failed(&error, Some(Did::Wrote(content))),
    }
}
