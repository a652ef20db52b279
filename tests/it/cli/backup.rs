//! `backup`, `restore-backup`, `export`, `import` over the real program: nothing is lost on the way, and nothing that is
//! not whole is put in place.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::program::Ended;
use crate::support::run::Run;
use crate::support::server::{Server, Setup};

/// The program with a command, on the folders of this server or on those below another folder.
fn ask(server: &Setup, below: Option<&Path>, arguments: &[&str]) -> Ended {
    let place = |name: &str| match below {
        Some(folder) => folder.join(name),
        None => server.at(name),
    };
    let command = server.command();
    let program = command.get_program().to_owned();
    #[expect(
        clippy::disallowed_methods,
        reason = "the program under test is started here"
    )]
    let mut plain = std::process::Command::new(program);
    for (name, value) in command.get_envs() {
        plain.env(name, value.unwrap());
    }
    let settings = [
        ("--db", place("runs.db")),
        ("--state-root", place("state")),
        ("--repo-root", server.at("repository")),
    ];
    plain.args(arguments);
    for (name, path) in settings {
        plain.arg(format!("{name}={}", path.display()));
    }
    Ended::from(plain.current_dir(server.at("home")).output().unwrap())
}

#[track_caller]
fn done(ended: Ended) -> Ended {
    assert_eq!(ended.code, 0, "{ended:?}");
    ended
}

/// All runs as their details show them, by id, without what the gate asks git for at the moment.
fn all(server: &Server) -> BTreeMap<String, Value> {
    let list = server.get("/api/runs?limit=500").expect(200);
    let runs = list["runs"].as_array().unwrap();
    runs.iter()
        .map(|run| {
            let id = run["id"].as_str().unwrap();
            (
                id.to_owned(),
                server.get(&format!("/api/runs/{id}")).expect(200),
            )
        })
        .collect()
}

/// A run with a file as evidence; the path of its payload.
fn with_payload<'a>(server: &'a Server, text: &str) -> (Run<'a>, String) {
    let run = server.finished(&format!("write proof.txt {text}"));
    let file = json!({"item_key": "review", "kind": "file", "payload_path": "proof.txt"});
    let id = run.post("/evidence", &file).expect(201)["id"].clone();
    let payload = run.path(&format!("/evidence/{}/payload", id.as_str().unwrap()));
    (run, payload)
}

fn chain_is_whole(server: &Server) {
    let doctor = server.get("/api/doctor").expect(200);
    let database = doctor["findings"].as_array().unwrap().iter();
    let found = database
        .filter(|f| f["what"] == "database")
        .collect::<Vec<_>>();
    assert_eq!(found[0]["level"], "ok", "{doctor}");
}

fn archive(server: &Setup, name: &str) -> (PathBuf, String) {
    let path = server.at(name);
    let text = path.display().to_string();
    (path, text)
}

#[test]
fn a_backup_made_while_runs_work_and_merge_brings_back_what_was_there() {
    let server = Server::start();
    let (proven, payload) = with_payload(&server, "seen with my own eyes");
    let bytes = server.get(&payload).bytes;
    let merged = server.finished("write merged.txt done");
    merged.prove();
    let working = server.run(&format!(
        "print at work\nwait-for {}",
        server.mark_path("go")
    ));
    let (_, file) = archive(&server, "backup.tar");
    let merging = server.finished("write merging.txt done");
    merging.prove();
    std::thread::scope(|scope| {
        let lands = scope.spawn(|| merging.merge().expect(200));
        done(ask(&server, None, &["backup", &file, "--with-output"]));
        lands.join().unwrap();
    });
    merged.merge().expect(200);
    let after = all(&server);
    server.mark("go");
    working.wait_for("finished");
    let output = proven.output();
    assert_eq!(server.terminate().code(), Some(0));
    fs::rename(server.at("runs.db"), server.at("lost.db")).unwrap();
    fs::rename(server.at("state"), server.at("lost-state")).unwrap();
    for left in ["runs.db-wal", "runs.db-shm"] {
        fs::remove_file(server.at(left)).ok();
    }

    let ended = done(ask(&server, None, &["restore-backup", &file]));
    assert!(ended.stdout.contains("4 runs"), "{ended:?}");
    server.start_again();
    chain_is_whole(&server);
    let back = all(&server);
    assert_eq!(
        back.keys().collect::<Vec<_>>(),
        after.keys().collect::<Vec<_>>()
    );
    assert_eq!(back[&proven.id], after[&proven.id]);
    assert_eq!(server.get(&payload).bytes, bytes);
    assert_eq!(proven.output(), output);
    // It merged after the backup; what is asked again finds it so.
    assert_eq!(back[&merged.id]["status"], "finished");
    server.leave_wrong(
        "what merged after the backup has no worktree, and its run is not merged here",
    );
    // Its supervisor's records are not in a backup.
    let ended = working.detail();
    assert_eq!(ended["failure"]["code"], "unknown", "{ended:#}");
}

