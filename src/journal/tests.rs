//! The journal and its projection, on a real database.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Answer, Creation, IdempotencyKey, Journal, NewRun, NotCreated};
use crate::run::event::{AgentProcess, AttemptKind};
use crate::run::{
    AgentKind, AgentSettings, AttemptId, Command, Event, Limits, Refusal, RunId, Spec, Status,
};
use crate::shape::request::RunFilter;
use crate::shape::view::RunView;
use crate::store::{Store, StoreError, events, list, runs};

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn journal(&self) -> Journal {
        Journal::open(Store::open(&self.folder.path().join("runs.db")).unwrap()).unwrap()
    }
}

fn new_run(card: Option<&str>, key: Option<(&str, &str)>) -> NewRun {
    let id = RunId(Uuid::now_v7());
    let card_id = card.map(str::to_owned);
    NewRun {
        id,
        events: vec![
            Event::Created {
                spec: Spec {
                    workflow: "prompt".to_owned(),
                    mode: "prompt".to_owned(),
                    issue_id: None,
                    card_id: card_id.clone(),
                    kanban_app: Some("board".to_owned()),
                    prompt: Some("do it".to_owned()),
                    full_prompt: "do it".to_owned(),
                    agent: AgentKind::Claude,
                    stub: None,
                    model: None,
                    base: "master".to_owned(),
                    sparse: Default::default(),
                    limits: Limits::default(),
                    env: BTreeMap::new(),
                    labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
                    settings: AgentSettings::default(),
                },
                branch: format!("auto/do-it-{}", id.short()),
                worktree_path: "/nowhere".to_owned(),
                items: Vec::new(),
            },
            Event::AttemptQueued {
                attempt: AttemptId(Uuid::now_v7()),
                why: AttemptKind::First,
            },
        ],
        alone_for: card_id.into_iter().map(|card| ("card_id", card)).collect(),
        key: key.map(|(key, body)| IdempotencyKey {
            key: key.to_owned(),
            body_sha256: body.to_owned(),
        }),
    }
}

async fn created(journal: &Journal, new: NewRun) -> crate::run::Run {
    match journal.create(new).await.unwrap() {
        Creation::Done(run) => run,
        Creation::Again { run, .. } => panic!("{run} was there before"),
    }
}

#[tokio::test]
async fn what_the_list_shows_is_what_the_events_tell() {
    let place = Place::new();
    let journal = place.journal();
    let run = created(&journal, new_run(Some("C-1"), None)).await;
    let replayed = journal.run(run.id).unwrap().unwrap();
    assert_eq!(replayed, run);
    let listed = journal
        .store()
        .read(|db| list::page(db, &RunFilter::default(), None, 10))
        .unwrap();
    assert_eq!(listed, [RunView::of(&replayed, None)]);
}

#[tokio::test]
async fn what_was_answered_is_there_after_opening_again() {
    let place = Place::new();
    let run = created(&place.journal(), new_run(None, None)).await;
    let again = place.journal();
    assert_eq!(again.run(run.id).unwrap(), Some(run));
    assert_eq!(*again.latest().borrow(), 2);
}

#[tokio::test]
async fn a_card_has_one_live_run_and_is_free_when_it_is_aborted() {
    let place = Place::new();
    let journal = place.journal();
    let first = created(&journal, new_run(Some("C-1"), None)).await;
    match journal.create(new_run(Some("C-1"), None)).await {
        Err(NotCreated::LiveRun { what, run }) => assert_eq!((what, run), ("card_id", first.id)),
        other => panic!("{other:?}"),
    }
    journal
        .record(
            first.id,
            vec![
                Event::AbortStarted,
                Event::Aborted {
                    preserved: None,
                    missed: Vec::new(),
                    preserving: false,
                },
            ],
        )
        .await
        .unwrap();
    created(&journal, new_run(Some("C-1"), None)).await;
}

#[tokio::test]
async fn a_request_that_comes_again_makes_no_second_run() {
    let place = Place::new();
    let journal = place.journal();
    let first = created(&journal, new_run(None, Some(("key", "body")))).await;
    match journal.create(new_run(None, Some(("key", "body")))).await {
        Ok(Creation::Again { run, answer_json }) => {
            assert_eq!((run, answer_json), (first.id, None))
        }
        other => panic!("{other:?}"),
    }
    let other_body = journal.create(new_run(None, Some(("key", "other")))).await;
    assert!(matches!(other_body, Err(NotCreated::KeyMismatch)));
}

#[tokio::test]
async fn an_event_that_cannot_follow_leaves_nothing() {
    let place = Place::new();
    let journal = place.journal();
    let run = created(&journal, new_run(None, None)).await;
    let wrong = journal
        .record(run.id, vec![Event::AbortStarted, Event::Placed])
        .await;
    assert!(matches!(wrong, Err(StoreError::Illegal(_))));
    assert_eq!(
        journal.run(run.id).unwrap().unwrap().status(),
        Status::Queued
    );
    assert_eq!(*journal.latest().borrow(), 2);
}

