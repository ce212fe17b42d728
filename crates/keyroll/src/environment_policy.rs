//! Variables that can steer a program: what it loads, runs, trusts, and where it looks. Whoever may
//! create secrets must not thereby choose what somebody else's `run` executes.
//!
//! Programs invent such variables every day, so no list is complete. Most of them end alike, and those
//! are left out by that shape, known or not. The rest is a list. Both are a defence in depth: the wall is
//! `--only`, with which the names are those that the caller chose.

/// Ends of names. A program's own name stands before them: `TAR_OPTIONS`, `MAVEN_OPTS`, `PERLLIB`.
const ENDS: [&str; 56] = [
    "ARGS", "ASKPASS", "BROWSER", "CAINFO", "CFG", "CMD", "COMMAND", "CONF", "CONFDIR", "CONFIG",
    "DAEMON", "DIFF", "DIR", "DIRS", "DISPLAY", "EDITOR", "EXE", "EXEC", "FILE", "FILES", "FLAGS",
    "HELPER", "HISTORY", "HOME", "HOOK", "HOOKS", "INIT", "LIB", "LIBS", "LINKER", "LOADPATH",
    "MODULES", "OPT", "OPTIONS", "OPTS", "PAGER", "PATH", "PATHS", "PLUGIN", "PLUGINS", "PRELOAD",
    "PROG", "PROGRAM", "PROVIDER", "PROXY", "RC", "REQUIRE", "ROOT", "RSH", "RUNNER", "SHELL",
    "SOCK", "SOCKET", "STARTUP", "TERMINFO", "WRAPPER",
];

/// Beginnings of names: all or nearly all that such a program reads steers it.
const BEGINNINGS: [&str; 40] = [
    "BASH_",
    "CARGO_",
    "CGO_",
    "COMPOSE_",
    "COREPACK_",
    "DBUS_",
    "DYLD_",
    "GIT_",
    "GLIBC_",
    "GTK_",
    "HELM_",
    "JAVA_",
    "KEYROLL_",
    "KUBECTL_",
    "LC_",
    "LD_",
    "LESS",
    "LIBMYSQL_",
    "MALLOC_",
    "MEMUSAGE_",
    "NODE_",
    "NPM_CONFIG_",
    "OPENSSL_",
    "ORG_GRADLE_PROJECT_",
    "PERL",
    "PIP_",
    "PSQL_",
    "PYTHON",
    "QT_",
    "RSYNC_",
    "RUBY",
    "RUSTC",
    "RUSTDOC",
    "RUSTUP_",
    "SYSTEMD_",
    "UV_",
    "VIM",
    "XDG_",
    "YARN_",
    "ZSH_",
];

/// Under those beginnings, what holds a credential and steers nothing.
const CREDENTIALS: [&str; 4] = [
    "CARGO_REGISTRY_TOKEN",
    "NODE_AUTH_TOKEN",
    "RSYNC_PASSWORD",
    "UV_PUBLISH_TOKEN",
];

