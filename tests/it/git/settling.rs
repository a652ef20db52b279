//! The head of a run's work, wherever the agent left it.

use agent_runner_api::worktree::{self, Settle, SettleError};

use super::scene::{Scene, identity};

#[tokio::test]
async fn uncommitted_work_is_committed_by_the_service() {
    let scene = Scene::new().await;
    let run = scene.run("settle").await;
    let by_agent = run.commit("committed", "1");
    run.write("a.txt", "changed\n");
    run.write("untracked", "2");
    run.write("ignored", "3");
    std::fs::remove_file(run.path().join("b.txt")).unwrap();
    let settled = scene.settle(&run).await;
    assert!(settled.leftovers && settled.missed.is_empty() && settled.aside.is_none());
    let names: Vec<_> = scene
        .files(&settled.commit)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, [".gitignore", "a.txt", "committed", "untracked"]);
    assert_eq!(
        scene.repo.parents_of(&settled.commit).await.unwrap(),
        [by_agent]
    );
    assert_eq!(
        scene.repo.tree_of(&settled.commit).await.unwrap(),
        settled.tree
    );
    let log = run.git(&["log", "-1", "--format=%an %ae %cn %s"]);
    assert_eq!(
        log.trim(),
        "The Service service@localhost The Service Leftovers"
    );
    // The agent can go on: its git sees nothing to do.
    assert_eq!(run.git(&["status", "--porcelain"]), "");
    let again = scene.settle(&run).await;
    assert_eq!((again.commit, again.leftovers), (settled.commit, false));
}

#[tokio::test]
async fn with_nothing_done_the_head_stays_or_an_empty_commit_is_made_once() {
    let scene = Scene::new().await;
    let run = scene.run("empty").await;
    assert_eq!(scene.settle(&run).await.commit, run.start);
    let identity = identity();
    let how = Settle {
        start: &run.start,
        identity: &identity,
        message: "Empty",
        empty_commit: true,
    };
    let settled = worktree::settle(&scene.repo, &run.place, &how)
        .await
        .unwrap();
    assert_ne!(settled.commit, run.start);
    assert_eq!(settled.tree, scene.repo.tree_of(&run.start).await.unwrap());
    let again = worktree::settle(&scene.repo, &run.place, &how)
        .await
        .unwrap();
    assert_eq!(again.commit, settled.commit);
    assert_eq!(run.git(&["status", "--porcelain"]), "");
}

#[tokio::test]
async fn work_on_a_detached_head_or_another_branch_lands_on_the_runs_branch() {
    let scene = Scene::new().await;
    for switch in [
        vec!["checkout", "-q", "--detach"],
        vec!["switch", "-q", "-c", "mine"],
    ] {
        let run = scene.run("elsewhere").await;
        run.git(&switch);
        let head = run.commit("committed", "1");
        run.write("uncommitted", "2");
        let settled = scene.settle(&run).await;
        assert_eq!(
            scene.repo.parents_of(&settled.commit).await.unwrap(),
            [head]
        );
        assert_eq!(scene.tip(run.branch()).await, Some(settled.commit.clone()));
        assert_eq!(
            scene.file(&settled.commit, "uncommitted").as_deref(),
            Some("2")
        );
        let on = run.git(&["symbolic-ref", "HEAD"]);
        assert_eq!(on.trim(), format!("refs/heads/{}", run.branch()));
    }
}

#[tokio::test]
async fn work_that_went_another_way_than_the_branch_is_kept_beside_it() {
    let scene = Scene::new().await;
    let run = scene.run("fork").await;
    let tip = run.commit("on-branch", "1");
    run.git(&["checkout", "-q", "--detach", "master"]);
    let other = run.commit("elsewhere", "2");
    run.write("uncommitted", "3");
    let settled = scene.settle(&run).await;
    assert_eq!(settled.commit, tip);
    let aside = settled.aside.unwrap();
    assert_eq!(scene.repo.parents_of(&aside).await.unwrap(), [other]);
    assert_eq!(scene.file(&aside, "uncommitted").as_deref(), Some("3"));
    let kept = scene.repo.refs_below("refs/agent_runner/").await.unwrap();
    assert!(kept.iter().any(|(_, commit)| *commit == aside));
}

#[tokio::test]
async fn an_older_commit_looked_at_last_does_not_move_the_branch() {
    let scene = Scene::new().await;
    let run = scene.run("older").await;
    let tip = run.commit("work", "1");
    run.git(&["checkout", "-q", "--detach", "HEAD~"]);
    let settled = scene.settle(&run).await;
    assert_eq!(
        (settled.commit, settled.leftovers, settled.aside),
        (tip, false, None)
    );
}

#[tokio::test]
async fn a_deleted_branch_comes_back_where_its_worktree_stands() {
    let scene = Scene::new().await;
    let run = scene.run("deleted").await;
    let head = run.commit("work", "1");
    run.git(&["checkout", "-q", "--detach"]);
    run.git(&["branch", "-D", run.branch()]);
    assert_eq!(scene.settle(&run).await.commit, head);
    assert_eq!(scene.tip(run.branch()).await, Some(head));

    let gone = scene.planned("never").await;
    let identity = identity();
    let how = Settle {
        start: &gone.start,
        identity: &identity,
        message: "",
        empty_commit: false,
    };
    let refused = worktree::settle(&scene.repo, &gone.place, &how).await;
    assert!(matches!(refused, Err(SettleError::NothingLeft(_))));
}
