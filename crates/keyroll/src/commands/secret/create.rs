//! `keyroll secret create`.

use clap::Args;
use keyroll_api::client::NewSecretSpec;
use keyroll_core::Code;
use serde_json::json;

use super::{add_receipt, hosts, period, rows, text, would};
use crate::cli::DryRun;
use crate::context::Context;
use crate::error::Failure;
use crate::input::{ValueArgs, secret_name};

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// A letter, then letters, digits and underscores
    name: String,
    #[command(flatten)]
    value: ValueArgs,
    /// Words for people, kept in the log
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A host that blocks may send it to, such as api.example.com or *.example.com; without one any
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
    /// Reveal it to runners' blocks only, to nobody else
    #[arg(long)]
    restricted: bool,
    /// How often a new value is due, such as 90d
    #[arg(long, value_name = "PERIOD")]
    rotate_every: Option<String>,
    #[command(flatten)]
    dry: DryRun,
}

pub(crate) async fn run(context: &Context, args: CreateArgs) -> Result<(), Failure> {
    args.value.check("create")?;
    let spec = NewSecretSpec {
        name: secret_name(&args.name, "create")?,
        description: text(args.description)?.map_or_else(|| "".parse(), Ok)?,
        hosts: hosts(&args.allow_host)?,
        restricted: args.restricted,
        rotate_every: args.rotate_every.as_deref().map(period).transpose()?,
    };
    let workspace = context.settings()?.workspace()?;
    let value = args.value.read(context, &spec.name)?;
    let words = format!("{} in {workspace}", spec.name);
    let mut json = json!({"name": spec.name, "version": 1});
    let session = context.session().await?;
    if args.dry.dry_run {
        if let Some(known) = rows::taken(&session, &spec.name).await? {
            let message = format!("the name {} is taken (by {})", spec.name, known.name);
            return Err(Failure::coded(Code::Conflict, message));
        }
        return would(context, ("created", &words, json));
    }
    let name = spec.name.clone();
    let acted = session
        .client
        .create(&session.workspace, &[(spec, &value)])
        .await?;
    add_receipt(context, &mut json, &acted);
    context.out.done(
        &json,
        &format!("created {name} in {workspace} (entry {})", acted.index),
    )
}
