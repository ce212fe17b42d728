//! The context of a command: the settings with their origins, and the output.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use keyroll_client::Signer;
use keyroll_core::{LedgerId, WorkspaceName};

use crate::config::Config;
use crate::error::Failure;
use crate::identity_file;
use crate::options::Global;
use crate::output::Output;
use crate::passphrase::PassphraseSource;

/// The default address of nats-server.
const NATS_URL: &str = "nats://127.0.0.1:4222";

/// The global options and the output. Settings are resolved when a command needs them: some commands need
/// none, not even a home directory.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) out: Output,
}

/// A value and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// The origin of a setting, the strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Environment(&'static str),
    ConfigFile,
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Environment(name) => f.write_str(name),
            Self::ConfigFile => f.write_str("config.toml"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// All settings, resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) home: Setting<PathBuf>,
    pub(crate) nats_url: Setting<String>,
    pub(crate) nats_creds: Option<Setting<PathBuf>>,
    pub(crate) nats_ca: Option<Setting<PathBuf>>,
    pub(crate) workspace: Option<Setting<String>>,
    pub(crate) identity: Setting<PathBuf>,
    pub(crate) ledger: Option<Setting<LedgerId>>,
}

impl Context {
    /// The settings: flag, environment, `config.toml`, default.
    pub(crate) fn settings(&self) -> Result<Settings, Failure> {
        let environment = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let home = home(&self.global, &environment)?;
        let config = Config::load(&home.value)?;
        resolve(&self.global, home, &environment, config)
    }

    /// Whether keyroll may ask a question at the terminal.
    pub(crate) fn may_ask(&self) -> bool {
        use std::io::IsTerminal as _;
        !self.global.no_input && std::io::stdin().is_terminal()
    }
}

impl Context {
    /// The source of the passphrase of an identity file.
    pub(crate) fn passphrase_source(&self) -> PassphraseSource {
        PassphraseSource::for_identity(self.may_ask())
    }

    /// The signer of the settings: the identity file or, where there is none in its usual place, the sign-in
    /// of this machine.
    pub(crate) fn signer_of(&self, settings: &Settings) -> Result<Signer, Failure> {
        self.signer(&signing_file(settings))
    }

    /// The signer in an identity file.
    pub(crate) fn signer(&self, path: &Path) -> Result<Signer, Failure> {
        identity_file::signer(path, self.passphrase_source())
    }
}

/// The file whose key signs.
pub(crate) fn signing_file(settings: &Settings) -> PathBuf {
    let sign_in = identity_file::sign_in_path(&settings.home.value);
    let identity = &settings.identity;
    let own = identity.origin != Origin::Default || identity.value.exists();
    if own || !sign_in.exists() {
        return identity.value.clone();
    }
    sign_in
}

impl Settings {
    /// The workspace.
    pub(crate) fn workspace(&self) -> Result<WorkspaceName, Failure> {
        let Some(setting) = &self.workspace else {
            return Err(Failure::usage(
                "no workspace. Add -w NAME, set KEYROLL_WORKSPACE, or put `workspace = \"NAME\"` into \
                 config.toml",
            ));
        };
        setting
            .value
            .parse()
            .map_err(|error| Failure::from(error).within(&setting.origin.to_string()))
    }
}

type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