#[tokio::test]
async fn a_refusal_stores_nothing() {
    let place = Place::new();
    let journal = place.journal();
    let run = created(&journal, new_run(None, None)).await;
    let answer = journal.ask(run.id, Command::Restore).await.unwrap();
    assert!(matches!(answer, Answer::No(Refusal::NotAborted)));
    assert_eq!(*journal.latest().borrow(), 2);
}

#[tokio::test]
async fn writes_at_once_are_all_there_each_with_its_own_answer() {
    let place = Place::new();
    let journal = place.journal();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..50 {
        let journal = journal.clone();
        tasks.spawn(async move {
            // Every fifth names a run that is not there: it fails alone.
            if n % 5 == 0 {
                let nobody = RunId(Uuid::now_v7());
                let refused = journal.ask(nobody, Command::Abort).await;
                assert!(matches!(refused, Err(StoreError::NoRun(_))));
                0
            } else {
                created(&journal, new_run(None, None)).await;
                1
            }
        });
    }
    let made: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(made, 40);
    let counts = journal.store().read(runs::counts).unwrap();
    assert_eq!(counts, [("queued".to_owned(), 40)]);
    assert_eq!(
        journal.store().read(events::first_broken_link).unwrap(),
        None
    );
}

#[tokio::test]
async fn a_row_that_was_changed_breaks_the_chain_where_it_is() {
    let place = Place::new();
    let journal = place.journal();
    created(&journal, new_run(None, None)).await;
    created(&journal, new_run(None, None)).await;
    let db = rusqlite::Connection::open(journal.store().path()).unwrap();
    let changed = db.execute("UPDATE events SET body = '{}' WHERE seq = 3", []);
    assert!(changed.is_err(), "the journal let itself be changed");
    db.execute_batch(
        "DROP TRIGGER events_never_change; UPDATE events SET body = replace(body, 'do it', 'do all') WHERE seq = 3",
    )
    .unwrap();
    assert_eq!(
        journal.store().read(events::first_broken_link).unwrap(),
        Some(3)
    );
}

/// Seen red with a journal that reads a run from its beginning each time: the changed event cannot be read.
#[tokio::test]
async fn an_event_is_appended_without_reading_those_before_it() {
    let place = Place::new();
    let journal = place.journal();
    let run = created(&journal, new_run(None, None)).await;
    let journal_of_now = rusqlite::Connection::open(journal.store().path()).unwrap();
    journal_of_now
        .execute_batch("DROP TRIGGER events_never_change; UPDATE events SET body = 'gone'")
        .unwrap();
    let answer = journal.ask(run.id, Command::Abort).await.unwrap();
    assert!(matches!(answer, Answer::Done(_)), "{answer:?}");
    assert!(journal.run(run.id).unwrap().is_some());
    assert!(place.journal().run(run.id).is_err(), "nothing is at hand");
}

#[tokio::test]
async fn what_is_at_hand_is_what_the_events_tell_whoever_wrote_them() {
    let place = Place::new();
    let (ours, theirs) = (place.journal(), place.journal());
    let runs = [new_run(None, None), new_run(None, None)];
    let mut ids = Vec::new();
    for new in runs {
        let run = created(&ours, new).await;
        let attempt = run.attempts[0].id;
        let starts = vec![
            Event::Placing {
                base_commit: "0".repeat(40).parse().unwrap(),
            },
            Event::Placed,
            Event::AttemptStarting {
                attempt,
                session_id: None,
                output_from: 0,
            },
            Event::AttemptStarted {
                attempt,
                process: AgentProcess {
                    pid: 1,
                    boot_id: "boot".to_owned(),
                    start_time: 1,
                },
                notices: Vec::new(),
            },
        ];
        ids.push(ours.record(run.id, starts).await.unwrap().id);
    }
    for step in 0..40_usize {
        let (journal, other) = if step % 3 == 0 {
            (&theirs, &ours)
        } else {
            (&ours, &theirs)
        };
        let id = ids[step % 2];
        let seen = Event::SessionSeen {
            session_id: format!("session-{step}"),
            model: None,
        };
        // An event that cannot follow takes the one before it along: nothing of both is to be at hand.
        if step % 5 == 4 {
            let both = vec![seen, Event::Restored];
            journal.record(id, both).await.unwrap_err();
        } else {
            let recorded = journal.record(id, vec![seen]).await.unwrap();
            assert_eq!(journal.run(id).unwrap(), Some(recorded));
        }
        let told = place.journal().run(id).unwrap();
        assert_eq!(journal.run(id).unwrap(), told);
        assert_eq!(other.run(id).unwrap(), told);
    }
}

#[tokio::test]
async fn more_runs_than_are_kept_at_hand_are_all_told() {
    let place = Place::new();
    let journal = place.journal();
    let mut runs = Vec::new();
    for _ in 0..150 {
        runs.push(created(&journal, new_run(None, None)).await);
    }
    for run in runs {
        assert_eq!(journal.run(run.id).unwrap(), Some(run));
    }
}