#[test]
fn an_archive_that_was_cut_short_or_changed_is_refused_and_changes_nothing() {
    let server = Server::start();
    with_payload(&server, "proof");
    let (path, file) = archive(&server, "backup.tar");
    done(ask(&server, None, &["backup", &file]));
    server.terminate();
    let whole = fs::read(&path).unwrap();
    let fresh = server.at("fresh");
    let mut broken: Vec<Vec<u8>> = [0, 1, 511, 512, 4096, whole.len() / 2, whole.len() - 1]
        .iter()
        .map(|len| whole[..*len].to_vec())
        .collect();
    // One in each part of it, the ends of the file, and one byte too many.
    let places = (0..40).map(|n| n * (whole.len() - 1) / 39);
    broken.extend(places.map(|at| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    }));
    broken.push([&whole[..], b"\0"].concat());
    for (n, bytes) in broken.iter().enumerate() {
        fs::write(&path, bytes).unwrap();
        let ended = ask(&server, Some(&fresh), &["restore-backup", &file]);
        assert_eq!(ended.code, 18, "{n}: {ended:?}");
        assert!(ended.stderr.contains("nothing was changed"), "{ended:?}");
        let names: Vec<_> = fs::read_dir(&fresh)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["runs.db.lock"]);
    }
    fs::write(&path, &whole).unwrap();
    done(ask(&server, Some(&fresh), &["restore-backup", &file]));
    assert!(fresh.join("runs.db").exists());
}

#[test]
fn a_database_that_is_there_is_replaced_only_when_told_and_kept_beside() {
    let server = Server::start();
    let (first, _) = with_payload(&server, "first");
    let (_, file) = archive(&server, "backup.tar");
    done(ask(&server, None, &["backup", &file]));
    let again = ask(&server, None, &["backup", &file]);
    assert_eq!(again.code, 5, "an archive is never overwritten: {again:?}");
    let later = server.finished("write later.txt later");
    let held = ask(&server, None, &["restore-backup", &file, "--replace"]);
    assert_eq!(held.code, 17, "{held:?}");
    server.kill();
    let refused = ask(&server, None, &["restore-backup", &file]);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.stderr.contains("--replace"), "{refused:?}");

    let ended = done(ask(&server, None, &["restore-backup", &file, "--replace"]));
    let kept = ended
        .stdout
        .lines()
        .find_map(|line| line.strip_prefix("kept: "));
    let kept = PathBuf::from(kept.expect("it says where the old one is"));
    server.start_again();
    assert_eq!(
        all(&server).into_keys().collect::<Vec<_>>(),
        std::slice::from_ref(&first.id)
    );
    server.terminate();
    // The old one goes back to its place; what the crash has left in its log is in it.
    fs::rename(&kept, server.at("runs.db")).unwrap();
    server.start_again();
    assert!(all(&server).contains_key(&later.id));
}

#[test]
fn what_the_repository_lacks_is_told() {
    let server = Server::start();
    let run = server.finished("write work.txt work");
    let (_, file) = archive(&server, "backup.tar");
    done(ask(&server, None, &["backup", &file]));
    server.terminate();
    let worktree = run.worktree.to_str().unwrap();
    server
        .repo
        .git(&["worktree", "remove", "--force", worktree]);
    server.repo.git(&["branch", "-D", &run.branch]);
    let fresh = server.at("fresh");
    let ended = done(ask(&server, Some(&fresh), &["restore-backup", &file]));
    let told = format!("its branch {} is not there", run.branch);
    assert!(ended.stderr.contains(&told), "{ended:?}");
}

