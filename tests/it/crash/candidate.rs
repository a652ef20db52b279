//! The server killed between the last check of a candidate and its landing: what lands is checked, and lands once.

use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::run::Run;
use crate::support::server::{Server, Setup};
use crate::support::wait::until;

/// The lines of the trace are `process effect`; this one is the check's own, after its word.
const CHECKED: &str = "check passed";
const TRACE: &str = "marks/trace";
/// How many servers are killed at once.
const AT_ONCE: usize = 3;

/// A server with proven work, whose base has then moved: the result of its merge is another tree, and has to be checked.
struct Scene {
    server: Server,
    run: String,
    before: String,
}

impl Scene {
    fn new() -> Scene {
        let setup = Setup::new();
        let trace = setup.at(TRACE).display().to_string();
        let server = setup.variable("FAILPOINTS_TRACE", &trace).start();
        let check = format!("test -e work.txt && echo {CHECKED} >> {trace}");
        let dod = json!({"dod": [{"key": "tests", "check": {"cmd": check}}]});
        let run = server.run_with("write work.txt done", &dod);
        run.wait_for("finished");
        run.prove();
        let id = run.id.clone();
        let before = server.repo.commit("other.txt", "by somebody else\n");
        server.terminate();
        fs::remove_file(&trace).unwrap();
        Scene {
            server,
            run: id,
            before,
        }
    }

    fn run(&self) -> Run<'_> {
        Run::of(
            &self.server,
            &self
                .server
                .get(&format!("/api/runs/{}", self.run))
                .expect(200),
        )
    }

    /// Asks for the merge of a service that has just been started; whether it answered.
    fn ask_to_merge(&self) -> bool {
        let path = format!("/api/runs/{}/merge", self.run);
        let json = [("content-type", "application/json")];
        let answer = self.server.client().try_ask("POST", &path, &json, b"{}");
        answer.is_some_and(|answer| answer.expect(202)["status"] == "merging")
    }
}

/// A passage of an effect in the service: the name, and which one of the process it is, from 1.
type Passage = (String, usize);

/// The passages between the word of the candidate's check and the base's move, of an undisturbed merge; both ends too.
fn passages() -> Vec<Passage> {
    let scene = Scene::new();
    scene.server.start_again();
    let service = scene.server.pid().to_string();
    assert!(scene.ask_to_merge());
    scene.run().wait_for("merged");
    let trace = fs::read_to_string(scene.server.at(TRACE)).unwrap();
    let (before, after) = trace.split_once(CHECKED).unwrap();
    let own = |lines: &str| -> Vec<String> {
        let own = lines.lines().filter_map(|line| line.split_once(' '));
        let own = own.filter(|(process, _)| *process == service);
        own.map(|(_, name)| name.to_owned()).collect()
    };
    let (mut passed, after) = (own(before), own(after));
    let moved = after.iter().position(|name| name == "checkout.bring");
    let mut passages = Vec::new();
    let moved =
        moved.unwrap_or_else(|| panic!("the checkout of the base is brought along: {trace}"));
    for name in &after[..=moved] {
        passed.push(name.clone());
        let times = passed.iter().filter(|other| *other == name).count();
        passages.push((name.clone(), times));
    }
    passages
}

/// This run alone has landed, once, and its check has passed on exactly the tree that did.
fn assert_landed_once_and_checked(scene: &Scene, detail: &Value) {
    let repo = &scene.server.repo;
    let landed = repo.landed_since(&scene.before);
    assert_eq!(landed, [detail["merge_commit"].as_str().unwrap()]);
    let tree_of = |commit: &str| repo.git(&["rev-parse", &format!("{commit}^{{tree}}")]);
    let items = detail["dod_items"].as_array().unwrap().iter();
    let tests = items.clone().find(|item| item["item_key"] == "tests");
    let evidence = tests.unwrap()["evidence"].as_array().unwrap();
    let of_landed = evidence.iter().filter(|e| {
        let passed = e["check"]["passed"] == true && e["validated_by"] == "check";
        passed && e["tree"] == tree_of(&landed[0]).trim()
    });
    assert!(of_landed.count() > 0, "{detail:#}");
}

/// Kills the service at this passage and starts it again.
fn killed_at((name, times): &Passage) {
    let scene = Scene::new();
    let server = &scene.server;
    let before = match times {
        1 => String::new(),
        n => format!("{}*off->", n - 1),
    };
    server.set_variable("FAILPOINTS", &format!("{name}={before}1*return(abort)"));
    server.set_variable("FAILPOINTS_ONCE", &server.mark_path("struck"));
    server.start_again();
    scene.ask_to_merge();
    server.wait_for_mark("struck");
    server.wait_until_gone();
    let trace = fs::read_to_string(server.at(TRACE)).unwrap();
    assert!(
        trace.contains(CHECKED),
        "it was to be killed after the check"
    );
    server.start_again();
    let run = scene.run();
    let mut detail = Value::Null;
    until("it has landed, or is at rest", || {
        detail = run.detail();
        ["finished", "merged"].contains(&detail["status"].as_str().unwrap())
    });
    match detail["status"] == "merged" {
        true => assert_landed_once_and_checked(&scene, &detail),
        false => assert_eq!(server.repo.master(), scene.before),
    }
    run.post("/merge", &json!({"wait_s": 60})).expect(200);
    run.wait_until_gone();
    assert_landed_once_and_checked(&scene, &run.detail());
    assert_eq!(server.repo.read("work.txt"), "done\n");
    server.check_world();
}

/// Seen red with `Driver::finish_merge` taking what was interrupted for landed: killed at `refs.write`, the run had merged
/// and nothing was in the base.
#[test]
fn a_crash_between_the_last_check_of_a_candidate_and_its_landing_lands_nothing_unchecked() {
    let passages = passages();
    println!("killed at each of {passages:?}");
    let names: Vec<&str> = passages.iter().map(|(name, _)| &**name).collect();
    for name in [
        "payload.rename",
        "store.commit",
        "checkout.note",
        "refs.write",
    ] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let next = AtomicUsize::new(0);
    let broken = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(passage) = passages.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if std::panic::catch_unwind(|| killed_at(passage)).is_err() {
                        broken.lock().unwrap().push(passage);
                    }
                }
            });
        }
    });
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{broken:?}");
}
