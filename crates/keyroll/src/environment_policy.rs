//! Variables that control other programs: what they load, run and trust, and where they look. A member who may
//! create secrets must not thereby choose what another member's `run` executes.
//!
//! Programs invent such variables every day, so no list is complete. Most of them have common endings or
//! beginnings, and `run` leaves out every name of such a pattern, known or not. The rest is a list. Both are a
//! defence in depth: only `--only` restricts the names to those that the caller chose.

/// Endings of names, after a program's own name: `TAR_OPTIONS`, `MAVEN_OPTS`, `PERLLIB`.
const ENDS: &[&str] = &[
    "ARGS",
    "ASKPASS",
    "AUTHORITY_HOST",
    "_BASE_URL",
    "BROWSER",
    "CACERT",
    "CAINFO",
    "CA_BUNDLE",
    "CFG",
    "CMD",
    "COMMAND",
    "COMMANDS",
    "COMPILER",
    "CONF",
    "CONFIG",
    "DAEMON",
    "DIFF",
    "DIR",
    "DIRS",
    "DISPLAY",
    "EDITOR",
    "ENDPOINT",
    "EXE",
    "EXEC",
    "EXECUTABLE",
    "FILE",
    "FILES",
    "FLAGS",
    "HELPER",
    "HISTORY",
    "HOME",
    "HOOK",
    "HOOKS",
    "INDEX_URL",
    "INIT",
    "INPUTS",
    "INTERPRETER",
    "LAUNCHER",
    "LIB",
    "LIBRARY",
    "LIBS",
    "LINKER",
    "LOADER",
    "METADATA_HOST",
    "METADATA_MAPPER",
    "MIRROR",
    "MODULE",
    "MODULES",
    "OPT",
    "OPTIONS",
    "OPTS",
    "PAGER",
    "PATH",
    "PATHS",
    "PLUGIN",
    "PLUGINS",
    "PRELOAD",
    "PROFILER",
    "PROFILING",
    "PROG",
    "PROGRAM",
    "PROVIDER",
    "PROVIDERS",
    "PROXY",
    "RC",
    "REQUIRE",
    "ROOT",
    "RSH",
    "RUNNER",
    "SHELL",
    "SOCK",
    "SOCKET",
    "STARTUP",
    "TERMINFO",
    "TOOLCHAIN",
    "UNIVERSE_DOMAIN",
    "WRAPPER",
    "_ADDR",
    "_BIN",
    "_CC",
    "_EXS",
    "_SOURCE",
    "_VERIFY",
    "_YAML",
];

/// Beginnings of names: nearly all variables that such a program reads control it.
const BEGINNINGS: &[&str] = &[
    "ANSIBLE_",
    "ASDF_",
    "AWS_CONTAINER_",
    "AWS_ENDPOINT_URL",
    "BASH_",
    "BAZELISK_",
    "BUILDKIT_",
    "BUNDLE_",
    "BUN_",
    "CARGO_",
    "CCACHE_",
    "CC_",
    "CGO_",
    "CLOUDSDK_",
    "CMAKE_",
    "COMPLUS_",
    "COMPOSE_",
    "CONDA_",
    "CONTAINERS_",
    "CORECLR_",
    "COREPACK_",
    "COVERAGE_",
    "CXX_",
    "DBUS_",
    "DEBCONF_",
    "DENO_",
    "DIRENV_",
    "DISTCC_",
    "DOTNET_",
    "DPKG_",
    "DYLD_",
    "ELECTRON_",
    "GIO_",
    "GIT_",
    "GLIBC_",
    "GST_",
    "GTK_",
    "HELM_",
    "JAVA_",
    "KEYROLL_",
    "KRB5",
    "KUBECTL_",
    "LC_",
    "LDAPTLS_",
    "LD_",
    "LESS",
    "LIBGL_",
    "LIBMYSQL_",
    "LUA_",
    "MAGICK_",
    "MALLOC_",
    "MEMUSAGE_",
    "MISE_",
    "NODE_",
    "NPM_CONFIG_",
    "OPAM",
    "OPENSSL_",
    "ORG_GRADLE_PROJECT_",
    "PERL",
    "PGGSS",
    "PGSSL",
    "PIP_",
    "PNPM_",
    "PSQL_",
    "PYENV_",
    "PYTHON",
    "QEMU_",
    "QT_",
    "RBENV_",
    "RCLONE_",
    "RESOLV_",
    "RSYNC_",
    "RUBY",
    "RUSTC",
    "RUSTDOC",
    "RUSTFMT",
    "RUSTUP_",
    "RUST_",
    "R_LIBS",
    "SCCACHE_",
    "SPRING_",
    "SYSTEMD_",
    "TERRAGRUNT_",
    "TEXMF",
    "TF_CLI_",
    "TG_",
    "UV_",
    "VIM",
    "VK_",
    "XDG_",
    "YARN_",
    "ZSH_",
];