#[test]
fn runs_go_from_one_database_to_another_without_loss() {
    let server = Server::start();
    let (proven, payload) = with_payload(&server, "proof of it");
    let bytes = server.get(&payload).bytes;
    let workflow = json!({"prompt_template": "{{ prompt }}", "dod": [{"key": "review"}], "description": "ours"});
    server.put("/api/workflows/ours", &workflow).expect(201);
    let printed = proven.output();
    let aborted = server.finished("write a.txt changed");
    aborted.abort().expect(200);
    let merged = server.finished("write merged.txt merged");
    merged.prove();
    merged.merge().expect(200);
    merged.wait_until_gone();
    let working = server.run(&format!("wait-for {}", server.mark_path("go")));
    let (_, file) = archive(&server, "export.tar");
    let ended = done(ask(&server, None, &["export", &file]));
    let left_out = format!("left out: {}, which is running", working.id);
    assert!(ended.stdout.contains(&left_out), "{ended:?}");
    assert!(ended.stdout.contains("3 runs"), "{ended:?}");
    let mut here = all(&server);
    here.remove(&working.id);
    server.mark("go");
    working.wait_for("finished");
    let (_, later) = archive(&server, "later.tar");
    done(ask(&server, None, &["export", &later]));
    server.terminate();

    let other = server.at("other");
    let ended = done(ask(&server, Some(&other), &["import", &file]));
    assert!(ended.stdout.contains("imported: 3 runs"), "{ended:?}");
    let again = done(ask(&server, Some(&other), &["import", &file]));
    assert!(again.stdout.contains("imported: 0 runs"), "{again:?}");
    assert!(again.stdout.contains("3 were here already"), "{again:?}");

    // The export of what was imported is the same, line for line.
    let (_, back) = archive(&server, "back.tar");
    done(ask(&server, Some(&other), &["export", &back]));
    let (mut members, mut back) = (
        all_members(&server.at("export.tar")),
        all_members(&server.at("back.tar")),
    );
    // The time when it was made is in there.
    members.remove("manifest.json");
    members.remove("seal.sha256");
    back.remove("manifest.json");
    back.remove("seal.sha256");
    assert_eq!(back, members);
    let has = |name: &str| members.contains_key(name);
    assert!(has("workflows.jsonl") && has(&format!("runs/{}/attempts/1/exit.json", proven.id)));
    assert_eq!(members[&format!("runs/{}/output", proven.id)], printed);

    let more = done(ask(&server, Some(&other), &["import", &later]));
    assert!(more.stdout.contains("imported: 1 runs"), "{more:?}");
    for (from, to) in [("runs.db", "first.db"), ("state", "first-state")] {
        fs::rename(server.at(from), server.at(to)).unwrap();
        fs::rename(other.join(from), server.at(from)).unwrap();
    }
    server.start_again();
    chain_is_whole(&server);
    let mut there = all(&server);
    assert_eq!(there.remove(&working.id).unwrap()["status"], "finished");
    assert_eq!(there, here);
    assert_eq!(server.get(&payload).bytes, bytes);
    assert_eq!(proven.output(), printed);
    assert_eq!(
        server.get("/api/workflows/ours").expect(200)["description"],
        "ours"
    );
    assert_eq!(proven.status(), "finished");
}

#[test]
fn a_run_that_is_there_with_other_events_is_refused_and_nothing_is_taken_in() {
    let server = Server::start();
    let run = server.finished("write work.txt work");
    let (_, before) = archive(&server, "before.tar");
    done(ask(&server, None, &["export", &before]));
    let other = server.at("other");
    done(ask(&server, Some(&other), &["import", &before]));
    run.say("review", "said after the first export");
    let new = server.finished("write more.txt more");
    let (_, after) = archive(&server, "after.tar");
    done(ask(&server, None, &["export", &after]));
    let refused = ask(&server, Some(&other), &["import", &after]);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.stderr.contains(&run.id), "{refused:?}");
    assert!(!refused.stderr.contains(&new.id), "{refused:?}");
    let (path, file) = archive(&server, "other.tar");
    done(ask(&server, Some(&other), &["export", &file]));
    assert!(!content(&path, "events.jsonl").contains(&new.id));
    // Here more has happened to the run than the first export knows: nothing is to be done.
    server.terminate();
    let known = done(ask(&server, None, &["import", &before]));
    assert!(known.stdout.contains("1 were here already"), "{known:?}");
    // A backup is no export.
    let (_, backup) = archive(&server, "backup.tar");
    done(ask(&server, None, &["backup", &backup]));
    let kind = ask(&server, None, &["import", &backup]);
    assert_eq!(kind.code, 5, "{kind:?}");
    assert!(kind.stderr.contains("restore-backup"), "{kind:?}");
}

