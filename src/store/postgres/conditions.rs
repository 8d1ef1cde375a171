//! What the server's conditions mean for a transaction that failed.

use std::borrow::Cow;

use crate::store::Error;

/// Whether another instance was quicker (<https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html>):
/// serialization_failure, deadlock_detected. Nothing of the transaction happened, and it may be tried again at once.
pub(super) fn lost_a_race(error: &Error) -> bool {
    matches!(condition(error).as_deref(), Some("40001" | "40P01"))
}

/// Whether the session's server takes no writes, as a standby does: read_only_sql_transaction. Nothing of the transaction happened.
pub(super) fn only_reads(error: &Error) -> bool {
    condition(error).as_deref() == Some("25006")
}

/// What the server calls its condition, if that is what failed the transaction.
fn condition(error: &Error) -> Option<Cow<'_, str>> {
    let Error::Unavailable(source) = error else { return None };
    source.downcast_ref::<sqlx::Error>()?.as_database_error()?.code()
}

/// The classes of SQLSTATE that blame the statement or its values: no later attempt can succeed. From the list at
/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>: feature not supported, cardinality violation, data exception,
/// integrity constraint violation, syntax error or access rule violation, with check option violation. All others, a lost
/// connection, a standby, a full disk among them, are the server's own condition.
const STATEMENT_CLASSES: [&str; 6] = ["0A", "21", "22", "23", "42", "44"];

/// Whether the database blames the statement or its values, not its own condition.
pub(in crate::store) fn blames_statement(code: &str) -> bool {
    STATEMENT_CLASSES.iter().any(|class| code.starts_with(class))
}
