//! Merges that are signed by an SSH key.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::mount::skip;
use crate::support::server::{Server, Setup};

/// A key of its own and who may sign with it; nothing if the machine has no `ssh-keygen`, which is told.
fn key(setup: &Setup, name: &str, passphrase: &str) -> Option<(PathBuf, PathBuf)> {
    let key = setup.at(name);
    let made = ssh_keygen(
        &["-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f"],
        &key,
    );
    if !made {
        skip("no ssh-keygen");
        return None;
    }
    let public = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let allowed = setup.at(&format!("{name}-signers"));
    std::fs::write(&allowed, format!("runner@localhost {public}")).unwrap();
    Some((key, allowed))
}

#[expect(clippy::disallowed_methods, reason = "the user makes a key")]
fn ssh_keygen(arguments: &[&str], file: &Path) -> bool {
    let made = Command::new("ssh-keygen")
        .args(arguments)
        .arg(file)
        .status();
    made.is_ok_and(|status| status.success())
}

/// What `verify` says of the signature.
fn verified(server: &Server, commit: &str, allowed: &Path) -> (i32, Value) {
    let allowed = format!("--allowed-signers={}", allowed.display());
    let ended = crate::cli::verify::ask(server, &["verify", commit, "--json", &allowed]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let lines = report["lines"].as_array().unwrap().clone();
    let mut lines = lines.into_iter();
    let line = lines.find(|line| line["what"] == "signature").unwrap();
    (ended.code, line)
}

#[test]
fn a_signed_merge_is_known_by_those_who_may_sign() {
    let setup = Setup::new();
    let Some((ours, allowed)) = key(&setup, "ours", "") else {
        return;
    };
    let (_, others) = key(&setup, "theirs", "").unwrap();
    let server = setup.flag("--sign-key", ours.to_str().unwrap()).start();
    let run = server.finished("write work.txt done");
    run.prove();
    let commit = run.merge().expect(200)["commit"]
        .as_str()
        .unwrap()
        .to_owned();
    // The note is there then.
    run.wait_until_gone();
    let raw = server.repo.git(&["cat-file", "commit", &commit]);
    assert!(raw.contains("-----BEGIN SSH SIGNATURE-----"), "{raw}");
    // What is not to land is not signed.
    let head = server
        .repo
        .git(&["cat-file", "commit", &format!("{commit}^2")]);
    assert!(!head.contains("SIGNATURE"), "{head}");

    let (code, line) = verified(&server, &commit, &allowed);
    assert_eq!((code, &line["status"]), (0, &"ok".into()), "{line}");
    let detail = line["detail"].as_str().unwrap();
    assert!(detail.contains("runner@localhost"), "{detail}");
    let (code, line) = verified(&server, &commit, &others);
    assert_eq!((code, &line["status"]), (20, &"failed".into()), "{line}");
    server.check_world();
}

#[test]
fn an_unsigned_merge_is_not_taken_for_a_signed_one() {
    let setup = Setup::new();
    let Some((_, allowed)) = key(&setup, "ours", "") else {
        return;
    };
    let server = setup.start();
    let run = server.finished("write work.txt done");
    run.prove();
    let commit = run.merge().expect(200)["commit"]
        .as_str()
        .unwrap()
        .to_owned();
    let (code, line) = verified(&server, &commit, &allowed);
    assert_eq!(
        (code, &line["detail"]),
        (20, &"the commit is not signed".into())
    );
}

/// With a passphrase and nobody to type it, it ends at once and does not wait.
#[test]
fn a_key_that_cannot_sign_is_refused_at_the_start() {
    let setup = Setup::new();
    let Some((locked, _)) = key(&setup, "locked", "a passphrase") else {
        return;
    };
    let absent = setup.at("absent");
    let no_key = setup.at("no-key");
    std::fs::write(&no_key, "not a key\n").unwrap();
    for (key, said) in [
        (&locked, "does not sign"),
        (&absent, "cannot be read"),
        (&no_key, "does not sign"),
    ] {
        let key = format!("--sign-key={}", key.display());
        let ended = setup.command().arg(key).output().unwrap();
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(16), "{stderr}");
        assert!(stderr.contains(said), "{stderr}");
    }
    // git without ssh-keygen beside it.
    let git = ["/usr/local/bin/git", "/usr/bin/git"].map(Path::new);
    let git = git.into_iter().find(|git| git.exists()).unwrap();
    std::os::unix::fs::symlink(git, setup.at("bin/git")).unwrap();
    let key = format!("--sign-key={}", locked.display());
    let mut command = setup.command();
    command.arg(key).env("PATH", setup.at("bin"));
    let ended = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(16), "{stderr}");
    assert!(stderr.contains("ssh-keygen was not found"), "{stderr}");
}
