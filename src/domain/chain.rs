//! Printing an error together with its causes.
//!
//! Our errors keep their source out of `Display`, so that no cause is printed twice; whoever logs one prints the chain.

use std::error::Error;
use std::fmt;

/// Displays an error followed by its causes, separated by `: `. Log errors as `error = %Chain(&err)`.
pub struct Chain<'a>(pub &'a dyn Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the outer part")]
    struct Outer(#[source] std::fmt::Error);

    #[test]
    fn causes_follow_the_error() {
        let text = Chain(&Outer(std::fmt::Error)).to_string();
        assert_eq!(text, format!("the outer part: {}", std::fmt::Error));
    }
}
