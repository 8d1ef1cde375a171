//! SOQL texts. Both the backslash and the quote are escaped; a library that escapes the quote alone can be made to say anything.

/// The most values in one `IN` list; with addresses of ordinary length a query stays far below SOQL's 100,000 characters.
pub(super) const LIST_MAX: usize = 400;

/// A text as a SOQL literal.
pub(super) fn literal(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for character in text.chars() {
        match character {
            '\\' => quoted.push_str("\\\\"),
            '\'' => quoted.push_str("\\'"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            other => quoted.push(other),
        }
    }
    quoted.push('\'');
    quoted
}

/// `Field IN ('a','b')`.
pub(super) fn is_in(field: &str, values: &[String]) -> String {
    let literals: Vec<String> = values.iter().map(|value| literal(value)).collect();
    format!("{field} IN ({})", literals.join(","))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_and_backslashes_are_escaped() {
        assert_eq!(literal(r"O'Neil\"), r"'O\'Neil\\'");
        assert_eq!(is_in("Email", &["a@b".to_owned(), "c'd".to_owned()]), r"Email IN ('a@b','c\'d')");
    }

    /// Reads a literal as Salesforce does.
    fn read(literal: &str) -> Option<String> {
        let inner = literal.strip_prefix('\'')?.strip_suffix('\'')?;
        let mut text = String::new();
        let mut characters = inner.chars();
        while let Some(character) = characters.next() {
            match character {
                '\'' => return None,
                '\\' => text.push(match characters.next()? {
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    quoted @ ('\\' | '\'') => quoted,
                    _ => return None,
                }),
                other => text.push(other),
            }
        }
        Some(text)
    }

    proptest! {
        #[test]
        fn every_text_comes_back_as_it_was(text in "\\PC{0,30}|[\\\\'\\n\\r\\t]{0,10}") {
            prop_assert_eq!(read(&literal(&text)), Some(text));
        }
    }
}
