//! Runs that are carried by the stub: wanted, with a whole life, or by accident, with no merge.

use crate::support::server::Setup;

#[test]
fn a_wanted_stub_has_a_whole_life() {
    let server = Setup::new().variable("AGENT_RUNNER_STUB", "1").start();
    let health = server.get("/api/health").expect(200);
    assert_eq!(health["agent"], "stub");
    assert!(!health["warnings"].as_array().unwrap().is_empty());
    let before = server.repo.master();
    let run = server.finished("write never.txt never");
    let detail = run.detail();
    assert_eq!(detail["agent"], "stub");
    assert_eq!(detail["stub_reason"], "AGENT_RUNNER_STUB=1 is set");
    assert!(
        String::from_utf8(run.output())
            .unwrap()
            .starts_with("STUB: ")
    );
    let head = detail["head"].as_str().unwrap();
    assert_eq!(server.repo.parents(head), std::slice::from_ref(&before));
    assert_eq!(
        server.repo.git(&["diff", &before, head]),
        "",
        "an empty commit"
    );
    run.prove();
    let merged = run.merge().expect(200);
    let commit = merged["commit"].as_str().unwrap();
    assert_eq!(server.repo.parents(commit), [before, head.to_owned()]);
    run.wait_until_gone();
    assert_eq!(run.status(), "merged");
}

#[test]
fn an_accidental_stub_never_merges() {
    let server = Setup::new().without_claude().start();
    let health = server.get("/api/health").expect(200);
    assert_eq!(health["agent"], "stub");
    assert!(health["stub_reason"].as_str().unwrap().contains("claude"));
    let log = server.log();
    assert!(log.contains("claude"), "the start warns: {log}");
    let before = server.repo.master();
    let run = server.finished("write never.txt never");
    let detail = run.detail();
    assert_eq!(detail["stub_reason"], "no `claude` was found on PATH");
    assert_eq!(detail["head"], before.as_str());
    let evidence = run.say("review", "nothing was done");
    run.validate(&evidence).expect(200);
    let refused = run.merge().expect(409);
    let codes: Vec<_> = crate::support::run::blockers(&refused)
        .into_iter()
        .map(|(code, _)| code)
        .collect();
    assert_eq!(codes, ["stub_run", "nothing_to_merge"]);
    assert_eq!(server.repo.master(), before);
}
