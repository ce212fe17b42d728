//! `keyroll config`: shows the settings, and the origin of each.

use clap::Subcommand;
use serde_json::{Map, Value, json};

use crate::context::{Context, Setting, Settings};
use crate::error::Failure;
use crate::output::{Column, Table};

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the settings, without passwords
    #[command(
        after_help = "Examples:\n  keyroll config show\n  keyroll config show --origin --json"
    )]
    Show {
        /// Also print the origin of each setting: a flag, the environment, config.toml or the default
        #[arg(long)]
        origin: bool,
    },
}

struct SettingRow {
    name: &'static str,
    value: String,
    origin: String,
}

pub(crate) fn run(context: &Context, command: &ConfigCommand) -> Result<(), Failure> {
    let ConfigCommand::Show { origin } = *command;
    let rows = rows(&context.settings()?);
    if context.out.json {
        let field = |row: &SettingRow| {
            if origin {
                json!({"value": row.value, "origin": row.origin})
            } else {
                json!(row.value)
            }
        };
        let fields = rows.iter().map(|row| (row.name.to_owned(), field(row)));
        return context
            .out
            .document(&Value::Object(fields.collect::<Map<_, _>>()));
    }
    let mut columns: Vec<Column<SettingRow>> = vec![
        ("SETTING", |row| row.name.to_owned()),
        ("VALUE", |row| row.value.clone()),
    ];
    if origin {
        columns.push(("ORIGIN", |row| row.origin.clone()));
    }
    context.out.items(&rows, |_| (), &Table(columns))
}

fn rows(settings: &Settings) -> Vec<SettingRow> {
    fn row<T>(name: &'static str, setting: &Setting<T>, show: impl Fn(&T) -> String) -> SettingRow {
        SettingRow {
            name,
            value: show(&setting.value),
            origin: setting.origin.to_string(),
        }
    }
    let mut rows = vec![
        row("home", &settings.home, |home| home.display().to_string()),
        row("nats_url", &settings.nats_url, |url| without_password(url)),
        row("identity", &settings.identity, |path| {
            path.display().to_string()
        }),
    ];
    rows.extend(
        settings
            .nats_creds
            .as_ref()
            .map(|setting| row("nats_creds", setting, |path| path.display().to_string())),
    );
    rows.extend(
        settings
            .nats_ca
            .as_ref()
            .map(|setting| row("nats_ca", setting, |path| path.display().to_string())),
    );
    rows.extend(
        settings
            .workspace
            .as_ref()
            .map(|setting| row("workspace", setting, Clone::clone)),
    );
    rows.extend(
        settings
            .ledger
            .as_ref()
            .map(|setting| row("ledger", setting, ToString::to_string)),
    );
    rows
}

/// A URL whose password, or token, is replaced by an ellipsis.
fn without_password(url: &str) -> String {
    let (scheme, rest) = url
        .split_once("://")
        .map_or(("", url), |(scheme, rest)| (scheme, rest));
    let Some((credentials, host)) = rest.rsplit_once('@') else {
        return url.to_owned();
    };
    let shown = match credentials.split_once(':') {
        Some((user, _)) => format!("{user}:…"),
        None => "…".to_owned(),
    };
    let separator = if scheme.is_empty() { "" } else { "://" };
    format!("{scheme}{separator}{shown}@{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_left_out() {
        for (url, shown) in [
            ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
            ("nats://alice:hunter2@h:1", "nats://alice:…@h:1"),
            ("nats://hunter2@h:1", "nats://…@h:1"),
            ("alice:hunter2@h", "alice:…@h"),
            ("nats://alice:hunt@er2@h", "nats://alice:…@h"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }
}
