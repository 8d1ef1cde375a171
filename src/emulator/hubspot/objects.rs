//! The objects of a portal.

/// An object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Object {
    Contact,
    Company,
    Deal,
}

impl Object {
    pub(super) const ALL: [Self; 3] = [Self::Contact, Self::Company, Self::Deal];

    /// As events name it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Contact => "contact",
            Self::Company => "company",
            Self::Deal => "deal",
        }
    }

    /// As paths name it.
    pub(super) const fn plural(self) -> &'static str {
        match self {
            Self::Contact => "contacts",
            Self::Company => "companies",
            Self::Deal => "deals",
        }
    }

    /// As definitions name it.
    pub(super) const fn type_id(self) -> &'static str {
        match self {
            Self::Contact => "0-1",
            Self::Company => "0-2",
            Self::Deal => "0-3",
        }
    }

    /// Reads any of the three.
    pub(super) fn parse(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|object| [object.name(), object.plural(), object.type_id()].contains(&text))
    }

    /// A new record needs one of these.
    pub(super) const fn required(self) -> &'static [&'static str] {
        match self {
            Self::Contact => &["email", "firstname", "lastname"],
            Self::Company => &["name", "domain"],
            Self::Deal => &["dealname"],
        }
    }

    /// The property that holds when a record was last modified.
    pub(super) const fn modified_property(self) -> &'static str {
        match self {
            Self::Contact => "lastmodifieddate",
            Self::Company | Self::Deal => "hs_lastmodifieddate",
        }
    }

    /// The first id; larger than 32 bits, as real ones are.
    pub(super) const fn first_id(self) -> u64 {
        match self {
            Self::Contact => 734_931_000_000,
            Self::Company => 29_022_000_000,
            Self::Deal => 493_593_000_000,
        }
    }
}
