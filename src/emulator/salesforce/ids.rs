//! Making ids whose last three characters fit.

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

/// The `n`th id with a prefix, in its 18-character form.
pub(super) fn make(prefix: &str, n: u64) -> String {
    extend(&format!("{prefix}{n:012}"))
}

/// The 18-character form of a 15-character id.
pub(super) fn extend(short: &str) -> String {
    let mut id = short.to_owned();
    for part in short.as_bytes().chunks(5) {
        let upper = part.iter().enumerate().filter(|(_, byte)| byte.is_ascii_uppercase());
        let bits: usize = upper.map(|(place, _)| 1 << place).sum();
        id.push(char::from(ALPHABET[bits % 32]));
    }
    id
}

/// The 18-character form of what a caller sent; `None` where it is no id.
pub(super) fn normal(id: &str) -> Option<String> {
    let valid = id.bytes().all(|byte| byte.is_ascii_alphanumeric()) && matches!(id.len(), 15 | 18);
    valid.then(|| if id.len() == 15 { extend(id) } else { id.to_owned() })
}
