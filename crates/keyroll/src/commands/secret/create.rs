//! `keyroll secret create`.

use clap::Args;
use keyroll_client::NewSecretSpec;
use serde_json::json;

use super::{hosts, period};
use crate::context::Context;
use crate::dry_run::Performed;
use crate::error::Failure;
use crate::input::{ValueArgs, secret_name, text};
use crate::options::DryRun;

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Name of the secret: a letter, then letters, digits and underscores
    name: String,
    #[command(flatten)]
    value: ValueArgs,
    /// Description for people; the log keeps it [default: empty]
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Host that blocks may send the value to, such as api.example.com or *.example.com; repeat it for
    /// more [default: any host]
    #[arg(long, value_name = "HOST")]
    allow_host: Vec<String>,
    /// Reveal the value only to blocks that a runner runs
    #[arg(long)]
    restricted: bool,
    /// How often the value is to be rotated, such as 90d [default: never]
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
    let json = json!({"name": spec.name, "version": 1});
    let session = context.session().await?;
    let (client, new) = (&session.client, [(spec, value.as_slice())]);
    let outcome = if args.dry.dry_run {
        Performed::Decided(client.dry_run_create(&session.workspace, &new).await?)
    } else {
        client.create(&session.workspace, &new).await?.into()
    };
    outcome.report(context, ("created", &words, json))
}
