//! The stories in whose middle something strikes. Each has a beginning without strikes; then a service is started that
//! may be struck, and what follows must come to a good end whatever happens.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::client::Patient;
use super::fault::{Fault, passages, trace};
use crate::support::held::Held;
use crate::support::server::{Server, Setup, request};
use crate::support::wait::until;

/// Which story.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// A run is asked for, and its agent works and commits.
    Create,
    /// Evidence is attached, words and a file, and validated.
    Prove,
    /// A proven run lands.
    Merge,
    /// A run at work is found again, aborted and restored.
    Abort,
    /// A run at work is found again, and its agent ends.
    Attach,
    /// The agent is told something more.
    Message,
    /// What was preserved is past its time.
    Expire,
    /// A run claims the worktree that stood ready; the pool is filled again, follows the base, and gives back what
    /// somebody was at.
    Pool,
    /// The service died before the supervisor began.
    NeverStarted,
    /// Service, supervisor and agent died together.
    Lost,
}

impl Story {
    pub const ALL: [Story; 10] = [
        Story::Create,
        Story::Prove,
        Story::Merge,
        Story::Abort,
        Story::Attach,
        Story::Message,
        Story::Expire,
        Story::Pool,
        Story::NeverStarted,
        Story::Lost,
    ];
}

/// Where the service keeps what it deletes.
const TRASH: &str = "worktrees/.trash";
/// Commits one file and leaves another; done again it changes nothing.
const WORK: &str = "write work.txt done\ngit add -A\ngit commit -q -m work\nwrite left.txt left";

/// Plays the story and then on to the merge of its run. Answers what the story itself passed, if there is no fault.
pub fn play(story: Story, fault: Option<&Fault>) -> BTreeMap<String, usize> {
    let keep_days = if story == Story::Expire { "0" } else { "30" };
    let size = if story == Story::Pool { "1" } else { "0" };
    // What the repository ignores is seeded, so that this is struck as well.
    let mut setup = Setup::new()
        .flag("--preserved-keep-days", keep_days)
        .flag("--seed", "ignored")
        .flag("--seed-copy", "true")
        .with_pool(size);
    if story == Story::Expire {
        setup = setup.flag("--keep-output-days", "0");
    }
    setup.repo.write("ignored", "a cache\n");
    let arm = |setup: &Setup| match fault {
        Some(fault) => fault.arm(setup),
        None => trace(setup),
    };
    let (server, scene) = Scene::begin(story, setup, &arm);
    let patient = Patient::of(&server, fault);
    if story != Story::Create {
        patient.start_until_up();
    }
    let id = scene.act(story, &patient);
    if fault.is_none() && story == Story::Expire {
        // The ref is gone a moment before it is gone from the disk.
        until("it is gone from the disk", || {
            let passed = passages(&server);
            passed.contains_key("refs.sync") && passed.contains_key("output.prune")
        });
    }
    let passed = passages(&server);
    if story != Story::Expire {
        scene.end_well(story, &patient, &id);
    }
    patient.heal();
    server.check_world();
    for folder in ["state/uploads", "state/evidence/aside"] {
        assert!(is_empty(&server.at(folder)), "{folder}");
    }
    passed
}

/// What there is before the service may be struck.
struct Scene {
    held: Held,
    before: String,
    /// The run, if the story does not begin with it.
    run: Option<String>,
}

