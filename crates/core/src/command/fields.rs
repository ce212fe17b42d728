//! The fields of each action, declared in canonical order: shorter names first, then by bytes.

use serde::{Deserialize, Serialize};

use crate::ids::{
    Digest, Encapsulated, Epoch, Identity, MemberId, Millis, ObjectId, SecretId, TreeSize, Version,
};
use crate::invitation::AcceptanceProof;
use crate::names::{ClaimedOrigin, Glob, HostPattern, Label, MemberName, SecretName, Text};
use crate::roles::Role;
use crate::sign_in::{Principal, SignInProof, SignInTerms};

/// No fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// All fields of a member; a change replaces all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberRecord {
    /// Display name, unique in the workspace.
    pub name: MemberName,
    /// What the member may do.
    pub role: Role,
    /// The member's public key.
    pub member: MemberId,
    /// When the membership ends, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Millis>,
    /// The names of the secrets the member may touch.
    pub secrets: Vec<Glob>,
}

/// The member to remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberRemove {
    /// The member's public key.
    pub member: MemberId,
}

/// Fields of `member.invite`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberInvite {
    /// The public half of the key that the code makes: it signs the acceptance.
    pub key: Identity,
    /// Name of the new member, unique among members and invitations.
    pub name: MemberName,
    /// What the new member may do.
    pub role: Role,
    /// The code's key of an invitation with the same name that this one replaces.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renews: Option<Identity>,
    /// When the membership ends, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Millis>,
    /// The names of the secrets the new member may touch.
    pub secrets: Vec<Glob>,
    /// Who alone may accept. Without it, whoever has the code may, and owners and editors wait until
    /// an owner confirms them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal: Option<Principal>,
}

/// Fields of `member.accept`. The code's key signs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberAccept {
    /// What shows that the principal accepts.
    pub proof: AcceptanceProof,
    /// Who becomes a member.
    pub principal: Principal,
}

impl MemberAccept {
    /// The id of the new member.
    pub const fn member(&self) -> MemberId {
        let Principal::Key(key) = self.principal;
        MemberId(key.0)
    }
}

/// Fields of `member.confirm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberConfirm {
    /// The code's key of the invitation.
    pub key: Identity,
    /// Who accepted it, by the fingerprint that both compared.
    pub member: MemberId,
}

/// Fields of `member.revoke`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberRevoke {
    /// The code's key of the invitation.
    pub key: Identity,
}

/// Names a session: an HPKE exchange with the ledger's sealing key of one period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRef {
    /// The encapsulated key.
    pub enc: Encapsulated,
    /// The sealing key's period.
    pub period: u32,
}

/// A secret of an import or of a create.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSecret {
    /// Fresh random id.
    pub id: SecretId,
    /// Its name.
    pub name: SecretName,
    /// Bytes of the sealed value.
    pub size: u32,
    /// Hosts it may be sent to; none means any.
    pub hosts: Vec<HostPattern>,
    /// SHA-256 of the sealed value.
    pub digest: Digest,
    /// Whether only runners may use it, in blocks.
    pub restricted: bool,
    /// A description for people.
    pub description: Text,
    /// The rotation period, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<u64>,
}

/// Fields of `secret.create`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretCreate {
    /// The new secret.
    pub secret: NewSecret,
    /// The session its data key travels under.
    pub session: SessionRef,
}

/// Fields of `secret.import`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretImport {
    /// The new secrets; the values of the request are in the same order.
    pub secrets: Vec<NewSecret>,
    /// The session their data keys travel under.
    pub session: SessionRef,
}

/// An existing secret, by name and id. Permission is decided on the name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRef {
    /// Its id.
    pub id: SecretId,
    /// Its name.
    pub name: SecretName,
}

/// Fields of `secret.edit`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretEdit {
    /// The secret's id.
    pub id: SecretId,
    /// The secret's name.
    pub name: SecretName,
    /// Bytes of the sealed value.
    pub size: u32,
    /// SHA-256 of the sealed value.
    pub digest: Digest,
    /// The reason, if the actor gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// The session the data key travels under.
    pub session: SessionRef,
    /// The version that this creates: the current one plus one.
    pub version: Version,
}

/// Fields of `secret.rollback`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRollback {
    /// The new version.
    pub edit: SecretEdit,
    /// The version that the value comes from, as the actor claims.
    pub from: Version,
}

/// Fields of `secret.describe`; absent fields stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretDescribe {
    /// The secret's id.
    pub id: SecretId,
    /// The secret's name.
    pub name: SecretName,
    /// Hosts it may be sent to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<HostPattern>>,
    /// Whether only runners may use it, in blocks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restricted: Option<bool>,
    /// A description for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<Text>,
    /// The rotation period, in seconds; 0 for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_every: Option<u64>,
}

/// Fields of `secret.rename`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretRename {
    /// The secret's id.
    pub id: SecretId,
    /// The new name.
    pub to: SecretName,
    /// The present name.
    pub name: SecretName,
}