/// What fits no shape.
const NAMES: &[&str] = &[
    // Shells and terminals.
    "AUTO_RESUME",
    "CHILD_MAX",
    "COLUMNS",
    "EMACS",
    "ENV",
    "EXECIGNORE",
    "FCEDIT",
    "FIGNORE",
    "GLOBIGNORE",
    "HISTCHARS",
    "HISTCONTROL",
    "HISTIGNORE",
    "HISTTIMEFORMAT",
    "IFS",
    "INSIDE_EMACS",
    "KEYBOARD_HACK",
    "LINES",
    "MAIL",
    "MAILCHECK",
    "OLDPWD",
    "OPTIND",
    "POSIXLY_CORRECT",
    "PROMPT",
    "PROMPT2",
    "PROMPT3",
    "PROMPT4",
    "PS0",
    "PS1",
    "PS2",
    "PS3",
    "PS4",
    "PWD",
    "RPROMPT",
    "RPS1",
    "SPROMPT",
    "STTY",
    "TERM",
    "TERMCAP",
    "TIMEFMT",
    "TIMEFORMAT",
    "TMOUT",
    "VISUAL",
    // The C library, its resolver and time zones, and the dynamic linker's kin.
    "ARGP_HELP_FMT",
    "HOSTALIASES",
    "LANG",
    "LANGUAGE",
    "LOCALDOMAIN",
    "OUTPUT_CHARSET",
    "TEXTDOMAIN",
    "TMP",
    "TEMP",
    "TZ",
    // Compilers, linkers and make.
    "AR",
    "AS",
    "CC",
    "CO",
    "COMPILER",
    "CPP",
    "CTANGLE",
    "CWEAVE",
    "CXX",
    "DEPENDENCIES_OUTPUT",
    "FC",
    "GCC_COMPARE_DEBUG",
    "GCC_EXEC_PREFIX",
    "GET",
    "GNUTARGET",
    "LD",
    "LDEMULATION",
    "LEX",
    "LINT",
    "M2C",
    "MAKE",
    "MAKEINFO",
    "MAKEOVERRIDES",
    "NM",
    "OBJC",
    "OBJCOPY",
    "PC",
    "RM",
    "SOURCE_DATE_EPOCH",
    "STRIP",
    "SUNPRO_DEPENDENCIES",
    "TANGLE",
    "TEX",
    "TEXI2DVI",
    "WEAVE",
    "YACC",
    // Languages and their packages.
    "BUNDLER_VERSION",
    "DEBUGINFOD_URLS",
    "GEM_SPEC_CACHE",
    "GO111MODULE",
    "GOARCH",
    "GOAUTH",
    "GOBIN",
    "GOCACHE",
    "GODEBUG",
    "GOENV",
    "GOEXPERIMENT",
    "GOFIPS140",
    "GOINSECURE",
    "GOMODCACHE",
    "GONOSUMDB",
    "GOOS",
    "GOPACKAGESDRIVER",
    "GOPRIVATE",
    "GOSUMDB",
    "GOTOOLCHAIN",
    "GOVCS",
    "GOWORK",
    "MVNW_REPOURL", // Transfers and archives.
    "BZIP",
    "BZIP2",
    "GZIP",
    "TAPE",
    "XZ_DEFAULTS",
    "ZSTD_CLEVEL",
    // Whom TLS trusts.
    "CURL_CA_BUNDLE",
    "CURL_SSL_BACKEND",
    "REQUESTS_CA_BUNDLE",
    "AWS_CA_BUNDLE",
    // Containers and clusters: where they are, and as whom.
    "BUILDX_BUILDER",
    "CONTAINER_HOST",
    "DOCKER_API_VERSION",
    "DOCKER_CONTENT_TRUST",
    "DOCKER_CONTENT_TRUST_SERVER",
    "DOCKER_CONTEXT",
    "DOCKER_DEFAULT_PLATFORM",
    "DOCKER_HOST",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
    "KUBERNETES_MASTER",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
    // Databases: where they are, and how they are trusted.
    "MYSQL_GROUP_SUFFIX",
    "MYSQL_HOST",
    "MYSQL_PS1",
    "MYSQL_TCP_PORT",
    "MYSQL_UNIX_PORT",
    "MYSQLX_TCP_PORT",
    "PGCHANNELBINDING",
    "PGGSSENCMODE",
    "PGHOST",
    "PGHOSTADDR",
    "PGKRBSRVNAME",
    "PGPORT",
    "PGREQUIREAUTH",
    "PGREQUIREPEER",
    "PGREQUIRESSL",
    "PGSERVICE",
    "PGSSLCERT",
    "PGSSLCRL",
    "PGSSLKEY",
    "PGSSLMODE",
    "PGSSLNEGOTIATION",
    "PGSSLROOTCERT",
    "PGTARGETSESSIONATTRS",
    // Manuals, services and desktops.
    "CREDENTIALS_DIRECTORY",
    "GROFF_TYPESETTER",
    "JOURNAL_STREAM",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "MANLESS",
    "MANROFFSEQ",
    "MANSECT",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "XAUTHORITY",
];

/// Whether a variable of this name can steer a program. Secrets of these names are given to a command
/// only when somebody asks for them by name.
pub(crate) fn steers(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    if NAMES.contains(&name.as_str()) || ENDS.iter().any(|end| name.ends_with(end)) {
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
            .filter(|(name, _)| !steers(name) || !steers(&name.to_ascii_lowercase()))
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
            assert!(!steers(name), "{name}");
        }
    }

    /// What nobody has heard of yet, by its shape.
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
            assert!(steers(name), "{name}");
        }
    }
}