/// Names with those beginnings that hold a credential and control nothing.
const CREDENTIALS: &[&str] = &[
    "CARGO_REGISTRY_TOKEN",
    "DENO_DEPLOY_TOKEN",
    "NODE_AUTH_TOKEN",
    "RSYNC_PASSWORD",
    "UV_PUBLISH_TOKEN",
];

/// Names that match no pattern, one per line.
const NAMES: &str = include_str!("environment_policy/names.txt");

/// Whether a variable of this name can control other programs. `run` gives a command secrets of such names only
/// if the caller names them.
pub(crate) fn controls_programs(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    if NAMES.lines().any(|line| line == name) || ENDS.iter().any(|end| name.ends_with(end)) {
        return true;
    }
    let begins = BEGINNINGS.iter().any(|begin| name.starts_with(begin));
    let registry = name.starts_with("CARGO_REGISTRIES_") && name.ends_with("_TOKEN");
    begins && !registry && !CREDENTIALS.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of a variable and the manual that describes it. Those after `# credentials` are read by the
    /// same tools, hold a credential, and decide nothing else.
    const MANUALS: &str = include_str!("environment_policy/manuals.tsv");

    fn described() -> (Vec<(&'static str, &'static str)>, Vec<&'static str>) {
        let (steering, credentials) = MANUALS.split_once("# credentials\n").expect("two parts");
        let line = |line: &'static str| line.split_once('\t').expect("a name and a manual");
        let lines =
            |part: &'static str| part.lines().filter(|line| !line.starts_with('#')).map(line);
        let names = lines(credentials).map(|(name, _)| name).collect();
        (lines(steering).collect(), names)
    }

    #[test]
    fn what_manuals_describe_steers_in_either_case() {
        let (steering, _) = described();
        let missed: Vec<_> = steering
            .iter()
            .filter(|(name, _)| {
                !controls_programs(name) || !controls_programs(&name.to_ascii_lowercase())
            })
            .collect();
        assert!(missed.is_empty(), "{missed:?}");
        let manuals: std::collections::BTreeSet<&str> =
            steering.iter().map(|(_, manual)| *manual).collect();
        assert!(manuals.len() >= 20, "{manuals:?}");
    }

    #[test]
    fn credentials_and_ordinary_names_do_not_steer() {
        let (_, credentials) = described();
        let ordinary = [
            "API_KEY",
            "BINARY",
            "GEMINI_API_KEY",
            "TF_VAR_db_password",
            "VAULT_TOKEN",
            "DOCKER_REGISTRY_PASSWORD",
            "AWS_SECRET_ACCESS_KEY",
            "USERNAME",
            "DATABASE_URL",
            "DB_PASSWORD",
            "ENVIRONMENT",
            "GOOGLE_API_KEY",
            "HOMEPAGE",
            "LDAP_PASSWORD",
            "MANDRILL_API_KEY",
            "OPENAI_API_KEY",
            "PATH_TOKEN",
            "PGP_KEY",
            "REDIS_URL",
            "SMTP_HOST",
            "SSH_PRIVATE_KEY",
            "STRIPE_KEY",
            "TLS_CERT",
            "WEBHOOK_SECRET",
        ];
        for name in credentials.into_iter().chain(ordinary) {
            assert!(!controls_programs(name), "{name}");
        }
    }

    /// Unknown names, by their patterns.
    #[test]
    fn shapes_need_no_list() {
        for name in [
            "NEWTOOL_OPTIONS",
            "newtool_opts",
            "NewToolFlags",
            "NEWTOOLOPT",
            "newtool_proxy",
            "NEWTOOLLIB",
            "NEWTOOL_PATH",
            "NEWTOOLHOME",
            "NEWTOOLRC",
            "NEWTOOL_CONFIG",
            "NEWTOOL_COMMAND",
            "NEWTOOL_WRAPPER",
            "NEWTOOL_HOOKS",
            "NEWTOOL_INIT",
            "LD_NEW",
            "git_new",
            "KEYROLL_NEW",
            "npm_config_new",
            "PYTHONNEW",
        ] {
            assert!(controls_programs(name), "{name}");
        }
    }
}
