//! Record ids of both CRMs, valid by construction.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A text that is no record id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// HubSpot ids are positive whole numbers.
    #[error("a HubSpot id is a positive whole number")]
    Hubspot,
    /// Salesforce ids have 15 or 18 letters and digits.
    #[error("a Salesforce id has 15 or 18 letters and digits, and the last three of 18 must fit the others")]
    Salesforce,
}

/// A HubSpot record id. Unique only within its object type; larger than 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HubspotId(u64);

impl HubspotId {
    /// From the number webhooks carry.
    pub const fn new(id: u64) -> Self {
        Self(id)
    }

    /// From the text the objects API carries.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let digits_only = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<u64>() {
            Ok(id) if digits_only && id > 0 => Ok(Self(id)),
            _ => Err(InvalidId::Hubspot),
        }
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for HubspotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A Salesforce record id in its 18-character form. Invariant: ASCII, and the last three characters fit the first fifteen.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SalesforceId([u8; 18]);

/// The alphabet of the three characters that tell which of the first fifteen are upper case.
const SUFFIX_ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ012345";

impl SalesforceId {
    /// Accepts the case-sensitive 15-character form and the 18-character form, whose case may have been folded on the way.
    pub fn parse(text: &str) -> Result<Self, InvalidId> {
        let bytes = text.as_bytes();
        if !bytes.iter().all(u8::is_ascii_alphanumeric) {
            return Err(InvalidId::Salesforce);
        }
        match bytes.len() {
            15 => {
                let mut id = [0; 18];
                id[..15].copy_from_slice(bytes);
                let suffix = suffix_of(&id);
                id[15..].copy_from_slice(&suffix);
                Ok(Self(id))
            }
            18 => Self::parse_18(bytes),
            _ => Err(InvalidId::Salesforce),
        }
    }

    /// Reads an organization's id, which both Salesforce and its customers compare on the first 15 characters, whatever three
    /// follow them.
    pub fn parse_organization(text: &str) -> Result<Self, InvalidId> {
        match text.len() {
            15 | 18 if text.is_ascii() => Self::parse(&text[..15]),
            _ => Err(InvalidId::Salesforce),
        }
    }

    fn parse_18(bytes: &[u8]) -> Result<Self, InvalidId> {
        let mut id = [0; 18];
        id.copy_from_slice(bytes);
        for part in 0..3 {
            let letter = id[15 + part].to_ascii_uppercase();
            let bits =
                SUFFIX_ALPHABET.iter().position(|byte| *byte == letter).ok_or(InvalidId::Salesforce)?;
            id[15 + part] = letter;
            for place in 0..5 {
                let byte = &mut id[part * 5 + place];
                let upper = bits & (1 << place) != 0;
                if upper && !byte.is_ascii_alphabetic() {
                    return Err(InvalidId::Salesforce);
                }
                *byte = if upper { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
            }
        }
        // A correctly cased id must come back unchanged; one whose case was folded (all upper or all lower) is restored.
        let folded = bytes == bytes.to_ascii_lowercase() || bytes == bytes.to_ascii_uppercase();
        if id == bytes || folded { Ok(Self(id)) } else { Err(InvalidId::Salesforce) }
    }

    /// The 18 characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The first 15 characters, the form in which organization ids are compared.
    pub fn short(&self) -> &str {
        &self.as_str()[..15]
    }

    /// The three characters that name the object: `003` for Contact, `00Q` for Lead.
    pub fn prefix(&self) -> &str {
        &self.as_str()[..3]
    }
}

fn suffix_of(id: &[u8; 18]) -> [u8; 3] {
    let mut suffix = [0; 3];
    for (part, letter) in suffix.iter_mut().enumerate() {
        let upper = |place: &usize| id[part * 5 + place].is_ascii_uppercase();
        let bits: usize = (0..5).filter(upper).map(|place| 1 << place).sum();
        *letter = SUFFIX_ALPHABET[bits];
    }
    suffix
}

impl fmt::Display for SalesforceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SalesforceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SalesforceId({})", self.as_str())
    }
}

impl Serialize for SalesforceId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for SalesforceId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pairs seen in real messages (salesforce wire contract, section 9).
    const PAIRS: [(&str, &str); 8] = [
        ("0031I0000081tbP", "0031I0000081tbPQAQ"),
        ("00De0000000pmu1", "00De0000000pmu1EAA"),
        ("00Q4S000002sSac", "00Q4S000002sSacUAE"),
        ("001ak00000OQTie", "001ak00000OQTieAAH"),
        ("00DdM00000vfgTu", "00DdM00000vfgTuUAI"),
        ("005dM00000awSFJ", "005dM00000awSFJQA2"),
        ("04k1I000000bmsH", "04k1I000000bmsHQAQ"),
        ("04l1I000000fztE", "04l1I000000fztEQAQ"),
    ];

    #[test]
    fn fifteen_characters_become_eighteen() {
        for (short, long) in PAIRS {
            assert_eq!(SalesforceId::parse(short).unwrap().as_str(), long);
            assert_eq!(SalesforceId::parse(long).unwrap().short(), short);
        }
    }

    #[test]
    fn folded_case_is_restored() {
        for (_, long) in PAIRS {
            assert_eq!(SalesforceId::parse(&long.to_lowercase()).unwrap().as_str(), long);
            assert_eq!(SalesforceId::parse(&long.to_uppercase()).unwrap().as_str(), long);
        }
    }

    #[test]
    fn an_organization_counts_by_fifteen_characters() {
        let expected = SalesforceId::parse("00D000000000001").unwrap();
        for text in ["00D000000000001", "00D000000000001EAA", "00D000000000001AAA"] {
            assert_eq!(SalesforceId::parse_organization(text), Ok(expected), "{text}");
        }
        assert!(SalesforceId::parse_organization("00D00000000000é").is_err());
    }

    #[test]
    fn what_is_no_id_is_refused() {
        for text in
            ["", "003", "0031I0000081tbPQA!", "0031I0000081tbPAAA", "0031I0000081tbPQAQ0", "0031I0000081tb é"]
        {
            assert_eq!(SalesforceId::parse(text), Err(InvalidId::Salesforce), "{text}");
        }
        for text in ["", "0", "-1", "+1", "1.0", "x", "99999999999999999999999"] {
            assert_eq!(HubspotId::parse(text), Err(InvalidId::Hubspot), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_fifteen_characters_survive_the_round_trip(short in "[a-zA-Z0-9]{15}") {
            let id = SalesforceId::parse(&short).unwrap();
            prop_assert_eq!(SalesforceId::parse(id.as_str()), Ok(id));
            prop_assert_eq!(id.short(), short);
        }
    }
}
