//! Files of the base's checkout that a killed git was writing, when the whole service ended with it.

use std::fs;
use std::os::unix::ffi::OsStrExt;

use agent_runner_api::merge::{self, Candidate};

use super::candidates::make;
use super::landing::{master, read};
use super::scene::{Scene, git};

const WHOLE: &str = "changed\nby the run\n";

/// A candidate that changes two files and makes two, and the base moved to it, with its checkout as it was.
async fn moved() -> (Scene, Candidate) {
    let scene = Scene::new().await;
    let run = scene.run("torn").await;
    run.write("a.txt", WHOLE);
    run.write("new", WHOLE);
    run.write("folder-new", WHOLE);
    let head = run.commit("b.txt", WHOLE);
    let made = make(&scene.repo, &run.start, &head).await;
    let update = ["update-ref", "refs/heads/master", made.commit.as_str()];
    git(&scene.root, &update);
    (scene, made)
}

/// What bringing a checkout along writes down before git begins.
fn note(scene: &Scene, made: &Candidate) {
    let admin = scene.repo.common_dir().as_os_str().as_bytes();
    let mut bytes = Vec::new();
    let (onto, commit) = (
        made.onto.as_str().as_bytes(),
        made.commit.as_str().as_bytes(),
    );
    let paths: [&[u8]; 4] = [b"a.txt", b"b.txt", b"folder-new", b"new"];
    for field in [&[admin, onto, commit][..], &paths].concat() {
        bytes.extend_from_slice(field);
        bytes.push(0);
    }
    fs::write(scene.folder().join("view/exchanging-test"), bytes).unwrap();
}

async fn bring(scene: &Scene, made: &Candidate) -> Option<merge::Blocked> {
    let told = merge::bring_along(&scene.repo, &master(), &made.onto, &made.commit).await;
    told.unwrap().remove(0).1
}

fn notes(scene: &Scene) -> usize {
    let view = fs::read_dir(scene.folder().join("view")).unwrap();
    let names = view.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("exchanging-")).count()
}

/// What it is for was seen red by `faults::killed_git` (`read-tree`), before there was `merge/torn.rs`.
#[tokio::test]
async fn files_that_a_killed_git_was_writing_are_written_anew() {
    let (scene, made) = moved().await;
    note(&scene, &made);
    // Taken away and not made again; made and not written; half written; not come to.
    fs::remove_file(scene.root.join("a.txt")).unwrap();
    fs::write(scene.root.join("new"), "").unwrap();
    fs::write(scene.root.join("folder-new"), "changed\nby").unwrap();
    assert_eq!(bring(&scene, &made).await, None);
    for name in ["a.txt", "b.txt", "new", "folder-new"] {
        assert_eq!(read(&scene.root, name).as_deref(), Some(WHOLE), "{name}");
    }
    assert_eq!(git(&scene.root, &["status", "--porcelain"]), "");
    assert_eq!(notes(&scene), 0);
}

/// Seen red: with every file written anew, whatever is in it, the owner's words are gone.
#[tokio::test]
async fn what_an_owner_wrote_since_is_not_taken_for_torn() {
    let (scene, made) = moved().await;
    note(&scene, &made);
    fs::remove_file(scene.root.join("a.txt")).unwrap();
    fs::write(scene.root.join("b.txt"), "mine\n").unwrap();
    fs::write(scene.root.join("new"), format!("{WHOLE}and mine\n")).unwrap();
    fs::create_dir(scene.root.join("folder-new")).unwrap();
    fs::write(scene.root.join("folder-new/file"), "mine\n").unwrap();
    let dirty = ["b.txt", "folder-new/file", "new"].map(str::to_owned);
    assert_eq!(
        bring(&scene, &made).await,
        Some(merge::Blocked::Dirty(dirty.to_vec()))
    );
    assert_eq!(read(&scene.root, "a.txt").as_deref(), Some(WHOLE));
    assert_eq!(read(&scene.root, "b.txt").as_deref(), Some("mine\n"));
    assert_eq!(read(&scene.root, "new"), Some(format!("{WHOLE}and mine\n")));
    assert_eq!(
        read(&scene.root, "folder-new/file").as_deref(),
        Some("mine\n")
    );
}

/// Seen red: in the same way, with the notes left out of the judgement.
#[tokio::test]
async fn a_beginning_of_a_file_that_no_git_of_ours_was_at_is_the_owners() {
    let (scene, made) = moved().await;
    fs::write(scene.root.join("b.txt"), "changed\n").unwrap();
    fs::write(scene.root.join("new"), "").unwrap();
    let dirty = ["b.txt", "new"].map(str::to_owned);
    assert_eq!(
        bring(&scene, &made).await,
        Some(merge::Blocked::Dirty(dirty.to_vec()))
    );
    assert_eq!(read(&scene.root, "b.txt").as_deref(), Some("changed\n"));
    assert_eq!(read(&scene.root, "new").as_deref(), Some(""));
}
