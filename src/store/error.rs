//! What can go wrong with memory, named for what the caller does next.

use crate::store::{postgres, sqlite};

/// A failed transaction: nothing of it happened. Only where the answer to COMMIT was lost does nobody know, and all of it may have; so
/// whatever is [`Error::Unavailable`] must bear to be done again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Try again soon: the database is busy, full or unreachable.
    #[error("the database cannot store at the moment")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A value in the database cannot be read: a person must look.
    #[error("{table}.{column} holds a value that cannot be read")]
    Corrupt {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database has migrations that this version does not know, or lacks some that it needs.
    #[error("the database's migrations do not fit this version: {text}")]
    Migrations {
        /// What does not fit, and what to do.
        text: String,
    },
    /// The database URL names nothing that can be opened.
    #[error("the database URL is not usable: {text}")]
    Url {
        /// What is wrong with it.
        text: String,
    },
    /// A bug of ours: a statement did not fit the schema.
    #[error("a statement failed")]
    Statement(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) if blames_statement(&**database) => {
                Self::Statement(Box::new(error))
            }
            sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::Decode(_)
            | sqlx::Error::Encode(_) => Self::Statement(Box::new(error)),
            _ => Self::Unavailable(Box::new(error)),
        }
    }
}

/// Whether the database blames the statement or its values, not its own condition. The type of its answer says which one it is.
fn blames_statement(error: &dyn sqlx::error::DatabaseError) -> bool {
    if let Some(error) = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        return postgres::blames_statement(error.code());
    }
    error.code().and_then(|code| code.parse().ok()).is_some_and(sqlite::blames_statement)
}