fn home(global: &Global, environment: Environment<'_>) -> Result<Setting<PathBuf>, Failure> {
    if let Some(home) = &global.home {
        return Ok(Setting {
            value: home.clone(),
            origin: Origin::Flag("--home"),
        });
    }
    if let Some(home) = environment("KEYROLL_HOME") {
        let origin = Origin::Environment("KEYROLL_HOME");
        return Ok(Setting {
            value: home.into(),
            origin,
        });
    }
    // The XDG specification ignores relative paths.
    let data = environment("XDG_DATA_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    let data =
        data.or_else(|| environment("HOME").map(|home| Path::new(&home).join(".local/share")));
    match data {
        Some(data) => Ok(Setting {
            value: data.join("keyroll"),
            origin: Origin::Default,
        }),
        None => Err(Failure::usage(
            "no home directory. Add --home DIR or set KEYROLL_HOME",
        )),
    }
}

/// The first of flag, environment and file that has a value.
fn pick<T>(
    flag: (Option<T>, &'static str),
    environment: (Option<T>, &'static str),
    file: Option<T>,
) -> Option<Setting<T>> {
    let from = |value: Option<T>, origin| value.map(|value| Setting { value, origin });
    from(flag.0, Origin::Flag(flag.1))
        .or_else(|| from(environment.0, Origin::Environment(environment.1)))
        .or_else(|| from(file, Origin::ConfigFile))
}

fn resolve(
    global: &Global,
    home: Setting<PathBuf>,
    environment: Environment<'_>,
    config: Config,
) -> Result<Settings, Failure> {
    let text = |name: &'static str| {
        let not_text = |_| Failure::usage(format!("{name} is not UTF-8"));
        environment(name)
            .map(|value| value.into_string().map_err(not_text))
            .transpose()
    };
    let nats_url = pick(
        (global.nats.clone(), "--nats"),
        (text("KEYROLL_NATS_URL")?, "KEYROLL_NATS_URL"),
        config.nats_url,
    );
    let nats_creds = pick(
        (global.nats_creds.clone(), "--nats-creds"),
        (
            environment("KEYROLL_NATS_CREDS").map(PathBuf::from),
            "KEYROLL_NATS_CREDS",
        ),
        config.nats_creds.map(|path| home.value.join(path)),
    );
    let nats_ca = pick(
        (global.nats_ca.clone(), "--nats-ca"),
        (
            environment("KEYROLL_NATS_CA").map(PathBuf::from),
            "KEYROLL_NATS_CA",
        ),
        config.nats_ca.map(|path| home.value.join(path)),
    );
    let workspace = pick(
        (global.workspace.clone(), "--workspace"),
        (text("KEYROLL_WORKSPACE")?, "KEYROLL_WORKSPACE"),
        config.workspace,
    );
    let identity = pick(
        (global.identity.clone(), "--identity"),
        (
            environment("KEYROLL_IDENTITY").map(PathBuf::from),
            "KEYROLL_IDENTITY",
        ),
        config.identity.map(|path| home.value.join(path)),
    );
    Ok(Settings {
        nats_url: nats_url.unwrap_or_else(|| Setting {
            value: NATS_URL.to_owned(),
            origin: Origin::Default,
        }),
        nats_creds,
        nats_ca,
        workspace,
        identity: identity.unwrap_or_else(|| Setting {
            value: home.value.join("identity.pem"),
            origin: Origin::Default,
        }),
        ledger: config.ledger.map(|value| Setting {
            value,
            origin: Origin::ConfigFile,
        }),
        home,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(global: &Global, variables: &[(&str, &str)], config: Config) -> Settings {
        let environment = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let home = home(global, &environment).expect("a home");
        resolve(global, home, &environment, config).expect("resolved")
    }

    #[test]
    fn a_flag_beats_the_environment_which_beats_the_file() {
        let config = Config {
            nats_url: Some("nats://file".to_owned()),
            nats_creds: Some("file.creds".into()),
            nats_ca: None,
            workspace: Some("file".to_owned()),
            identity: Some("file.pem".into()),
            ledger: None,
        };
        let global = Global {
            nats: Some("nats://flag".to_owned()),
            ..Global::default()
        };
        let variables = [
            ("KEYROLL_HOME", "/home"),
            ("KEYROLL_NATS_URL", "nats://environment"),
            ("KEYROLL_WORKSPACE", "environment"),
        ];
        let settings = resolved(&global, &variables, config);
        let flag = Setting {
            value: "nats://flag".to_owned(),
            origin: Origin::Flag("--nats"),
        };
        assert_eq!(settings.nats_url, flag);
        let origin = Origin::Environment("KEYROLL_WORKSPACE");
        let environment = Setting {
            value: "environment".to_owned(),
            origin,
        };
        assert_eq!(settings.workspace, Some(environment));
        let file = |path: &str| Setting {
            value: path.into(),
            origin: Origin::ConfigFile,
        };
        assert_eq!(settings.identity, file("/home/file.pem"));
        assert_eq!(settings.nats_creds, Some(file("/home/file.creds")));
    }

    #[test]
    fn the_home_is_where_the_xdg_specification_says() {
        let at = |variables: &[(&str, &str)]| {
            resolved(&Global::default(), variables, Config::default())
                .identity
                .value
        };
        assert_eq!(
            at(&[("HOME", "/u")]),
            Path::new("/u/.local/share/keyroll/identity.pem")
        );
        assert_eq!(
            at(&[("HOME", "/u"), ("XDG_DATA_HOME", "/d")]),
            Path::new("/d/keyroll/identity.pem")
        );
        assert_eq!(
            at(&[("HOME", "/u"), ("XDG_DATA_HOME", "d")]),
            Path::new("/u/.local/share/keyroll/identity.pem")
        );
        assert!(home(&Global::default(), &|_| None).is_err());
    }

    #[test]
    fn a_bad_workspace_is_named_with_its_origin() {
        let variables = [("HOME", "/u"), ("KEYROLL_WORKSPACE", "No Name")];
        let settings = resolved(&Global::default(), &variables, Config::default());
        let error = settings.workspace().expect_err("refused");
        assert_eq!(error.code(), "invalid_name");
        assert!(
            error.message().starts_with("KEYROLL_WORKSPACE: "),
            "{}",
            error.message()
        );
    }
}
