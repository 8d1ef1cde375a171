//! How the server goes about a statement, for tests.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use crate::store::Database;
use crate::store::postgres::PostgresStore;
use crate::store::testing::TestDatabase;

/// More rows than this in one step are a walk.
const ROWS_MAX: f64 = 100.0;

/// A database whose plans are asked for.
pub(super) struct Plans {
    /// What is set for each question.
    pub(super) settings: &'static str,
    connection: PgConnection,
    _database: TestDatabase,
}

impl Plans {
    /// A database with these rows, of which the planner knows; `None` where this machine has no server for it.
    pub(super) async fn of(rows: &'static str) -> Option<Self> {
        let database = TestDatabase::new(Database::Postgres).await.unwrap()?;
        let url = database.url();
        PostgresStore::open(&url, true).await.unwrap();
        let connection = PgConnection::connect(&url).await.unwrap();
        let mut plans = Self { settings: "", connection, _database: database };
        plans.execute(rows).await;
        plans.execute("ANALYZE").await;
        Some(plans)
    }

    /// Changes the rows.
    pub(super) async fn execute(&mut self, sql: &'static str) {
        self.connection.execute(sql).await.unwrap();
    }

    /// The whole plan of a statement, with types and values of what it is asked with, if a step of it returns or passes over many
    /// rows; `None` if each takes few.
    pub(super) async fn walks(&mut self, (sql, types, values): (&str, &str, &str)) -> Option<Vec<String>> {
        let explain = format!(
            "BEGIN; {}; PREPARE asked ({types}) AS {sql};
             EXPLAIN (ANALYZE, TIMING OFF) EXECUTE asked ({values});
             DEALLOCATE asked; ROLLBACK",
            self.settings
        );
        let rows = sqlx::raw_sql(AssertSqlSafe(explain)).fetch_all(&mut self.connection).await.unwrap();
        let steps: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert!(steps.iter().any(|step| number_after(step, "actual rows=").is_some()), "{steps:#?}");
        let walks = |step: &String| {
            ["actual rows=", "Rows Removed by Filter: ", "Rows Removed by Join Filter: "]
                .iter()
                .any(|word| number_after(step, word).is_some_and(|n| n > ROWS_MAX))
        };
        steps.iter().any(walks).then_some(steps)
    }
}

/// The number after a word, if that is there.
fn number_after(step: &str, word: &str) -> Option<f64> {
    let (_, rest) = step.split_once(word)?;
    let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
    rest[..end].parse().ok()
}
