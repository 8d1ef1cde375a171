//! What can be wrong with a configuration, each with what the reader does next.

use std::path::PathBuf;

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("{} cannot be read", path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The text is not TOML, or holds something that does not belong there.
    #[error("line {line}, column {column}: {text}")]
    Toml {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong.
        text: String,
    },
    /// Settings are missing or contradict each other.
    #[error("{}", .0.join("\n"))]
    Wrong(Vec<String>),
    /// An environment variable that holds a secret is not set.
    #[error("the environment variable {0} is not set or empty: set it, or name the secret's file")]
    NoVariable(String),
    /// A secret is there and says nothing; where it stands.
    #[error("{0} is empty: write the secret there, or remove its entry")]
    EmptySecret(String),
}

impl Error {
    /// Adds the place and, for an unknown key, the nearest known one.
    pub(super) fn from_toml(error: &toml::de::Error, text: &str) -> Self {
        let offset = error.span().map_or(0, |span| span.start).min(text.len());
        let before = &text[..offset];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
        let message = error.message();
        let text = nearest_key(message).unwrap_or_else(|| message.to_owned());
        Self::Toml { line, column, text }
    }
}

/// The nearest known key to the unknown one that serde names: "unknown field `x`, expected one of `a`, `b`".
fn nearest_key(message: &str) -> Option<String> {
    let rest =
        message.strip_prefix("unknown field `").or_else(|| message.strip_prefix("unknown variant `"))?;
    let (unknown, expected) = rest.split_once('`')?;
    let known = expected.split('`').skip(1).step_by(2);
    let nearest = known.max_by(|one, other| {
        strsim::jaro_winkler(unknown, one).total_cmp(&strsim::jaro_winkler(unknown, other))
    })?;
    Some(format!("`{unknown}` is not known here; did you mean `{nearest}`?"))
}
