use std::fs::{create_dir_all, hard_link, set_permissions, write};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

const NATIVE: &[u8] = b"\x7fELF and the rest";
const PLACEHOLDER: &[u8] = b"echo \"Error: claude native binary not installed.\" >&2\nexit 1\n";

/// An npm prefix with Claude Code's package in it, on PATH as `bin/claude`.
struct Prefix(tempfile::TempDir);

impl Prefix {
    fn new(entry: &[u8]) -> Self {
        let prefix = Prefix(tempfile::tempdir().unwrap());
        prefix.program(
            "node_modules/@anthropic-ai/claude-code/bin/claude.exe",
            entry,
        );
        create_dir_all(prefix.0.path().join("bin")).unwrap();
        let link = prefix.0.path().join("bin/claude");
        symlink(
            "../node_modules/@anthropic-ai/claude-code/bin/claude.exe",
            link,
        )
        .unwrap();
        prefix
    }

    fn program(&self, path: &str, content: &[u8]) -> PathBuf {
        let file = self.0.path().canonicalize().unwrap().join(path);
        create_dir_all(file.parent().unwrap()).unwrap();
        write(&file, content).unwrap();
        set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        file
    }

    fn located(&self) -> Result<Program, NotLocated> {
        locate(&format!(
            "relative:/nowhere:{}",
            self.0.path().join("bin").display()
        ))
    }
}

fn native_package() -> String {
    format!("node_modules/@anthropic-ai/{}/claude", PLATFORM_PACKAGES[0])
}

#[test]
fn the_end_of_the_link_is_the_program_where_it_is_native() {
    let prefix = Prefix::new(NATIVE);
    let program = prefix.located().unwrap();
    assert!(
        program
            .path
            .ends_with("node_modules/@anthropic-ai/claude-code/bin/claude.exe")
    );
    assert_eq!(program.form, Form::Native);
    assert_eq!(program.found, prefix.0.path().join("bin/claude"));
}

#[test]
fn a_placeholder_is_passed_over_for_the_native_program_beside_or_inside_its_package() {
    let beside = Prefix::new(PLACEHOLDER);
    let native = beside.program(&native_package(), NATIVE);
    assert_eq!(Path::new(&beside.located().unwrap().path), native);

    let inside = Prefix::new(PLACEHOLDER);
    let nested = format!(
        "node_modules/@anthropic-ai/claude-code/{}",
        native_package()
    );
    let native = inside.program(&nested, NATIVE);
    assert_eq!(Path::new(&inside.located().unwrap().path), native);
}

#[test]
fn a_wrapper_whose_native_program_is_missing_is_refused_by_name() {
    for wrapper in [PLACEHOLDER, b"#!/usr/bin/env node\n"] {
        let prefix = Prefix::new(wrapper);
        let refused = prefix.located().unwrap_err();
        assert!(
            matches!(refused, NotLocated::OnlyWrapper { .. }),
            "{refused}"
        );
        let words = refused.to_string();
        assert!(
            words.contains(PLATFORM_PACKAGES[0]) && words.contains("bin/claude"),
            "{words}"
        );
    }
}

#[test]
fn a_persons_own_script_is_started_as_it_is_and_known_as_one() {
    let prefix = Prefix(tempfile::tempdir().unwrap());
    let script = prefix.program("bin/claude", b"#!/bin/sh\nexec something-else\n");
    let program = prefix.located().unwrap();
    assert_eq!(Path::new(&program.path), script);
    assert_eq!(program.form, Form::Script);
}

#[test]
fn what_is_not_executable_or_not_there_is_not_on_path() {
    let prefix = Prefix(tempfile::tempdir().unwrap());
    let file = prefix.program("bin/claude", NATIVE);
    set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(prefix.located(), Err(NotLocated::NotOnPath));
    assert_eq!(locate(""), Err(NotLocated::NotOnPath));
}

#[test]
fn a_hard_link_is_as_good_as_the_program() {
    let prefix = Prefix::new(PLACEHOLDER);
    let native = prefix.program(&native_package(), NATIVE);
    let link = prefix.0.path().join("bin/claude");
    std::fs::remove_file(&link).unwrap();
    hard_link(native, &link).unwrap();
    assert_eq!(prefix.located().unwrap().form, Form::Native);
}
