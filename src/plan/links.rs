//! Which HubSpot company is which Salesforce account, for the few that a view names.

use std::collections::{HashMap, HashSet};

use crate::domain::RecordKey;

/// Pairs of companies and accounts. A pair that is stopped still says which company is which account, so that nothing seems to have moved;
/// but nothing is moved to either of its records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Links {
    accounts: HashMap<String, String>,
    companies: HashMap<String, String>,
    stopped: HashSet<String>,
}

impl Links {
    /// Adds a pair, and whether records can be moved to its two sides.
    pub fn add(&mut self, company: RecordKey, account: RecordKey, is_open: bool) {
        let (company, account) = (company.id().to_string(), account.id().to_string());
        if !is_open {
            self.stopped.extend([company.clone(), account.clone()]);
        }
        self.accounts.insert(company.clone(), account.clone());
        self.companies.insert(account, company);
    }

    /// The account that a company is paired with, whether or not that pair is stopped.
    pub fn account_of(&self, company: &str) -> Option<&str> {
        self.accounts.get(company).map(String::as_str)
    }

    /// The company that an account is paired with and that records can be moved to.
    pub fn company_of(&self, account: &str) -> Option<&str> {
        self.companies.get(account).map(String::as_str).filter(|company| !self.stopped.contains(*company))
    }

    /// Whether records can be moved to an account: it is in no pair that is stopped.
    pub fn is_open(&self, account: &str) -> bool {
        !self.stopped.contains(account)
    }
}
