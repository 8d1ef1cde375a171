//! Both CRMs as emulators, so that everything can be tried without an account.
//!
//! They implement the vendors' published contracts on their own: nothing here names the clients in `crm`, so that a misreading
//! on one side cannot cancel itself out on the other. An unknown call is an error.
