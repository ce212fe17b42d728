//! Variables by which programs and shells are steered: what they load, run and where they look.
//! Whoever may name a secret must not thereby choose what somebody else's `run` executes.

const NAMES: [&str; 40] = [
    "BASHOPTS",
    "BASH_ENV",
    "CDPATH",
    "CLASSPATH",
    "EDITOR",
    "ENV",
    "GCONV_PATH",
    "GEM_HOME",
    "GEM_PATH",
    "GETCONF_DIR",
    "GLIBC_TUNABLES",
    "HOME",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "JDK_JAVA_OPTIONS",
    "LESSOPEN",
    "LOCPATH",
    "MALLOC_TRACE",
    "NIS_PATH",
    "NLSPATH",
    "NODE_OPTIONS",
    "NODE_PATH",
    "PAGER",
    "PATH",
    "PERL5DB",
    "PERL5LIB",
    "PERL5OPT",
    "PHPRC",
    "PROMPT_COMMAND",
    "PS4",
    "RESOLV_HOST_CONF",
    "RUBYLIB",
    "RUBYOPT",
    "SHELL",
    "SHELLOPTS",
    "TMPDIR",
    "TZDIR",
    "VISUAL",
    "XDG_CONFIG_HOME",
    "ZDOTDIR",
];
/// Of these, every variable.
const PREFIXES: [&str; 6] = ["DYLD_", "GIT_", "KEYROLL_", "LD_", "NPM_CONFIG_", "PYTHON"];

/// Whether a variable of this name steers programs. Secrets of these names are given to a command
/// only when somebody asks for them by name.
pub(crate) fn steers(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    NAMES.contains(&name.as_str()) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_programs_is_known_in_any_case() {
        for name in [
            "PATH",
            "LD_PRELOAD",
            "ld_audit",
            "PYTHONSTARTUP",
            "GIT_SSH_COMMAND",
            "KEYROLL_HOME",
            "npm_config_registry",
            "BASH_ENV",
        ] {
            assert!(steers(name), "{name}");
        }
        for name in [
            "API_KEY",
            "PATH_TOKEN",
            "HOMEPAGE",
            "LDAP_PASSWORD",
            "ENVIRONMENT",
        ] {
            assert!(!steers(name), "{name}");
        }
    }
}
