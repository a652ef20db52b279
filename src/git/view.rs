//! A git dir of our own that shows a repository without what an agent may have written into it.
//!
//! ```text
//! <view>/HEAD                 a ref that never exists
//! <view>/config               ours: format, and the few settings below
//! <view>/objects        ->    the repository's
//! <view>/refs, packed-refs -> the repository's (git locks and renames what the link points to)
//! <view>/logs, shallow  ->    the repository's, where there are any
//! <view>/info/{exclude,attributes} -> the repository's: patterns and names; the drivers they name do not exist here
//! ```
//!
//! So hooks, filters, merge and diff drivers, fsmonitor, gpg, aliases, includes and `config.worktree` of the
//! repository are not *overridden* for our calls, they are not there. It is the layout of git's own
//! `contrib/workdir/git-new-workdir`. It holds nothing of its own and is made again at each start.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::call::{Call, LONG};
use super::error::Error;
use super::program::Program;

/// What of the repository's own settings says how its files are meant. None of them names a program.
const KEPT: &[&str] = &[
    "core.repositoryformatversion",
    "extensions.objectformat",
    "core.filemode",
    "core.symlinks",
    "core.ignorecase",
    "core.precomposeunicode",
    "core.autocrlf",
    "core.eol",
];

/// What the repository's configuration says, as far as we listen to it.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) bare: bool,
    pub(super) work_tree: Option<PathBuf>,
    kept: Vec<(String, String)>,
    /// The kind of repository that we cannot work on, if it is one.
    pub(super) unsupported: Option<&'static str>,
}

impl Settings {
    pub(super) async fn load(program: &Program, common_dir: &Path) -> Result<Settings, Error> {
        let file = common_dir.join("config");
        let output = Call::bare(program.path(), "config")
            .arg("--file")
            .arg(&file)
            .args(["--no-includes", "--list", "-z"])
            .run()
            .await?;
        let mut settings = Settings {
            bare: false,
            work_tree: None,
            kept: Vec::new(),
            unsupported: None,
        };
        for field in output.fields() {
            let mut parts = field.splitn(2, |byte| *byte == b'\n');
            let key = String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
            // A key without `=` means true.
            let value = parts.next().unwrap_or(b"true");
            let text = String::from_utf8_lossy(value).into_owned();
            match key.as_str() {
                "core.bare" => {
                    settings.bare = !matches!(text.as_str(), "false" | "no" | "off" | "0" | "")
                }
                "core.worktree" => {
                    let path = Path::new(std::ffi::OsStr::from_bytes(value));
                    settings.work_tree = Some(common_dir.join(path));
                }
                "extensions.refstorage" if text != "files" => {
                    settings.unsupported = Some("its refs are not stored as files (reftable)");
                }
                "extensions.partialclone" => {
                    settings.unsupported = Some("it is a partial clone, which lacks objects");
                }
                key if KEPT.contains(&key) => settings.kept.push((key.to_owned(), text)),
                _ => {}
            }
        }
        Ok(settings)
    }

    /// A configuration that says how the repository's files are meant, and nothing more.
    pub(super) fn of_files(&self, bare: bool) -> String {
        let mut config = format!("[core]\n\tbare = {bare}\n");
        for (key, value) in &self.kept {
            if let Some((section, name)) = key.split_once('.') {
                let value = value
                    .replace('\\', "\\\\")
                    .replace('"', "\\\"")
                    .replace('\n', " ");
                config.push_str(&format!("[{section}]\n\t{name} = \"{value}\"\n"));
            }
        }
        config
    }
}

/// Makes the view of `common_dir` in the folder `view`, or brings it up to date.
pub(super) fn make(view: &Path, common_dir: &Path, settings: &Settings) -> Result<(), Error> {
    let info = view.join("info");
    std::fs::create_dir_all(&info).map_err(Error::io("create", &info))?;
    link(&common_dir.join("objects"), &view.join("objects"))?;
    link(&common_dir.join("refs"), &view.join("refs"))?;
    link(&common_dir.join("packed-refs"), &view.join("packed-refs"))?;
    link(&common_dir.join("info/exclude"), &info.join("exclude"))?;
    link(
        &common_dir.join("info/attributes"),
        &info.join("attributes"),
    )?;
    for optional in ["logs", "shallow"] {
        let target = common_dir.join(optional);
        if target.exists() {
            link(&target, &view.join(optional))?;
        }
    }
    let log = if common_dir.join("logs").is_dir() {
        "true"
    } else {
        "false"
    };
    let config = format!(
        "{}[core]\n\tlogAllRefUpdates = {log}\n",
        settings.of_files(true)
    );
    sweep(view);
    replace(&view.join("config"), &config)?;
    replace(&view.join("HEAD"), "ref: refs/agent_runner/none\n")
}

/// What a file of ours is called that lives as long as one operation.
pub(super) const SCRATCH: &str = "scratch-";

/// Takes away such files of lives that were cut short; none that another server may be using now.
fn sweep(view: &Path) {
    for entry in std::fs::read_dir(view).into_iter().flatten().flatten() {
        let ours = entry.file_name().as_bytes().starts_with(SCRATCH.as_bytes());
        let modified = entry.metadata().and_then(|meta| meta.modified());
        let age = modified.ok().and_then(|time| time.elapsed().ok());
        if ours && age.is_some_and(|age| age > 2 * LONG) {
            // A file too much does no harm. Some are folders.
            let _ = std::fs::remove_file(entry.path());
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// The symbolic link `at` to `target`, exchanged in one step if it was another.
fn link(target: &Path, at: &Path) -> Result<(), Error> {
    if std::fs::read_link(at).is_ok_and(|old| old == target) {
        return Ok(());
    }
    let aside = aside(at);
    symlink(target, &aside).map_err(Error::io("link", &aside))?;
    std::fs::rename(&aside, at).map_err(Error::io("rename to", at))
}

fn replace(at: &Path, text: &str) -> Result<(), Error> {
    let aside = aside(at);
    std::fs::write(&aside, text).map_err(Error::io("write", &aside))?;
    std::fs::rename(&aside, at).map_err(Error::io("rename to", at))
}

/// A name beside `at` that nobody else uses.
fn aside(at: &Path) -> PathBuf {
    at.with_extension(uuid::Uuid::now_v7().simple().to_string())
}