impl Scene {
    /// The beginning; the service is down at its end, but for a story that begins with a run.
    fn begin(story: Story, setup: Setup, arm: &dyn Fn(&Setup)) -> (Server, Scene) {
        let held = Held::at(&setup.at("marks/held"));
        let before = setup.repo.master();
        let scene = |run| Scene { held, before, run };
        match story {
            Story::Create => {
                arm(&setup);
                return (setup.start(), scene(None));
            }
            Story::Pool => {
                let server = setup.start();
                server.wait_for_pool(1);
                server.kill();
                arm(&server);
                return (server, scene(None));
            }
            Story::NeverStarted => {
                let die = "supervisor.spawn=1*return(abort)";
                let server = setup.variable("FAILPOINTS", die).start();
                let body = request(&script(&server), &json!({}));
                let headers = [
                    ("content-type", "application/json"),
                    ("idempotency-key", "mine"),
                ];
                let body = body.to_string();
                let answer =
                    server
                        .client()
                        .try_ask("POST", "/api/runs", &headers, body.as_bytes());
                assert!(answer.is_none(), "{answer:?}");
                server.kill();
                server.set_variable("FAILPOINTS", "");
                arm(&server);
                return (server, scene(None));
            }
            _ => {}
        }
        let server = setup.start();
        let waiting = format!(
            "{}\ntouch {}\nwait-for {}",
            script(&server),
            server.mark_path("works"),
            server.mark_path("go")
        );
        let run = match story {
            Story::Abort | Story::Attach | Story::Lost => {
                let run = server.run(&waiting);
                server.wait_for_mark("works");
                run
            }
            Story::Expire => {
                let run = server.finished(&script(&server));
                run.abort().expect(200);
                until("the trash is empty", || is_empty(&server.at(TRASH)));
                run
            }
            _ => server.finished(&script(&server)),
        };
        if story == Story::Merge {
            run.prove();
        }
        let id = run.id.clone();
        let supervisor = server.attempt(&id, 1);
        server.kill();
        if story == Story::Lost {
            let started = fs::read(supervisor.join("started.json")).unwrap();
            let started: agent_runner_api::process::Started =
                serde_json::from_slice(&started).unwrap();
            let pid = rustix::process::Pid::from_raw(started.supervisor.pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        arm(&server);
        (server, scene(Some(id)))
    }

    /// What may be struck; the run's id.
    fn act(&self, story: Story, patient: &Patient<'_>) -> String {
        let server = patient.server;
        let pool_is_full = || {
            let pool = &patient.get("/api/health")["pool"];
            pool["state"] == "full" && pool["at"] == json!([server.repo.master()])
        };
        if story == Story::Pool {
            // Or else nothing is there to be claimed.
            patient.until_gone(pool_is_full);
        }
        let id = self.run.clone().unwrap_or_else(|| {
            let answer = patient.create(&script(server));
            answer["run_id"].as_str().unwrap().to_owned()
        });
        let path = |rest: &str| format!("/api/runs/{id}{rest}");
        match story {
            Story::Create => {
                patient.finished(&id);
            }
            Story::Pool => {
                patient.finished(&id);
                patient.until_gone(pool_is_full);
                server.repo.commit("moved.txt", "moved\n");
                patient.until_gone(pool_is_full);
                let slot = server.slots().remove(0);
                fs::write(slot.join("planted"), "").unwrap();
                patient.until_gone(|| !slot.exists() && pool_is_full());
            }
            // From the start of the agent on it is as any other.
            Story::NeverStarted => patient.started(&id),
            Story::Prove => {
                let page = patient.show(&id, "page", ("page.png", b"a picture"));
                patient.validate(&id, &page);
                let words = patient.say(&id, "review", "read and found good");
                patient.validate(&id, &words);
            }
            Story::Merge => {
                patient.insist(&path("/merge"), &json!({}));
                patient.until_gone(|| self.is_place_gone(patient, &id));
                patient.until_gone_at_last(|| is_empty(&server.at(TRASH)));
            }
            Story::Abort => {
                let aborted = patient.insist(&path("/abort"), &json!({}));
                assert_eq!(aborted["status"], "aborted");
                self.held.assert_all_gone();
                patient.restore(&id);
                let worktree = patient.get(&path(""))["worktree_path"].clone();
                let left = format!("{}/left.txt", worktree.as_str().unwrap());
                assert_eq!(fs::read_to_string(left).unwrap(), "left\n");
            }
            Story::Attach => {
                server.mark("go");
                patient.finished(&id);
            }
            Story::Message => {
                let text = "write more.txt more";
                patient.message(&id, text);
                // The message is a new one then, and says the same.
                let again = || patient.message(&id, &format!("{text}\nprint again"));
                let run = patient.finished_after(&id, again);
                assert_eq!(run["status"], "finished");
            }
            Story::Expire => {
                let kept = format!("refs/agent_runner/preserved/{id}");
                let output = server.at("state/runs").join(&id).join("output");
                patient.until_gone_at_last(|| {
                    server.repo.commit_of(&kept).is_none() && !output.exists()
                });
            }
            Story::Lost => {
                let run = patient.at_rest(&id);
                assert_eq!(run["status"], "failed", "{run:#}");
                self.held.assert_all_gone();
            }
        }
        id
    }

    /// Whatever came before, the run lands with its work, once.
    fn end_well(&self, story: Story, patient: &Patient<'_>, id: &str) {
        let server = patient.server;
        let path = |rest: &str| format!("/api/runs/{id}{rest}");
        if story == Story::NeverStarted {
            patient.finished(id);
        }
        if matches!(story, Story::Abort | Story::Lost) {
            server.mark("go");
            patient.insist(&path("/retry"), &json!({}));
            patient.finished(id);
        }
        if patient.at_rest(id)["status"] != "merged" {
            if story != Story::Prove {
                let words = patient.say(id, "review", "read and found good");
                patient.validate(id, &words);
            }
            let gate = patient.get(&path("/gate"));
            assert_eq!(gate["open"], true, "{gate:#}");
            patient.insist(&path("/merge"), &json!({}));
        }
        let run = patient.get(&path(""));
        assert_eq!(run["status"], "merged", "{run:#}");
        let landed = server.repo.landed_since(&self.before);
        assert_eq!(landed.len(), 1, "{landed:?}");
        assert_eq!(run["merge_commit"], landed[0].as_str());
        assert_eq!(
            server.repo.parents(&landed[0])[1],
            run["head"].as_str().unwrap()
        );
        assert_eq!(server.repo.read("work.txt"), "done\n");
        assert_eq!(server.repo.read("left.txt"), "left\n");
        if story == Story::Message {
            assert_eq!(server.repo.read("more.txt"), "more\n");
        }
        assert_eq!(server.repo.status(), "");
        self.held.assert_all_gone();
        let all = patient.get("/api/runs")["runs"].clone();
        assert_eq!(all.as_array().unwrap().len(), 1);
        self.assert_worked(story, server, &run);
        patient.until_gone(|| self.is_place_gone(patient, id));
        let kept = patient.get(&path("/evidence"))["evidence"].clone();
        for evidence in kept.as_array().unwrap() {
            let payload = format!("/evidence/{}/payload", evidence["id"].as_str().unwrap());
            let answer = patient.ask("GET", &path(&payload), &[], b"");
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    }

    /// Whether neither worktree nor branch is left.
    fn is_place_gone(&self, patient: &Patient<'_>, id: &str) -> bool {
        let run = patient.get(&format!("/api/runs/{id}"));
        let worktree = run["worktree_path"].as_str().unwrap();
        let branch = run["branch"].as_str().unwrap();
        !fs::exists(worktree).unwrap() && !patient.server.repo.has_branch(branch)
    }

    /// The agent worked once, but for the attempts that were asked for again.
    fn assert_worked(&self, story: Story, server: &Server, run: &Value) {
        let times = fs::read_to_string(server.mark_path("times")).unwrap();
        let again = run["attempts"].as_array().unwrap().iter();
        let again = again.filter(|attempt| attempt["why"] == "retry").count();
        let times = times.lines().count();
        assert!(
            (1..=1 + again).contains(&times),
            "{times} times in {story:?}: {run:#}"
        );
    }
}

fn is_empty(folder: &Path) -> bool {
    folder.read_dir().is_ok_and(|mut all| all.next().is_none())
}

fn script(setup: &Setup) -> String {
    let mark = |name: &str| setup.at("marks").join(name).display().to_string();
    format!(
        "hold {}\nappend {} worked\n{WORK}",
        mark("held"),
        mark("times")
    )
}
