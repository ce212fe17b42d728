//! A connection to the ledger, as one identity and mostly in one workspace.

use keyroll_client::{Client, ClientError, Settings as ClientSettings, Signer};
use keyroll_client::{Executed, RequestedValue, RevealedValue, RevealedValues, VerifiedAnswer};
use keyroll_core::command::Purpose;
use keyroll_core::names::Text;
use keyroll_core::{Action, Code, Index, MemberId, SecretName, TreeSize, WorkspaceName};
use keyroll_wire::query::{AsOf, PointInTime, SecretShow};
use keyroll_wire::reply::{Answer, MemberRow, SecretRow, WorkspaceAt};
use keyroll_wire::{Question, Receipt};

use crate::config;
use crate::context::Context;
use crate::error::Failure;
use crate::output::Output;
use crate::time;

/// Values that were revealed in one entry.
pub(crate) struct Revealed {
    /// In the order of the request.
    pub(crate) values: Vec<RevealedValue>,
    pub(crate) index: Index,
    pub(crate) receipt: Receipt,
    /// The warnings on stderr, for programs.
    pub(crate) warnings: Vec<String>,
}

/// A connection and its workspace.
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) workspace: WorkspaceName,
}

/// Unwraps the variant of an answer that matches the query.
macro_rules! answer {
    ($answered:expr, $variant:path) => {
        match $answered.answer {
            $variant(answer) => Ok(answer),
            _ => Err($crate::error::Failure::from(keyroll_client::unexpected())),
        }
    };
}
pub(crate) use answer;

impl Context {
    /// Connects, and pins the ledger's id at first use: from then on keyroll refuses any other ledger.
    pub(crate) async fn client(&self) -> Result<Client, Failure> {
        let signer = self.signer_of(&self.settings()?)?;
        self.connect(signer).await
    }

    /// As [`Context::client`], for a signer of the caller's choice.
    pub(crate) async fn connect(&self, signer: Signer) -> Result<Client, Failure> {
        let settings = self.settings()?;
        let home = settings.home.value;
        let client = Client::connect(ClientSettings {
            nats_url: settings.nats_url.value,
            nats_creds: settings.nats_creds.map(|setting| setting.value),
            nats_ca: settings.nats_ca.map(|setting| setting.value),
            identity: signer,
            ledger: settings.ledger.as_ref().map(|ledger| ledger.value),
            home: Some(home.clone()),
        })
        .await?;
        if settings.ledger.is_none() {
            config::pin(&home, &client.ledger())?;
            self.out.note(&format!(
                "first use of ledger {}: pinned its id in {}. keyroll refuses any other ledger from now on",
                client.ledger(),
                config::path(&home).display()
            ));
        }
        Ok(client)
    }

    /// Connects for work in the workspace of the settings.
    pub(crate) async fn session(&self) -> Result<Session, Failure> {
        let workspace = self.settings()?.workspace()?;
        let client = self.client().await?;
        Ok(Session { client, workspace })
    }
}

impl Session {
    /// Asks about the workspace.
    pub(crate) async fn ask(&self, ask: Question) -> Result<VerifiedAnswer, Failure> {
        Ok(self.client.query(Some(&self.workspace), ask).await?)
    }

    /// Signs an action and sends it to the workspace.
    pub(crate) async fn act(&self, action: Action) -> Result<Executed, Failure> {
        Ok(self.client.execute(&self.workspace, action).await?)
    }

    /// Reveals values in one entry, and prints the warnings about them before it returns the values.
    pub(crate) async fn reveal(
        &self,
        out: Output,
        wanted: &[RequestedValue],
        purpose: &Purpose,
        reason: Option<&Text>,
    ) -> Result<Revealed, ClientError> {
        let client = &self.client;
        let reveal = client.reveal(&self.workspace, wanted, purpose, reason);
        let mut warnings = Vec::new();
        let RevealedValues {
            index,
            receipt,
            values,
        } = reveal.await?.warn(|warning| {
            out.warn(&warning);
            warnings.push(warning);
        });
        Ok(Revealed {
            values,
            index,
            receipt,
            warnings,
        })
    }

    /// The secret of a name: the active one, or the one deleted or destroyed last.
    pub(crate) async fn secret(&self, name: &SecretName) -> Result<SecretRow, Failure> {
        self.secret_at(name, None).await
    }

    /// The secret of a name, as it is or was.
    pub(crate) async fn secret_at(
        &self,
        name: &SecretName,
        at: Option<PointInTime>,
    ) -> Result<SecretRow, Failure> {
        let name = name.clone();
        let ask = Question::SecretShow(SecretShow { at, name });
        answer!(self.ask(ask).await?, Answer::SecretShow).map(|row| *row)
    }

    /// Resolves a point in history.
    pub(crate) async fn point(&self, point: AsOf) -> Result<WorkspaceAt, Failure> {
        answer!(
            self.ask(Question::WorkspaceAt(point)).await?,
            Answer::WorkspaceAt
        )
    }

    /// The present, as a fixed point in history.
    pub(crate) async fn present(&self) -> Result<WorkspaceAt, Failure> {
        let begin = AsOf::Size(TreeSize(0));
        let size = self.ask(Question::WorkspaceAt(begin)).await?.size;
        let mut found = self.point(AsOf::Size(size)).await?;
        // Expiries and rotation dates since the last entry count too.
        found.at.time = found.at.time.max(keyroll_wire::time::now());
        Ok(found)
    }

    /// The point of `--at P`, if it was given.
    pub(crate) async fn moment(&self, at: Option<&str>) -> Result<Option<PointInTime>, Failure> {
        let Some(text) = at else { return Ok(None) };
        let point = time::point(text, keyroll_wire::time::now())?;
        Ok(Some(self.point(point).await?.at))
    }

    /// Members, former ones too.
    pub(crate) async fn members(&self) -> Result<Vec<MemberRow>, Failure> {
        self.members_at(None).await
    }

    /// Members, former ones too, as they are or were.
    pub(crate) async fn members_at(
        &self,
        at: Option<PointInTime>,
    ) -> Result<Vec<MemberRow>, Failure> {
        Ok(self.client.members(&self.workspace, at).await?.0)
    }

    /// A member by id or by name. A present member goes before a former one.
    pub(crate) async fn member(&self, name_or_id: &str) -> Result<MemberRow, Failure> {
        let mut rows = self.members().await?;
        rows.sort_by_key(|row| row.removed);
        let id = name_or_id.parse::<MemberId>().ok();
        let named = |row: &MemberRow| row.name.as_str().eq_ignore_ascii_case(name_or_id);
        let meant = |row: &MemberRow| id.map_or_else(|| named(row), |id| id == row.member);
        rows.into_iter().find(meant).ok_or_else(|| {
            let message = format!(
                "{} has no member {name_or_id:?}. `keyroll member list` shows the members",
                self.workspace
            );
            Failure::coded(Code::NotFound, message)
        })
    }
}

/// Asks about the ledger as a whole.
pub(crate) async fn ask_ledger(client: &Client, ask: Question) -> Result<VerifiedAnswer, Failure> {
    Ok(client.query(None, ask).await?)
}
