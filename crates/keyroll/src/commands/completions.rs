//! `keyroll completions` and `keyroll man`: generated from the definition of the command line.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::context::Context;
use crate::error::Failure;

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Shell that is to run the script
    shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Subcommand, such as `secret create` [default: the page of keyroll itself]
    command: Vec<String>,
}

pub(crate) fn completions(
    context: &Context,
    mut program: Command,
    args: &CompletionsArgs,
) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "keyroll", &mut script);
    context.out.bytes(&script)
}

pub(crate) fn man(context: &Context, mut program: Command, args: &ManArgs) -> Result<(), Failure> {
    // Fills in what subcommands inherit.
    program.build();
    let mut command = program;
    let mut name = "keyroll".to_owned();
    for word in &args.command {
        let found = command.find_subcommand(word).cloned();
        command = found.ok_or_else(|| {
            Failure::usage(format!(
                "{name} has no subcommand {word:?}. `keyroll --help` lists them"
            ))
        })?;
        name = format!("{name}-{word}");
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .title(name)
        .render(&mut page)?;
    context.out.bytes(&page)
}
