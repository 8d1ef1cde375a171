//! Who owns records: HubSpot's owners and Salesforce's users, matched by name and address.
//!
//! An owner is compared as a Salesforce user: HubSpot's owner is looked up among the users first. One that has no user keeps its own
//! id, marked as HubSpot's, so that a change of it is still seen.

use std::collections::HashMap;

/// Somebody who may own records, as a CRM knows them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// HubSpot's owner id, or Salesforce's user or queue id.
    pub id: String,
    /// The address; empty for a queue.
    pub email: String,
    /// First and last name.
    pub name: String,
    /// Whether records can be given to them.
    pub active: bool,
}

/// The owners of both sides.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Owners {
    users: HashMap<String, Match>,
    owners: HashMap<String, Match>,
}

/// One owner and who it is on the other side.
#[derive(Clone, Debug, PartialEq)]
struct Match {
    active: bool,
    twin: Option<String>,
}

impl Owners {
    /// Matches two directories. Of several users with one name and address an active one goes first.
    pub fn matched(hubspot: &[Owner], salesforce: &[Owner]) -> Self {
        let mut users: Vec<&Owner> = salesforce.iter().collect();
        users.sort_by_key(|user| !user.active);
        let mut owners: Vec<&Owner> = hubspot.iter().collect();
        owners.sort_by_key(|owner| !owner.active);
        let (known_users, known_owners) = (by_identity(&users), by_identity(&owners));
        let of = |one: &Owner, among: &HashMap<Identity, String>| {
            let twin = identity(one).and_then(|identity| among.get(&identity).cloned());
            (one.id.clone(), Match { active: one.active, twin })
        };
        Self {
            users: salesforce.iter().map(|user| of(user, &known_owners)).collect(),
            owners: hubspot.iter().map(|owner| of(owner, &known_users)).collect(),
        }
    }

    /// Whether an owner of either side is in the directory.
    pub fn knows(&self, id: &str) -> bool {
        self.users.contains_key(id) || self.owners.contains_key(id)
    }

    /// The Salesforce user that a HubSpot owner is.
    pub fn user_of(&self, owner: &str) -> Option<&str> {
        self.owners.get(owner)?.twin.as_deref()
    }

    /// The HubSpot owner that a Salesforce user is, whether the user is active or not; the owner must be.
    pub fn owner_of(&self, user: &str) -> Option<&str> {
        let owner = self.users.get(user)?.twin.as_deref()?;
        self.owners.get(owner).is_some_and(|owner| owner.active).then_some(owner)
    }

    /// Whether records can be given to a Salesforce user.
    pub fn is_active_user(&self, user: &str) -> bool {
        self.users.get(user).is_some_and(|user| user.active)
    }
}

/// Name and address, folded.
type Identity = (String, String);

/// The first of each name and address.
fn by_identity(owners: &[&Owner]) -> HashMap<Identity, String> {
    let mut known = HashMap::new();
    for owner in owners {
        if let Some(identity) = identity(owner) {
            known.entry(identity).or_insert_with(|| owner.id.clone());
        }
    }
    known
}

/// `None` for somebody who lacks a name or an address.
fn identity(owner: &Owner) -> Option<Identity> {
    let fold = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    let (name, email) = (fold(&owner.name), fold(&owner.email));
    (!name.is_empty() && !email.is_empty()).then_some((name, email))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(id: &str, email: &str, name: &str, active: bool) -> Owner {
        Owner { id: id.to_owned(), email: email.to_owned(), name: name.to_owned(), active }
    }

    #[test]
    fn r_173_name_and_address_must_both_match() {
        let hubspot =
            [owner("1", "Ann@Example.com", "Ann Lee", true), owner("2", "bob@example.com", "Bob Ray", true)];
        let salesforce = [
            owner("005A", "ann@example.com", "Ann  Lee", true),
            owner("005B", "bob@example.com", "Robert Ray", true),
        ];
        let owners = Owners::matched(&hubspot, &salesforce);
        assert_eq!((owners.user_of("1"), owners.owner_of("005A")), (Some("005A"), Some("1")));
        assert_eq!((owners.user_of("2"), owners.owner_of("005B")), (None, None));
    }

    #[test]
    fn an_active_user_goes_before_an_inactive_one_of_the_same_name_and_address() {
        let hubspot = [owner("1", "ann@example.com", "Ann Lee", true)];
        let salesforce = [
            owner("005A", "ann@example.com", "Ann Lee", false),
            owner("005B", "ann@example.com", "Ann Lee", true),
        ];
        let owners = Owners::matched(&hubspot, &salesforce);
        assert_eq!(owners.user_of("1"), Some("005B"));
        assert_eq!(owners.owner_of("005A"), Some("1"), "R-172: any Salesforce owner can sync to HubSpot");
        assert!(!owners.is_active_user("005A") && owners.is_active_user("005B"));
    }

    #[test]
    fn a_queue_has_no_address_and_matches_nobody() {
        let owners =
            Owners::matched(&[owner("1", "", "Inbound", true)], &[owner("00G1", "", "Inbound", true)]);
        assert!(owners.owner_of("00G1").is_none() && owners.knows("00G1"));
    }
}
