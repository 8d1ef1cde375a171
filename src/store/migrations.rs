//! The schema's history, compiled in: what every database does with its own list of migrations.

use std::borrow::Cow;

use sqlx::SqlSafeStr;
use sqlx::migrate::{AppliedMigration, Migrate, MigrateError, Migration, MigrationType, Migrator};

use crate::store::Error;

/// Number, name and text of every migration of one database. Both databases have the same numbers and names.
pub(super) type List = [(i64, &'static str, &'static str)];

/// Where a migration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationStatus {
    /// Its number.
    pub version: i64,
    /// Its name.
    pub name: String,
    /// Whether the database has it.
    pub applied: bool,
}

/// The migrator of a list. Databases that need a lock take one of their own.
pub(super) fn migrator(list: &List) -> Migrator {
    let migration = |(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(*version, Cow::Borrowed(name), MigrationType::Simple, sql.into_sql_str(), false)
    };
    let migrations: Vec<Migration> = list.iter().map(migration).collect();
    Migrator { migrations: migrations.into(), locking: false, ..Migrator::DEFAULT }
}

/// What a failed migration means to the caller.
pub(super) fn failed(error: MigrateError) -> Error {
    match error {
        MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => source.into(),
        other => Error::Migrations {
            text: format!("{other}; use the version that wrote the database, or a newer one"),
        },
    }
}

/// Says which of a list are applied, in a database that has the migrator's own table if `exists`.
pub(super) async fn status<C: Migrate>(
    connection: &mut C,
    list: &List,
    exists: bool,
) -> Result<Vec<MigrationStatus>, Error> {
    let applied = if exists {
        let listed = connection.list_applied_migrations(&Migrator::DEFAULT.table_name).await;
        listed.map_err(|error| Error::Migrations { text: error.to_string() })?
    } else {
        Vec::new()
    };
    let unknown = applied.iter().filter(|applied| list.iter().all(|(known, ..)| *known != applied.version));
    if let Some(newer) = unknown.map(|migration| migration.version).max() {
        let text = format!(
            "the database has migration {newer}, which this version does not know; use a newer version"
        );
        return Err(Error::Migrations { text });
    }
    Ok(among(list, &applied))
}

/// Where the migrations of a database stand that does not exist yet.
pub(super) fn none_applied(list: &List) -> Vec<MigrationStatus> {
    among(list, &[])
}

fn among(list: &List, applied: &[AppliedMigration]) -> Vec<MigrationStatus> {
    let status = |(version, name, _): &(i64, &str, &str)| MigrationStatus {
        version: *version,
        name: (*name).to_owned(),
        applied: applied.iter().any(|migration| migration.version == *version),
    };
    list.iter().map(status).collect()
}

/// Refuses a database that lacks something.
pub(super) fn insist(status: &[MigrationStatus]) -> Result<(), Error> {
    let missing: Vec<&str> =
        status.iter().filter(|status| !status.applied).map(|status| status.name.as_str()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let text =
        format!("missing: {}; run `hubforce migrate`, or set database.migrate = true", missing.join(", "));
    Err(Error::Migrations { text })
}

#[cfg(test)]
mod tests {
    use crate::store::{postgres, sqlite};

    #[test]
    fn both_databases_have_the_same_migrations_with_the_same_tables_and_columns() {
        for ((number, name, of_sqlite), (other, other_name, of_postgres)) in
            sqlite::MIGRATIONS.iter().zip(&postgres::MIGRATIONS)
        {
            assert_eq!((number, name), (other, other_name));
            assert_eq!(names(of_sqlite), names(of_postgres), "{number:04}_{name}");
        }
        assert_eq!(sqlite::MIGRATIONS.len(), postgres::MIGRATIONS.len());
    }

    /// An index that only SQLite has; the other migration says why.
    const ONLY_ONE: &str = "CREATE INDEX jobs_leased";

    /// Tables, columns and indexes, and whether each has its comment.
    fn names(sql: &str) -> Vec<(String, bool)> {
        let name = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let name = match words.first()? {
                first if first.starts_with(')') => return None,
                &"CREATE" => words[..3].join(" "),
                first => (*first).to_owned(),
            };
            Some((name, line.contains("--")))
        };
        let names = sql.lines().filter(|line| !line.starts_with("--")).filter_map(name);
        names.filter(|(name, _)| name != ONLY_ONE).collect()
    }
}
