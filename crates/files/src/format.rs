//! The formats of files.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

/// A format of files of secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Lines of `NAME=value`.
    Dotenv,
    /// One object of names and values.
    Json,
    /// One mapping of names and values.
    Yaml,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Dotenv, Self::Json, Self::Yaml];

    /// The format's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dotenv => "dotenv",
            Self::Json => "json",
            Self::Yaml => "yaml",
        }
    }

    /// The format by a file's name: `.json`, `.yaml`, `.yml`, `.env`, `.env.production`.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        match extension {
            Some("json") => Some(Self::Json),
            Some("yaml" | "yml") => Some(Self::Yaml),
            Some("env" | "dotenv") => Some(Self::Dotenv),
            _ if name.starts_with(".env.") => Some(Self::Dotenv),
            _ => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = Self::ALL.into_iter().find(|format| format.as_str() == text);
        known.ok_or("the formats are dotenv, json and yaml")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_files_name_says_its_format() {
        for (name, format) in [
            ("a/secrets.json", Some(Format::Json)),
            ("secrets.YML", Some(Format::Yaml)),
            ("secrets.yaml", Some(Format::Yaml)),
            (".env", Some(Format::Dotenv)),
            ("prod.env", Some(Format::Dotenv)),
            (".env.production", Some(Format::Dotenv)),
            ("secrets", None),
            ("secrets.txt", None),
            ("env", None),
        ] {
            assert_eq!(Format::of(Path::new(name)), format, "{name}");
        }
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert!("toml".parse::<Format>().is_err());
    }
}
