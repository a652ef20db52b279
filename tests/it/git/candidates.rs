//! Candidates: merge commits that nothing points at yet.

use agent_runner_api::dod::{Author, Evidence, Head, Item, Payload, Verdict};
use agent_runner_api::gate::{self, Cleared, Facts, Proof};
use agent_runner_api::git::Repository;
use agent_runner_api::merge::{self, Candidate, CandidateError, candidate};
use agent_runner_api::run::{CommitId, EvidenceId, ItemId, Status};
use jiff::Timestamp;
use uuid::Uuid;

use super::scene::{Scene, git, identity};

pub async fn make(repo: &Repository, onto: &CommitId, head: &CommitId) -> Candidate {
    let message = "Merge the work\n\nAgent-Run: x\n";
    candidate(repo, onto, head, message, &identity())
        .await
        .unwrap()
}

/// Leave of the gate to land it: nothing is asked of it but words, which it has.
pub fn cleared(made: &Candidate) -> Cleared {
    let tree = made.tree.clone();
    let head = Head {
        commit: made.head.clone(),
        tree: tree.clone(),
    };
    let item = Item {
        id: ItemId(Uuid::nil()),
        spec: serde_json::from_str(r#"{"key": "review"}"#).unwrap(),
    };
    let evidence = Evidence {
        id: EvidenceId(Uuid::nil()),
        item_id: item.id,
        payload: Payload::Text {
            text: "seen".to_owned(),
        },
        head: head.clone(),
        base_commit: made.onto.clone(),
        onto: None,
        check: None,
        candidate_of: None,
        carried_to: Vec::new(),
        author_name: None,
        sha256: String::new(),
        size: 4,
        author: Author::Operator,
        created_at: Timestamp::UNIX_EPOCH,
        verdict: Verdict::Validated {
            by: "Vera".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            overrides: None,
        },
    };
    let (items, evidence) = ([item], [evidence]);
    let permit = gate::ask(&Facts {
        status: Status::Finished,
        accidental_stub: false,
        head: Some(&head),
        onto: Some(&made.onto),
        contained: false,
        items: &items,
        evidence: &evidence,
        changed: None,
    });
    let candidate = Head {
        commit: made.commit.clone(),
        tree,
    };
    let proof = Proof {
        items: &items,
        evidence: &evidence,
        changed: &[],
    };
    gate::clear(permit.unwrap(), candidate, &proof).unwrap()
}

#[tokio::test]
async fn a_candidate_always_has_two_parents_and_touches_nothing() {
    let scene = Scene::new().await;
    let run = scene.run("two").await;
    let head = run.commit("new", "1");
    let made = make(&scene.repo, &run.start, &head).await;
    assert_eq!(
        scene.repo.parents_of(&made.commit).await.unwrap(),
        [run.start.clone(), head.clone()]
    );
    assert_eq!(made.tree, scene.repo.tree_of(&head).await.unwrap());
    assert_eq!(scene.master().await, run.start);
    assert_eq!(git(&scene.root, &["status", "--porcelain"]), "");
    let message = scene.repo.message_of(&made.commit).await.unwrap();
    assert_eq!(message, "Merge the work\n\nAgent-Run: x\n");
    git(&scene.root, &["gc", "-q", "--prune=now"]);
    assert!(
        scene.repo.has_commit(&made.commit).await.unwrap(),
        "the pin holds it"
    );
    for _ in 0..2 {
        merge::release(&scene.repo, &made.commit).await.unwrap();
    }
    git(&scene.root, &["reflog", "expire", "--expire=now", "--all"]);
    git(&scene.root, &["gc", "-q", "--prune=now"]);
    assert!(
        !scene.repo.has_commit(&made.commit).await.unwrap(),
        "and nothing else"
    );
}

#[tokio::test]
async fn conflicts_are_named_and_there_is_nothing_to_merge_twice() {
    let scene = Scene::new().await;
    let (ours, theirs) = (scene.run("ours").await, scene.run("theirs").await);
    ours.write("b.txt", "ours\n");
    let onto = ours.commit("a.txt", "one\nours\nthree\n");
    std::fs::remove_file(theirs.path().join("b.txt")).unwrap();
    let head = theirs.commit("a.txt", "one\ntheirs\nthree\n");
    let merged = candidate(&scene.repo, &onto, &head, "m", &identity()).await;
    let Err(CandidateError::Conflict { paths }) = merged else {
        panic!("{merged:?}")
    };
    assert_eq!(paths, ["a.txt", "b.txt"]);
    let nothing = candidate(&scene.repo, &onto, &ours.start, "m", &identity()).await;
    assert!(matches!(nothing, Err(CandidateError::NothingToMerge)));
    let same = candidate(&scene.repo, &onto, &onto, "m", &identity()).await;
    assert!(matches!(same, Err(CandidateError::NothingToMerge)));
    theirs.git(&["checkout", "-q", "--orphan", "alien"]);
    let alien = theirs.commit("c", "c");
    let unrelated = candidate(&scene.repo, &onto, &alien, "m", &identity()).await;
    assert!(matches!(unrelated, Err(CandidateError::Unrelated)));
    assert!(
        scene
            .repo
            .refs_below("refs/agent_runner/")
            .await
            .unwrap()
            .is_empty()
    );
}
