//! What Salesforce does not show our user: whole objects, and fields that the rules look at.

use crate::domain::{Family, Kind, System};
use crate::plan::options::CreateInSalesforce;
use crate::plan::resolve::{Resolver, Severity};
use crate::plan::{Rules, Schema};

impl Resolver<'_> {
    /// Whether a family's objects are shown to us at all; without its own, the others go on. Of leads and contacts one is enough.
    pub(super) fn has_access(&mut self, family: Family) -> bool {
        if family == Family::People {
            self.hide_kinds_of_people();
            return true;
        }
        let kinds = family
            .in_salesforce()
            .iter()
            .chain(std::iter::once(&family.in_hubspot()))
            .copied()
            .collect::<Vec<_>>();
        let mut hidden =
            kinds.into_iter().filter(|kind| self.survey.schemas.get(kind).is_none_or(Schema::is_empty));
        let Some(kind) = hidden.next() else { return true };
        let text =
            format!("our user may not see {kind} (R-014): {family} do not sync until access is granted");
        self.say(Severity::Warning, kind.as_str(), text);
        false
    }

    fn hide_kinds_of_people(&mut self) {
        let of_people = Family::People.in_salesforce();
        let is_hidden = |kind: &Kind| self.survey.schemas.get(kind).is_some_and(Schema::is_empty);
        let hidden: Vec<Kind> = of_people.iter().copied().filter(is_hidden).collect();
        // Where neither is shown, each mapping says so, and the connection cannot work.
        if hidden.len() == of_people.len() {
            return;
        }
        for kind in &hidden {
            let text = format!(
                "our user may not see {kind} (R-014): none of them syncs until access is granted; the others do"
            );
            self.say(Severity::Warning, kind.as_str(), text);
        }
        self.hidden_kinds = hidden;
    }

    /// What HubSpot contacts become: nothing where that is hidden from us.
    pub(super) fn created_in_salesforce(&mut self, wanted: CreateInSalesforce) -> CreateInSalesforce {
        let kind = match wanted {
            CreateInSalesforce::Lead => Kind::Lead,
            CreateInSalesforce::Contact => Kind::Contact,
            CreateInSalesforce::Never => return wanted,
        };
        if !self.hidden_kinds.contains(&kind) {
            return wanted;
        }
        let text = format!(
            "no HubSpot contact becomes a {kind}, because our user may not see any (R-014): grant access, or choose another kind"
        );
        self.say(Severity::Warning, "create_in_salesforce", text);
        CreateInSalesforce::Never
    }

    /// Which fields the rules look at that Salesforce does not show us.
    pub(super) fn hidden(&mut self, rules: &Rules) -> Vec<(Kind, &'static str)> {
        let mut hidden = Vec::new();
        for kind in
            Kind::ALL.into_iter().filter(|kind| kind.system() == System::Salesforce && rules.looks_at(*kind))
        {
            let absent = rules.looked_at(kind).into_iter().filter(|name| self.schema(kind, name).is_none());
            hidden.extend(absent.map(|name| (kind, name)).collect::<Vec<_>>());
        }
        for (kind, name) in &hidden {
            let text = "Salesforce hides this field from our user: rules that look at it see nothing; grant read access";
            self.say(Severity::Warning, format!("{kind}.{name}"), text);
        }
        hidden
    }
}
