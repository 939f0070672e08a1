//! Brings a database to the schema that this program knows. Migrations are SQL files that are only ever appended to the
//! list; `PRAGMA user_version` counts those applied, in the same transaction.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::{Error, Fault};

const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_init.sql"),
    include_str!("../migrations/0002_sandbox.sql"),
    include_str!("../migrations/0003_session_retention.sql"),
    include_str!("../migrations/0004_session_started_by.sql"),
    include_str!("../migrations/0005_control_plane.sql"),
    include_str!("../migrations/0006_endpoint_failure_log.sql"),
    include_str!("../migrations/0007_pool_members.sql"),
    include_str!("../migrations/0008_principals.sql"),
    include_str!("../migrations/0009_session_owner.sql"),
    include_str!("../migrations/0010_audit.sql"),
    include_str!("../migrations/0011_invocations.sql"),
    include_str!("../migrations/0012_pool_member_made_of.sql"),
];

/// Applies what is missing. A database of a newer program is refused untouched.
pub(crate) fn run(conn: &mut Connection, path: &Path) -> Result<(), Fault> {
    apply(conn, path, MIGRATIONS)
}

fn apply(conn: &mut Connection, path: &Path, migrations: &[&str]) -> Result<(), Fault> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: u32 = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let known = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    if found > known {
        return Err(Error::Newer { path: path.to_owned(), found, known }.into());
    }
    for (version, sql) in (1..=known).zip(migrations).filter(|(version, _)| *version > found) {
        tx.execute_batch(sql)?;
        tx.pragma_update(None, "user_version", version)?;
        tracing::info!(schema.version = version, "database {} is now at schema version {version}", path.display());
    }
    Ok(tx.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "CREATE TABLE a (x)";
    const TWO: &str = "ALTER TABLE a ADD COLUMN y; INSERT INTO a VALUES (1, 2)";

    fn version(conn: &Connection) -> u32 {
        conn.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn each_migration_runs_once() {
        let mut conn = Connection::open_in_memory().unwrap();
        apply(&mut conn, Path::new("x"), &[ONE]).unwrap();
        assert_eq!(version(&conn), 1);
        for _ in 0..2 {
            apply(&mut conn, Path::new("x"), &[ONE, TWO]).unwrap();
            assert_eq!(version(&conn), 2);
        }
        let rows: u32 = conn.query_row("SELECT count(*) FROM a", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 1);
    }

    #[test]
    fn a_migration_that_fails_leaves_the_database_as_it_was() {
        let mut conn = Connection::open_in_memory().unwrap();
        assert!(apply(&mut conn, Path::new("x"), &[ONE, "no SQL"]).is_err());
        assert_eq!(version(&conn), 0);
        apply(&mut conn, Path::new("x"), &[ONE, TWO]).unwrap();
    }

    #[test]
    fn an_endpoint_that_failed_before_says_why_afterwards() {
        let mut conn = Connection::open_in_memory().unwrap();
        apply(&mut conn, Path::new("x"), &MIGRATIONS[..4]).unwrap();
        conn.execute_batch(
            "INSERT INTO runtime VALUES ('r', 'r', '{}', 2, 0, 0, 0);
             INSERT INTO version VALUES ('r', 1, 'CREATE_FAILED', '{}', x'', '{}', 'exit code 3', '[]', NULL, 0);
             INSERT INTO endpoint VALUES ('r', 'DEFAULT', NULL, 1, 'CREATE_FAILED', 0, 0);",
        )
        .unwrap();
        run(&mut conn, Path::new("x")).unwrap();
        let found = conn.query_row("SELECT failure_reason, split FROM endpoint", [], |row| {
            Ok((row.get::<_, String>("failure_reason")?, row.get::<_, String>("split")?))
        });
        assert_eq!(found.unwrap(), ("exit code 3".to_owned(), "{}".to_owned()));
    }

    #[test]
    fn a_key_of_before_can_do_everything_as_it_could() {
        let mut conn = Connection::open_in_memory().unwrap();
        apply(&mut conn, Path::new("x"), &MIGRATIONS[..6]).unwrap();
        conn.execute("INSERT INTO access_key VALUES ('AKIA1', x'00', 1, 5)", []).unwrap();
        run(&mut conn, Path::new("x")).unwrap();
        let found = conn.query_row("SELECT name, policies, active, expires_at FROM access_key", [], |row| {
            Ok((
                row.get::<_, String>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, bool>(2)?,
                row.get::<_, Option<i64>>(3)?,
            ))
        });
        assert_eq!(found.unwrap(), ("root".to_owned(), r#"["admin"]"#.to_owned(), true, None));
    }
}
