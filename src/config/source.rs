//! Where secrets and files come from: the one place that reads the environment.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Error;
use crate::domain::Secret;

/// A secret, or where to find it: `"text"`, `{ env = "NAME" }`, `{ file = "PATH" }`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a secret is a text, { env = \"NAME\" } or { file = \"PATH\" }")]
pub enum SecretSource {
    /// The secret itself.
    Text(String),
    /// The name of an environment variable.
    Env {
        /// The name.
        env: String,
    },
    /// A file; white space at its ends is no part of the secret.
    File {
        /// The path.
        file: PathBuf,
    },
}

impl std::fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Text(_) => f.write_str("Text(…)"),
            Self::Env { env } => write!(f, "Env({env})"),
            Self::File { file } => write!(f, "File({})", file.display()),
        }
    }
}

impl SecretSource {
    /// The secret. An empty one is refused: anybody can sign with it.
    pub fn resolve(&self) -> Result<Secret, Error> {
        let text = match self {
            Self::Text(text) => text.clone(),
            Self::Env { env } => variable(env).ok_or_else(|| Error::NoVariable(env.clone()))?,
            Self::File { file } => {
                let text = read_file(file).map_err(|source| Error::File { path: file.clone(), source })?;
                text.trim().to_owned()
            }
        };
        if text.trim().is_empty() { Err(Error::EmptySecret(self.place())) } else { Ok(Secret::new(text)) }
    }

    /// Where it stands, for people.
    fn place(&self) -> String {
        match self {
            Self::Text(_) => "a secret that stands in the configuration itself".to_owned(),
            Self::Env { env } => format!("the secret in the environment variable {env}"),
            Self::File { file } => format!("the secret in the file {}", file.display()),
        }
    }
}

/// An environment variable; `None` where it is not set or empty.
pub fn variable(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A file's text.
pub fn read_file(path: &Path) -> std::io::Result<String> {
    std::fs::read_to_string(path)
}
