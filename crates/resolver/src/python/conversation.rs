//! The messages between a run and its child: the code, its analysis, requests for secrets, the result.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::options::PythonOptions;
use super::process::{Channel, ChildMessage, PythonReferences};
use super::result::Analysis;
use super::reveal_secrets::RevealSecrets;
use crate::block::Python;
use crate::error::{Code, ResolveError};
use crate::json::parse_json;
use crate::reference_locations::{Context, MAX_REFERENCES, ReferenceLocation};
use crate::secret::SecretValues;
use crate::source_map::offset_of;

/// How the block ended.
pub(super) enum BlockEnd {
    Result(Value),
    /// With a result that is not usable, and why.
    NoResult(String),
    Failed,
    /// Without a message.
    Silent,
}

/// The messages between a run and its child.
pub(super) struct Conversation<'a, S> {
    block: &'a Python,
    channel: Channel,
    options: &'a PythonOptions,
    source: S,
    /// The names that the block may ask for. None until the code was read.
    allowed: Option<BTreeSet<String>>,
    pub(super) analysis: Analysis,
    pub(super) values: SecretValues,
    /// Why secrets were refused. A block that asks again gets the same answer, without a second audit entry.
    refused: BTreeMap<String, ResolveError>,
    /// The last refusal.
    refusal: Option<ResolveError>,
}

impl<'a, S: RevealSecrets> Conversation<'a, S> {
    pub(super) fn new(
        block: &'a Python,
        channel: Channel,
        options: &'a PythonOptions,
        source: S,
    ) -> Self {
        Self {
            block,
            channel,
            options,
            source,
            allowed: None,
            analysis: Analysis::default(),
            values: SecretValues::new(),
            refused: BTreeMap::new(),
            refusal: None,
        }
    }

    /// Sends the block and its document. If the child has ended already, receiving the next message fails.
    pub(super) async fn begin(&mut self, run: bool, document: &Value) {
        let block = &self.block;
        let message = json!({"name": block.name, "code": block.code, "run": run});
        let _ = self.channel.send(&message).await;
        let _ = self.channel.send(document).await;
    }

    pub(super) async fn converse(&mut self) -> Result<BlockEnd, ResolveError> {
        while let Some(message) = self.channel.receive().await? {
            match message {
                ChildMessage::Sandbox(detail) if self.allowed.is_none() => {
                    return Err(ResolveError::new(Code::SandboxUnavailable, detail));
                }
                ChildMessage::Document(what) if self.allowed.is_none() => {
                    let detail = format!("this Python cannot read the document: {what}");
                    return Err(ResolveError::new(Code::BlockInvalid, detail));
                }
                ChildMessage::Syntax(what, line, column) if self.allowed.is_none() => {
                    let detail = format!("the code is not valid Python: {what}");
                    return Err(ResolveError::new(Code::BlockInvalid, detail)
                        .in_field("code")
                        .at_line(line, column));
                }
                ChildMessage::Analysis(found) if self.allowed.is_none() => {
                    self.set_analysis(found)?;
                }
                ChildMessage::Get(name) if self.allowed.is_some() => {
                    self.answer_request(&name).await;
                }
                ChildMessage::Result(result) if self.allowed.is_some() => {
                    return Ok(match parse_json(result.get()) {
                        Ok(result) => BlockEnd::Result(result),
                        Err(error) => BlockEnd::NoResult(error.detail().to_owned()),
                    });
                }
                ChildMessage::Failed(code) if self.allowed.is_some() => {
                    return match self.refusal.take() {
                        Some(refusal) if !code.is_empty() => Err(refusal),
                        _ => Ok(BlockEnd::Failed),
                    };
                }
                // The block wrote to the channel itself.
                _ => return Ok(BlockEnd::Silent),
            }
        }
        Ok(BlockEnd::Silent)
    }

    /// Takes the names in the code before any of it has run. From here on they are fixed.
    fn set_analysis(&mut self, found: PythonReferences) -> Result<(), ResolveError> {
        if found.references.len() > MAX_REFERENCES {
            return Err(ResolveError::new(
                Code::BlockInvalid,
                "the code has more than 1000 references to secrets: split the block",
            ));
        }
        for (name, line, column) in found.references {
            let location = ReferenceLocation {
                path: format!("code line {line} column {column}"),
                offset: offset_of(&self.block.code, (line, column)),
                context: Context::Python,
            };
            self.analysis
                .references
                .entry(name)
                .or_default()
                .push(location);
        }
        self.analysis.dynamic = found.dynamic;
        self.allowed = Some(self.analysis.references.keys().cloned().collect());
        Ok(())
    }

    async fn answer_request(&mut self, name: &str) {
        let message = match self.fetch(name).await {
            Ok(()) => match self.values.get(name) {
                Ok(value) => json!({"value": STANDARD.encode(&value.bytes)}),
                Err(error) => json!({"error": error.code(), "message": error.to_string()}),
            },
            Err(error) => {
                let message = json!({"error": error.code(), "message": error.to_string()});
                self.refusal = Some(error);
                message
            }
        };
        // If the child has ended meanwhile, receiving the next message fails.
        let _ = self.channel.send(&message).await;
    }

    /// Reveals a value, unless it is there already.
    async fn fetch(&mut self, name: &str) -> Result<(), ResolveError> {
        if self.values.get(name).is_ok() {
            return Ok(());
        }
        if !self.allowed.iter().flatten().any(|known| known == name) {
            return Err(ResolveError::new(
                Code::Denied,
                "the block's code does not contain this name as `secrets.NAME`: write it out somewhere",
            )
            .about_secret(&name.chars().take(128).collect::<String>()));
        }
        if let Some(refused) = self.refused.get(name) {
            return Err(refused.clone());
        }
        let revealed = self.reveal(name).await;
        if let Err(error) = &revealed {
            self.refused.insert(name.to_owned(), error.clone());
        }
        revealed
    }

    async fn reveal(&mut self, name: &str) -> Result<(), ResolveError> {
        let open = self.options.network || !self.options.sandbox;
        let bound = || {
            let words = "the secret is bound to hosts, and this block could send it to any host: run the block \
                         without network access";
            ResolveError::new(Code::HostNotAllowed, words).about_secret(name)
        };
        if open && !self.source.allowed_hosts(name).await?.is_empty() {
            return Err(bound());
        }
        let value = self.source.reveal(name).await?;
        // The hosts that come with the value decide. The question above only avoids a useless reveal.
        if open && !value.allowed_hosts.is_empty() {
            return Err(bound());
        }
        value.text().map_err(|error| error.about_secret(name))?;
        self.values.insert(name, value);
        Ok(())
    }
}
