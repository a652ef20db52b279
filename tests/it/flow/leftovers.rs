//! What an agent leaves uncommitted, and whose hooks run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::server::{Server, Setup};

#[test]
fn leftovers_are_committed_by_the_service_and_no_hook_runs() {
    let setup = Setup::new();
    let ran = setup.at("hook-ran");
    for name in [
        "pre-commit",
        "commit-msg",
        "post-checkout",
        "post-merge",
        "reference-transaction",
        "pre-merge-commit",
    ] {
        let hook = setup.repo.root().join(".git/hooks").join(name);
        fs::write(
            &hook,
            format!("#!/bin/sh\necho {name} >> '{}'\nexit 1\n", ran.display()),
        )
        .unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let server = setup.start();
    let run = server.finished(
        "write committed.txt by the agent
         git add -A
         git commit -q -m the-agents-own
         write new.txt left over
         write a.txt changed
         write ignored not kept",
    );
    let repo = &server.repo;
    let head = repo.commit_of(&run.branch).unwrap();
    assert_eq!(run.detail()["head"], head.as_str());
    assert_eq!(repo.file(&head, "new.txt").unwrap(), "left over\n");
    assert_eq!(repo.file(&head, "a.txt").unwrap(), "changed\n");
    assert_eq!(repo.file(&head, "ignored"), None);
    let by = |commit: &str| repo.git(&["log", "-1", "--format=%an <%ae> %cn", commit]);
    assert_eq!(
        by(&head).trim(),
        "agent_runner_api <agent_runner_api@localhost> agent_runner_api"
    );
    assert_eq!(
        by(&format!("{head}^")).trim(),
        "An Agent <agent@localhost> An Agent"
    );
    run.prove();
    run.merge().expect(200);
    run.wait_until_gone();
    assert!(!ran.exists(), "{}", fs::read_to_string(&ran).unwrap());
}

#[test]
fn an_agent_that_changes_nothing_leaves_nothing_to_merge() {
    let server = Server::start();
    let run = server.finished("print nothing to do");
    assert_eq!(run.detail()["head"], server.repo.master());
    let evidence = run.say("review", "nothing was to do");
    run.validate(&evidence).expect(200);
    run.merge().expect_problem(409, "nothing_to_merge");
    assert_eq!(run.status(), "finished");
}
