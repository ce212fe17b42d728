//! Restoring an earlier value as a new version. Values are never compared here.

use keyroll_client::{RequestedValue, unexpected};
use keyroll_core::command::{Nothing, Purpose};
use keyroll_core::names::Text;
use keyroll_core::{SecretName, Version};
use serde::Deserialize;

use super::edit::or_conflict;
use super::fields::id;
use super::list::back;
use crate::failure::Failure;
use crate::form::{Submitted, WorkspaceForm};
use crate::request::WorkspaceRequest;

#[derive(Deserialize)]
pub(super) struct RollbackForm {
    id: String,
    version: u32,
    from: u32,
}

impl WorkspaceForm for RollbackForm {
    async fn submit(self, request: &WorkspaceRequest, target: &str) -> Result<Submitted, Failure> {
        let name: SecretName = target.parse()?;
        let (id, from) = (id(&self.id)?, Version(self.from));
        let based_on = Version(self.version);
        let next = based_on.next();
        // The ledger never sees a value, so the console reads the old one and seals it anew.
        let wanted = [RequestedValue {
            name: name.clone(),
            version: Some(from),
        }];
        let (client, workspace) = (&request.session.client, &request.workspace);
        let why: Text = format!("restore of version {from}").parse()?;
        let purpose = Purpose::Copy(Nothing {});
        let revealed = client
            .reveal(workspace, &wanted, &purpose, Some(&why))
            .await;
        let revealed = request.checked(revealed)?;
        let revealed = revealed.warn(|warning| request.warn(&warning));
        let opened = revealed
            .values
            .first()
            .ok_or_else(|| Failure::from(unexpected()))?;
        if opened.id != id {
            return Err(Failure::field(
                "Another secret now has this name. Nothing was changed.",
            ));
        }
        let note = (Some(why), Some(from));
        let edited = client
            .edit(workspace, (id, &name), next, &opened.value, note)
            .await;
        let index = or_conflict(request, &name, based_on, request.acted(edited)).await?;
        Ok(Submitted::new(
            format!("{name} has the value of v{from} again, as v{next} (entry {index})."),
            back(request, Some(&name)),
        ))
    }

    fn back(request: &WorkspaceRequest, _: &str) -> String {
        request.path("secrets")
    }
}
