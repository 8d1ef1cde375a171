//! Which HubSpot company is which Salesforce account, for the few that a view names.

use std::collections::HashMap;

use crate::domain::RecordKey;

/// Pairs of companies and accounts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Links {
    accounts: HashMap<String, String>,
    companies: HashMap<String, String>,
}

impl Links {
    /// Adds a pair.
    pub fn add(&mut self, company: RecordKey, account: RecordKey) {
        let (company, account) = (company.id().to_string(), account.id().to_string());
        self.accounts.insert(company.clone(), account.clone());
        self.companies.insert(account, company);
    }

    /// The account that a company is paired with.
    pub fn account_of(&self, company: &str) -> Option<&str> {
        self.accounts.get(company).map(String::as_str)
    }

    /// The company that an account is paired with.
    pub fn company_of(&self, account: &str) -> Option<&str> {
        self.companies.get(account).map(String::as_str)
    }
}