#[test]
fn a_payload_that_is_lost_is_told_and_the_rest_is_in_the_backup() {
    let server = Server::start();
    let (run, payload) = with_payload(&server, "soon lost");
    let evidence = run.detail()["dod_items"][0]["evidence"][0].clone();
    let sha256 = evidence["sha256"].as_str().unwrap();
    let kept = server.at("state/evidence").join(&sha256[..2]).join(sha256);
    assert_eq!(fs::read(&kept).unwrap(), server.get(&payload).bytes);
    fs::write(&kept, "something else").unwrap();
    server.leave_wrong("the payload is lost");
    let (_, file) = archive(&server, "backup.tar");
    let ended = ask(&server, None, &["backup", &file]);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stderr.contains(sha256), "{ended:?}");
    assert!(ended.stdout.contains("1 runs"), "{ended:?}");
}

/// A member of an archive, read as any tar is.
fn content(archive: &Path, member: &str) -> String {
    let mut tar = tar::Archive::new(fs::File::open(archive).unwrap());
    let found = tar
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap())
        .find(|entry| entry.path().unwrap() == Path::new(member));
    std::io::read_to_string(found.unwrap()).unwrap()
}

/// All members of an archive, by name.
fn all_members(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut tar = tar::Archive::new(fs::File::open(archive).unwrap());
    let entries = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        (entry.path().unwrap().display().to_string(), bytes)
    });
    entries.collect()
}

#[test]
fn an_export_holds_the_runs_that_were_asked_for_and_says_so_in_json() {
    let server = Server::start();
    let first = server.finished("print first");
    let second = server.run_with("print second", &json!({"kanban_app": "board"}));
    second.wait_for("finished");
    let export = |name: &str, more: &[&str]| {
        let (_, file) = archive(&server, name);
        let ended = done(ask(
            &server,
            None,
            &[&["export", &file, "--json"], more].concat(),
        ));
        serde_json::from_str::<Value>(&ended.stdout).unwrap()
    };
    let prefix = &first.id[..first.id.len() - 1];
    assert_eq!(export("1.tar", &["--run", &first.id])["runs"], 1);
    assert_eq!(export("2.tar", &["--app", "board"])["runs"], 1);
    assert_eq!(export("3.tar", &["--since", "1h"])["runs"], 2);
    assert_eq!(
        export("4.tar", &["--since", "2100-01-01T00:00:00Z"])["runs"],
        0
    );
    let without = export(
        "5.tar",
        &["--without-output", "--run", prefix, "--run", &second.id],
    );
    assert_eq!(
        (&without["runs"], &without["outputs"]),
        (&json!(2), &json!(0)),
        "{without}"
    );
    let events = content(&server.at("2.tar"), "events.jsonl");
    assert!(events.contains(&second.id) && !events.contains(&first.id));
    let none = ask(
        &server,
        None,
        &["export", "6.tar", "--run", "01934e2a-0000"],
    );
    assert_eq!(none.code, 4, "{none:?}");
    for command in ["backup", "export", "import", "restore-backup"] {
        let refused = ask(&server, Some(&server.at("other")), &[command, "-"]);
        assert_ne!(refused.code, 0, "{refused:?}");
        assert!(!server.at("home/-").exists());
    }
    let refused = ask(&server, None, &["backup", "-"]);
    assert_eq!(refused.code, 5, "{refused:?}");
    assert!(refused.stderr.contains("name a file"), "{refused:?}");
}
