//! Sign-ins: a fresh key for which a member consented, and the workspaces where the ledger knows it.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use ed25519_dalek::SigningKey;
use keyroll_core::command::{SignInClose, SignInOpen};
use keyroll_core::names::ClaimedOrigin;
use keyroll_core::sign_in::{SignInProof, SignInStatement, SignInTerms};
use keyroll_core::{
    Action, Blob, Code, Identity, LedgerId, MemberId, Millis, Rejection, WorkspaceName, cose,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::signer::public;
use crate::{Client, ClientError, private_files};

/// A member's consent that a key signs for it for a while, in every workspace of a ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInConsent {
    /// The key that may sign.
    pub key: Identity,
    /// When the member consented.
    pub from: Millis,
    /// What shows that.
    pub proof: SignInProof,
    /// When it ends.
    pub until: Millis,
    /// Where the key is used, as its user claims.
    #[serde(rename = "where")]
    pub origin: ClaimedOrigin,
    /// The ledger.
    pub ledger: LedgerId,
    /// The member.
    pub member: MemberId,
}

impl SignInConsent {
    /// The consent of a member with this key of its own.
    pub fn by_key(own: &SigningKey, ledger: LedgerId, terms: SignInTerms) -> Self {
        let binding = terms.binding(&ledger);
        let statement = cose::sign(&SignInStatement { v: 1, binding }, own);
        Self {
            key: terms.key,
            from: terms.from,
            proof: SignInProof::Key(Blob(statement)),
            until: terms.until,
            origin: terms.origin,
            ledger,
            member: public(own).into(),
        }
    }

    /// Checks that the member itself consented to exactly this.
    ///
    /// # Errors
    /// As [`cose::open`]; [`Code::BadSignature`].
    pub fn check(&self) -> Result<(), Rejection> {
        let SignInProof::Key(Blob(statement)) = &self.proof;
        let opened = cose::open::<SignInStatement>(statement)?;
        opened.verify()?;
        let terms = SignInTerms {
            key: self.key,
            from: self.from,
            until: self.until,
            origin: self.origin.clone(),
        };
        let binding = terms.binding(&self.ledger);
        if opened.payload.binding == binding && MemberId::from(opened.signer) == self.member {
            return Ok(());
        }
        let message = "the proof is for another sign-in, or not by its member";
        Err(Rejection::new(Code::BadSignature, message))
    }

    fn open(&self) -> Action {
        Action::SignInOpen(SignInOpen {
            key: self.key,
            from: self.from,
            proof: self.proof.clone(),
            until: self.until,
            origin: self.origin.clone(),
        })
    }
}

/// Most bytes of the file of workspaces: thousands of names.
const FILE_BYTES: u64 = 256 * 1024;

/// The workspaces where the ledger knows a sign-in, in memory and in a file when there is one.
#[derive(Default)]
pub(crate) struct OpenedIn {
    file: Option<PathBuf>,
    names: Mutex<BTreeSet<WorkspaceName>>,
}

impl OpenedIn {
    /// Those that an earlier process opened, from the file beside the checkpoints.
    pub(crate) fn in_directory(directory: &Path, key: &Identity) -> io::Result<Self> {
        let name = format!("{}.workspaces", key.to_string().replace(':', "-"));
        let file = directory.join("sign-ins").join(name);
        let text = private_files::read(&file, FILE_BYTES)?.unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let names = text.lines().filter_map(|line| line.parse().ok()).collect();
        Ok(Self {
            file: Some(file),
            names: Mutex::new(names),
        })
    }

    fn keep(&self, names: &BTreeSet<WorkspaceName>) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let lines: Vec<&str> = names.iter().map(WorkspaceName::as_str).collect();
        private_files::replace(file, lines.join("\n").as_bytes())
    }
}

