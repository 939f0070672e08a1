//! The writer under load and under failure: groups, savepoints, and what each caller hears.

use std::fs;

use super::*;

type Answer<T> = oneshot::Receiver<Result<T, Error>>;

fn database() -> (tempfile::TempDir, Db) {
    let dir = tempfile::tempdir().unwrap();
    let db = Db::open_writer(dir.path(), crate::quotas::Quotas::default()).unwrap();
    db.conn.execute_batch("CREATE TABLE thing (n INTEGER, data BLOB); PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    (dir, db)
}

/// Queues writes, then lets a writer serve all of them: the groups are as large as they can be.
#[derive(Default)]
struct Queued(Vec<Box<dyn Job>>);

impl Queued {
    fn push(&mut self, work: impl FnOnce(&Db) -> Result<(), Fault> + Send + 'static) -> Answer<()> {
        let (answer_tx, answer_rx) = oneshot::channel();
        self.0.push(Box::new(Write { work: Some(work), result: Err(Error::Closed), answer_tx }));
        answer_rx
    }

    fn insert(&mut self, n: u32) -> Answer<()> {
        self.push(move |db| insert(db, n, 1))
    }

    fn serve(self, db: &Db) {
        let (queue_tx, queue_rx) = mpsc::channel(QUEUE);
        for job in self.0 {
            queue_tx.try_send(job).map_err(|_| "full").unwrap();
        }
        drop(queue_tx);
        serve(db, queue_rx, &Generation::new());
    }
}

fn insert(db: &Db, n: u32, n_bytes: u32) -> Result<(), Fault> {
    db.execute("INSERT INTO thing VALUES (?1, zeroblob(?2))", [n, n_bytes])?;
    Ok(())
}

fn kept(db: &Db) -> Vec<u32> {
    db.all("SELECT n FROM thing ORDER BY n", [], |row| Ok(row.get(0)?)).unwrap()
}

/// Counts the commits in the write-ahead log: frames whose header names the database's size. Source: SQLite file
/// format, 4.1.
fn n_commits(db: &Db) -> usize {
    let page_bytes = usize::try_from(db.count("PRAGMA page_size", []).unwrap()).unwrap();
    let log = fs::read(db.path.with_extension("db-wal")).unwrap();
    log[32..].chunks(24 + page_bytes).filter(|frame| frame[4..8] != [0; 4]).count()
}

#[test]
fn queued_writes_share_a_commit() {
    let (_dir, db) = database();
    let mut queued = Queued::default();
    let answers: Vec<_> = (0..100).map(|n| queued.insert(n)).collect();
    queued.serve(&db);
    assert_eq!(kept(&db), (0..100).collect::<Vec<_>>());
    for mut answer in answers {
        answer.try_recv().unwrap().unwrap();
    }
    assert_eq!(n_commits(&db), 100_usize.div_ceil(MAX_GROUP));
}

#[test]
fn a_write_that_fails_takes_no_other_along() {
    let (_dir, db) = database();
    let mut queued = Queued::default();
    let mut before = queued.insert(1);
    let mut failed = queued.push(|db| {
        insert(db, 2, 1)?;
        Err(Error::TokenMismatch.into())
    });
    let mut after = queued.insert(3);
    queued.serve(&db);
    before.try_recv().unwrap().unwrap();
    after.try_recv().unwrap().unwrap();
    assert!(matches!(failed.try_recv().unwrap(), Err(Error::TokenMismatch)));
    assert_eq!(kept(&db), [1, 3]);
}

#[test]
fn when_the_commit_fails_every_write_of_the_group_does() {
    let (_dir, db) = database();
    let mut queued = Queued::default();
    let mut before = queued.insert(1);
    // A foreign key that is checked only at the commit.
    let mut culprit = queued.push(|db| {
        db.execute("PRAGMA defer_foreign_keys = ON", [])?;
        let orphan = "INSERT INTO endpoint (runtime, name, target, status, created_at, updated_at)
            VALUES ('none', 'DEFAULT', 1, 'READY', 0, 0)";
        db.execute(orphan, [])?;
        Ok(())
    });
    queued.serve(&db);
    assert!(matches!(before.try_recv().unwrap(), Err(Error::Database { .. })));
    assert!(matches!(culprit.try_recv().unwrap(), Err(Error::Database { .. })));
    assert!(kept(&db).is_empty());

    let mut queued = Queued::default();
    let mut next = queued.insert(2);
    queued.serve(&db);
    next.try_recv().unwrap().unwrap();
    assert_eq!(kept(&db), [2]);
}

#[test]
fn on_a_full_disk_what_was_acknowledged_is_kept_and_the_rest_is_told_why() {
    let (_dir, db) = database();
    let n_pages = db.count("PRAGMA page_count", []).unwrap();
    db.count(&format!("PRAGMA max_page_count = {}", n_pages + 2), []).unwrap();
    let mut queued = Queued::default();
    let answers = [(1, 1), (2, 1 << 20), (3, 1)].map(|(n, n_bytes)| (n, queued.push(move |db| insert(db, n, n_bytes))));
    queued.serve(&db);
    let mut acknowledged = Vec::new();
    for (n, mut answer) in answers {
        match answer.try_recv().unwrap() {
            Ok(()) => acknowledged.push(n),
            Err(error) => {
                let message = error.to_string();
                assert!(message.contains("innkeep.db") && message.contains("disk is full"), "{message}");
            }
        }
    }
    assert!(!acknowledged.contains(&2));
    assert_eq!(kept(&db), acknowledged);
}

#[tokio::test]
async fn who_sees_what_is_committed_does_not_see_the_generation_before() {
    let (_dir, db) = database();
    // Inside each commit, as now and then, the log is copied into the database when readers see it already.
    db.conn.pragma_update(None, "wal_autocheckpoint", 1).unwrap();
    let reader = Db::open_reader(&db.path, &db.sealer).unwrap();
    let readers = Arc::new(Readers::of(&db));
    let writer = Arc::new(Writer::spawn(db, readers).unwrap());
    let looking = tokio::task::spawn_blocking({
        let writer = Arc::clone(&writer);
        move || {
            let mut remembered = (0, 0);
            // As long as the test, however that ends.
            while Arc::strong_count(&writer) > 1 {
                let before = writer.generation();
                let n = reader.count("SELECT count(*) FROM thing", []).unwrap();
                if writer.generation() == Some(remembered.0) {
                    assert_eq!(n, remembered.1, "what was remembered would still be taken");
                }
                remembered = before.map_or(remembered, |generation| (generation, n));
            }
        }
    });
    for n in 0..100 {
        let insert = move |db: &Db| {
            db.mark_resolve_changed();
            insert(db, n, 1)
        };
        writer.write(insert).await.unwrap();
    }
    assert_eq!(writer.generation(), Some(200));
    drop(writer);
    looking.await.unwrap();
}
