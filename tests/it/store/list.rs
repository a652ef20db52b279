//! Pages of the list: what sorting all runs would give, whatever is asked for, and nothing twice.

use agent_runner_api::run::Status;
use agent_runner_api::shape::request::RunFilter;
use agent_runner_api::store::Store;
use agent_runner_api::store::list::{PageEnd, page};
use rusqlite::{Connection, params};
use tempfile::TempDir;

const STATUSES: [Status; 4] = [
    Status::Queued,
    Status::Finished,
    Status::Merged,
    Status::Aborted,
];

/// What a list goes by.
#[derive(Debug, Clone)]
struct Row {
    created_at: String,
    id: String,
    status: Status,
    app: Option<&'static str>,
}

/// The run of this number. Many are made in the same moment.
fn row(n: usize) -> Row {
    Row {
        created_at: format!("2026-11-{:02}T00:00:{:02}.000Z", 1 + n % 7, n % 5),
        id: format!("{:032x}", n.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
        status: STATUSES[n * 5 % STATUSES.len()],
        app: [None, Some("board"), Some("tree")][n * 7 % 3],
    }
}

fn insert(db: &Connection, row: &Row) {
    db.execute(
        "INSERT INTO runs (id, workflow, mode, kanban_app, agent, branch, worktree_path, base, status, created_at, limits_json) \
         VALUES (?1, 'auto', 'auto', ?2, 'stub', ?1, '/w', 'master', ?3, ?4, '{}')",
        params![row.id, row.app, row.status.as_str(), row.created_at],
    )
    .unwrap();
}

fn fits(row: &Row, filter: &RunFilter) -> bool {
    (filter.status.is_empty() || filter.status.contains(&row.status))
        && filter.app.as_deref().is_none_or(|app| row.app == Some(app))
        && filter
            .since
            .is_none_or(|since| row.created_at.parse::<jiff::Timestamp>().unwrap() >= since)
}

fn filters() -> Vec<RunFilter> {
    let mut filters = Vec::new();
    for statuses in 0..(1 << STATUSES.len()) {
        for app in [None, Some("board"), Some("nobody's")] {
            for since in [None, Some("2026-11-04T00:00:02Z")] {
                let status = STATUSES.iter().enumerate();
                let status = status.filter(|(bit, _)| statuses & (1 << bit) != 0);
                filters.push(RunFilter {
                    status: status.map(|(_, status)| *status).collect(),
                    app: app.map(str::to_owned),
                    since: since.map(|at| at.parse().unwrap()),
                });
            }
        }
    }
    filters
}

/// All pages, one after the other; `between` happens after each.
fn pages(store: &Store, filter: &RunFilter, mut between: impl FnMut(usize)) -> Vec<String> {
    let (mut ids, mut end) = (Vec::new(), None);
    loop {
        let next = store.read(|db| page(db, filter, end.as_ref(), 17)).unwrap();
        let Some(last) = next.last() else {
            return ids;
        };
        end = Some(PageEnd {
            created_at: last.created_at.clone(),
            id: last.id.clone(),
        });
        ids.extend(next.into_iter().map(|run| run.id));
        between(ids.len());
    }
}

fn with_rows() -> (TempDir, Store, Connection, Vec<Row>) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("runs.db");
    let store = Store::open(&path).unwrap();
    let db = Connection::open(&path).unwrap();
    let mut rows: Vec<Row> = (0..300).map(row).collect();
    db.execute_batch("BEGIN").unwrap();
    rows.iter().for_each(|row| insert(&db, row));
    db.execute_batch("COMMIT").unwrap();
    rows.sort_by(|a, b| (&b.created_at, &b.id).cmp(&(&a.created_at, &a.id)));
    (folder, store, db, rows)
}

#[test]
fn the_pages_of_every_filter_are_what_sorting_all_runs_gives() {
    let (_folder, store, _db, rows) = with_rows();
    for filter in filters() {
        let expected = rows.iter().filter(|row| fits(row, &filter));
        let expected: Vec<String> = expected.map(|row| row.id.clone()).collect();
        assert_eq!(pages(&store, &filter, |_| {}), expected, "{filter:?}");
    }
}

#[test]
fn runs_that_are_made_between_two_pages_move_nothing() {
    let (_folder, store, db, rows) = with_rows();
    let filter = RunFilter {
        status: vec![Status::Finished, Status::Merged, Status::Finished],
        ..RunFilter::default()
    };
    let expected: Vec<String> = rows
        .iter()
        .filter(|row| fits(row, &filter))
        .map(|row| row.id.clone())
        .collect();
    let told = pages(&store, &filter, |so_far| {
        let newer = Row {
            created_at: "2026-12-01T00:00:00.000Z".to_owned(),
            id: format!("new-{so_far}"),
            status: Status::Merged,
            app: None,
        };
        insert(&db, &newer);
    });
    assert_eq!(told, expected);
}