impl Client {
    /// Opens the sign-in that signs, where there is one, in a workspace where the ledger does not
    /// know it yet. This makes an entry.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn sign_in(&self, workspace: &WorkspaceName) -> Result<(), ClientError> {
        let Some(consent) = self.signer().consent() else {
            return Ok(());
        };
        let opened = &self.actor.opened_in;
        // The lock makes the first command of many wait for the entry of one.
        let mut names = opened.names.lock().await;
        if names.contains(workspace) {
            return Ok(());
        }
        match self.execute_now(workspace, consent.open()).await {
            Ok(_) => {}
            // Another process opened it, or it was closed: the ledger says so to the next command.
            Err(error) if error.code() == Code::Conflict => {}
            Err(error) => return Err(error),
        }
        names.insert(workspace.clone());
        // Without the file, the next process asks once more.
        let _ = opened.keep(&names);
        Ok(())
    }

    /// Closes the sign-in that signs, in every workspace of its member: also where it was never opened, so that
    /// whoever else has the key cannot open it there. Returns the workspaces where it was open.
    ///
    /// # Errors
    /// As [`Client::execute`].
    pub async fn sign_out(&self) -> Result<Vec<WorkspaceName>, ClientError> {
        let Some(key) = self.signer().consent().map(|consent| consent.key) else {
            return Ok(Vec::new());
        };
        let workspaces = match self.workspaces().await {
            Ok(rows) => rows,
            // It is open nowhere.
            Err(error) if error.code() == Code::Denied => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        // It has to be open to reach the next workspace: so it is closed only after it was opened in all.
        for row in &workspaces {
            match self.sign_in(&row.workspace).await {
                Err(error) if error.code() != Code::Denied => return Err(error),
                _ => {}
            }
        }
        let mut closed = Vec::new();
        for row in workspaces {
            match self.close_own(&row.workspace, key).await {
                Ok(()) => closed.push(row.workspace),
                // It was closed there, or can never be opened there.
                Err(error) if matches!(error.code(), Code::Conflict | Code::Denied) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(closed)
    }

    async fn close_own(&self, workspace: &WorkspaceName, key: Identity) -> Result<(), ClientError> {
        let close = Action::SignInClose(SignInClose { key, member: None });
        self.execute(workspace, close).await.map(drop)
    }

    /// The workspaces where this client has opened its sign-in, or found it open.
    pub async fn signed_in_workspaces(&self) -> Vec<WorkspaceName> {
        let names = self.actor.opened_in.names.lock().await;
        names.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Signer;

    fn key(byte: u8) -> SigningKey {
        SigningKey::from_bytes(&[byte; 32])
    }

    fn consent() -> SignInConsent {
        let terms = SignInTerms {
            key: public(&key(2)),
            from: Millis(1_000),
            until: Millis(2_000),
            origin: "a laptop".parse().expect("an origin"),
        };
        SignInConsent::by_key(&key(1), LedgerId([9; 32]), terms)
    }

    #[test]
    fn a_sign_in_acts_as_its_member() {
        let signer = Signer::signed_in(key(2), consent()).expect("fits");
        assert_eq!(signer.member(), public(&key(1)).into());
        assert_eq!(signer.claim(), Some(signer.member()));
        assert_eq!(public(signer.key()), public(&key(2)));
        assert_eq!(Signer::from(key(1)).claim(), None);
    }

    #[test]
    fn a_consent_to_something_else_is_refused() {
        let refused = |key: SigningKey, change: &dyn Fn(&mut SignInConsent)| {
            let mut consent = consent();
            change(&mut consent);
            let signer = Signer::signed_in(key, consent);
            signer.map(|_| ()).map_err(|error| error.code)
        };
        let wrong = Err(Code::BadSignature);
        assert_eq!(refused(key(2), &|_| {}), Ok(()));
        assert_eq!(refused(key(3), &|_| {}), wrong);
        assert_eq!(refused(key(2), &|it| it.until = Millis(3_000)), wrong);
        assert_eq!(refused(key(2), &|it| it.from = Millis(0)), wrong);
        assert_eq!(refused(key(2), &|it| it.ledger = LedgerId([8; 32])), wrong);
        assert_eq!(refused(key(2), &|it| it.member = MemberId([8; 32])), wrong);
        let elsewhere = |it: &mut SignInConsent| it.origin = "x".parse().expect("an origin");
        assert_eq!(refused(key(2), &elsewhere), wrong);
        let flipped = |it: &mut SignInConsent| {
            let SignInProof::Key(Blob(bytes)) = &mut it.proof;
            *bytes.last_mut().expect("bytes") ^= 1;
        };
        assert_eq!(refused(key(2), &flipped), wrong);
    }
}
