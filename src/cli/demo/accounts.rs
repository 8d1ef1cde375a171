//! The later steps: a company, a deal won, an owner who changes.

use crate::cli::demo::{Demo, Outcome};
use crate::cli::emulate::Emulated;
use crate::cli::say;

/// The owner who takes over, in HubSpot.
const OWNER: u64 = 4_711;

/// Mary works in both CRMs. She is there before the service starts, which learns then who owns records.
pub(super) fn add_owner(emulated: &Emulated) {
    emulated.salesforce.add_user("mary@example.com", "Mary", "Somerville", true);
    emulated.hubspot.add_owner(OWNER, "mary@example.com", "Mary", "Somerville");
}

impl Demo {
    fn grace(&self) -> Option<u64> {
        let hubspot = &self.emulated.hubspot;
        let is_grace = |id: &u64| hubspot.property(*id, "email").as_deref() == Some("grace@example.com");
        hubspot.ids().into_iter().find(is_grace)
    }

    fn record_of_grace(&self) -> Option<String> {
        self.emulated.hubspot.property(self.grace()?, "hubforce_salesforce_contact_id")
    }

    pub(super) async fn company(&self, outcomes: &mut Vec<Outcome>) -> String {
        say(
            "8. Grace gets an account in Salesforce. It becomes a company in HubSpot, and she belongs to it.",
        );
        let before = self.calls();
        let (hubspot, salesforce) = (&self.emulated.hubspot, &self.emulated.salesforce);
        let fields = [("Name", "Navy"), ("BillingCity", "Arlington")];
        let account = salesforce.create("Account", &fields).unwrap_or_default();
        let record = self.record_of_grace().unwrap_or_default();
        let moved = salesforce.update("Contact", &record, &[("AccountId", &account)]).is_ok();
        let company = || {
            let is_it = |id: &u64| {
                hubspot.property_in("companies", *id, "hubforce_salesforce_account_id").as_ref()
                    == Some(&account)
            };
            hubspot.ids_in("companies").into_iter().find(is_it)
        };
        let passed = Self::until(|| {
            company().is_some_and(|company| {
                let of_grace = self.grace().map(|grace| hubspot.associated(("contacts", grace), "companies"));
                hubspot.property_in("companies", company, "city").as_deref() == Some("Arlington")
                    && of_grace == Some(vec![company])
            })
        });
        let passed = passed.await && moved;
        self.conclude("an account becomes a company with its contact", passed, before, outcomes);
        account
    }

    pub(super) async fn deal_won(&self, account: &str, outcomes: &mut Vec<Outcome>) {
        say("9. An opportunity with Grace is won. Its deal is won in HubSpot, and Grace is a customer.");
        let before = self.calls();
        let (hubspot, salesforce) = (&self.emulated.hubspot, &self.emulated.salesforce);
        let fields = [
            ("Name", "Compiler"),
            ("StageName", "Closed Won"),
            ("CloseDate", "2026-12-31"),
            ("Amount", "1952"),
            ("AccountId", account),
        ];
        let opportunity = salesforce.create("Opportunity", &fields).unwrap_or_default();
        // The role comes after the opportunity and tells nobody of itself: the next edit does.
        let role = salesforce.add_contact_role(&opportunity, &self.record_of_grace().unwrap_or_default());
        let edited = salesforce.update("Opportunity", &opportunity, &[("NextStep", "Deliver")]).is_ok();
        let passed = Self::until(|| {
            hubspot.ids_in("deals").first().is_some_and(|deal| {
                let property = |name: &str| hubspot.property_in("deals", *deal, name);
                property("dealstage").as_deref() == Some("closedwon")
                    && property("amount").as_deref() == Some("1952")
                    && self.grace().is_some_and(|grace| {
                        hubspot.associated(("deals", *deal), "contacts") == [grace]
                            && hubspot.property(grace, "lifecyclestage").as_deref() == Some("customer")
                    })
            })
        });
        let passed = passed.await && role.is_ok() && edited;
        self.conclude("a deal is won and its contact becomes a customer", passed, before, outcomes);
    }

    pub(super) async fn owner(&self, contact: u64, lead: &str, outcomes: &mut Vec<Outcome>) {
        say("10. Mary takes Ada over in Salesforce. She is Ada's owner in HubSpot, too.");
        let before = self.calls();
        let (hubspot, salesforce) = (&self.emulated.hubspot, &self.emulated.salesforce);
        let users = salesforce.ids("User").into_iter();
        let is_mary = |id: &String| salesforce.field("User", id, "FirstName").as_deref() == Some("Mary");
        let user = users.into_iter().find(is_mary).unwrap_or_default();
        let edited = salesforce.update("Lead", lead, &[("OwnerId", &user)]).is_ok();
        let followed =
            Self::until(|| hubspot.property(contact, "hubspot_owner_id") == Some(OWNER.to_string()));
        let passed = followed.await && edited;
        self.conclude("an owner changes on one side and follows on the other", passed, before, outcomes);
    }
}