/// Fields of `secret.reveal`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretReveal {
    /// The values to release.
    pub names: Vec<RevealItem>,
    /// The reason, if the actor gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Text>,
    /// The purpose, as the actor claims.
    pub purpose: Purpose,
    /// The session the data keys travel under.
    pub session: SessionRef,
}

/// One value to release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RevealItem {
    /// The secret's id, when the caller knows it: another secret under the name is a conflict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<SecretId>,
    /// The secret's name.
    pub name: SecretName,
    /// The version; the current one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
}

/// The purpose of a reveal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Purpose {
    /// To look at it.
    #[serde(rename = "view")]
    View(Nothing),
    /// To put it on a clipboard.
    #[serde(rename = "copy")]
    Copy(Nothing),
    /// To put it into a program's environment.
    #[serde(rename = "run")]
    Run(Nothing),
    /// To hand it to the programs that an agent serves; by rules 4.
    #[serde(rename = "agent")]
    Agent(AgentUse),
    /// To write it into a file.
    #[serde(rename = "export")]
    Export(Nothing),
    /// To run a workflow's block.
    #[serde(rename = "block")]
    Block(BlockRun),
}

impl Purpose {
    /// The purpose's name on the wire.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::View(_) => "view",
            Self::Copy(_) => "copy",
            Self::Run(_) => "run",
            Self::Agent(_) => "agent",
            Self::Export(_) => "export",
            Self::Block(_) => "block",
        }
    }
}

/// What an agent says about its use of values.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentUse {
    /// The run that it asks for, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Label>,
    /// The agent.
    pub name: Label,
    /// For how many seconds it may hand out the values without another reveal; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u32>,
}

/// A run of a block.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockRun {
    /// The run.
    pub run: Label,
    /// The block.
    pub block: Label,
    /// The workflow.
    pub workflow: Label,
}

/// Fields of `secret.destroy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SecretDestroy {
    /// The secret's id.
    pub id: SecretId,
    /// The secret's name.
    pub name: SecretName,
    /// The versions; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub versions: Option<Vec<Version>>,
}

/// Fields of `workflow.save`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkflowSave {
    /// Its blocks.
    pub blocks: Vec<BlockUse>,
    /// Its name.
    pub workflow: Label,
}

/// The names that one block references.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BlockUse {
    /// The block.
    pub name: Label,
    /// The secrets it references.
    pub secrets: Vec<SecretName>,
}

/// Fields of `workflow.remove`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkflowRemove {
    /// Its name.
    pub workflow: Label,
}

/// Fields of `delegation.revoke`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DelegationRevoke {
    /// The delegated key to revoke.
    pub key: Identity,
    /// The identity that delegated to it. When absent, the ledger revokes the delegations to the
    /// key that it has seen in use, as far as the actor may revoke them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<MemberId>,
}

/// Fields of `signin.open`. The key that it names signs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInOpen {
    /// The fresh key that is to sign.
    pub key: Identity,
    /// When the member consented.
    pub from: Millis,
    /// What shows that the member wants it.
    pub proof: SignInProof,
    /// When it ends, 12 h after `from` at most.
    pub until: Millis,
    /// Where it is used, as its user claims.
    #[serde(rename = "where")]
    pub origin: ClaimedOrigin,
}

impl SignInOpen {
    /// What the proof has to cover.
    pub fn terms(&self) -> SignInTerms {
        SignInTerms {
            key: self.key,
            from: self.from,
            until: self.until,
            origin: self.origin.clone(),
        }
    }
}

/// Fields of `signin.close`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignInClose {
    /// The sign-in key. It need not be open here: then it never opens here.
    pub key: Identity,
    /// Whose it is; the actor's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<MemberId>,
}

/// Fields of `value.erase`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValueErase {
    /// The secret.
    pub id: SecretId,
    /// The versions whose values are erased.
    pub versions: Vec<Version>,
}

/// One stored value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredAt {
    /// The epoch whose key wraps it.
    pub epoch: Epoch,
    /// Its object in the vault.
    pub place: ObjectId,
}

/// Fields of `values.sweep`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValuesSweep {
    /// Values that no version refers to.
    pub places: Vec<StoredAt>,
}

/// Fields of `values.lose`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ValuesLose {
    /// The versions whose values are lost.
    pub values: Vec<LostValue>,
}

/// A version whose value is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LostValue {
    /// The secret.
    pub id: SecretId,
    /// The version.
    pub version: Version,
}

/// Fields of `key.erase`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyErase {
    /// The erased generation.
    pub epoch: Epoch,
}

/// Fields of `log.truncate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogTruncate {
    /// The highest size that the log is known to have had.
    pub size: TreeSize,
}

/// Fields of `denials.summarize`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenialsSummarize {
    /// The number of refusals of each member.
    pub denials: Vec<DenialCount>,
}

/// Refusals of one member that have no entries of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DenialCount {
    /// The number of refusals.
    pub count: u32,
    /// The member.
    pub member: MemberId,
}
