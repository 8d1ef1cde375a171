//! The oracle on small journals.
