//! Where a worktree is: its folder, its branch, and its git dir as seen from the repository.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::effect::{self, Effect};
use crate::git::{BranchName, Error, Head, RefName, Repository, read_head};
use crate::run::{CommitId, Cone};

/// The folder, below the root of the worktrees, for what is being deleted: on the same file system, so that
/// it is a rename.
const TRASH: &str = ".trash";

/// git's own sign that a worktree is being made: `git worktree prune` leaves it alone, and so we know that a
/// crash came in between.
pub(super) const UNFINISHED: &str = "locked";

/// What it says of one that is being made, as git's own do.
pub(super) const HALF_MADE: &[u8] = b"initializing\n";

/// How it begins for one that stands ready; at the place of a run, that its claim was not finished.
pub(super) const READY: &[u8] = b"kept ready by agent_runner_api for the next run";

/// The folder for what is being deleted, below the root of all worktrees.
#[must_use]
pub fn trash_below(root: &Path) -> PathBuf {
    root.join(TRASH)
}

/// A worktree, there or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    root: PathBuf,
    branch: BranchName,
    cone: Cone,
}

impl Place {
    /// For this branch, below the root of all worktrees (absolute, with no link in it).
    #[must_use]
    pub fn new(root: &Path, branch: &BranchName) -> Place {
        Place {
            root: root.to_owned(),
            branch: branch.clone(),
            cone: Cone::WHOLE,
        }
    }

    /// The root of all worktrees.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The same with these folders of the tree only.
    #[must_use]
    pub fn with_cone(self, cone: &Cone) -> Place {
        Place {
            cone: cone.clone(),
            ..self
        }
    }

    /// The folders that its files are of.
    #[must_use]
    pub fn cone(&self) -> &Cone {
        &self.cone
    }

    /// The folder with the files.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.root.join(self.branch.folder())
    }

    /// The branch of the run.
    #[must_use]
    pub fn branch(&self) -> &BranchName {
        &self.branch
    }

    /// The folder for what is being deleted.
    #[must_use]
    pub fn trash(&self) -> PathBuf {
        trash_below(&self.root)
    }

    /// A path in the trash that nothing has.
    pub(super) fn trash_slot(&self) -> Result<PathBuf, Error> {
        let trash = self.trash();
        std::fs::create_dir_all(&trash).map_err(Error::io("create", &trash))?;
        Ok(trash.join(uuid::Uuid::now_v7().simple().to_string()))
    }

    /// Its git dir in the repository. From the path alone, so that no file has to be believed for it.
    pub(super) fn admin(&self, repo: &Repository) -> PathBuf {
        let hash = Sha256::digest(self.path().as_os_str().as_bytes());
        let short: String = hash
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let id = format!("{}.{short}", self.branch.folder());
        repo.common_dir().join("worktrees").join(id)
    }

    /// Whether its files are there: a folder, and not a link to one.
    pub(super) fn is_there(&self) -> bool {
        self.path()
            .symlink_metadata()
            .is_ok_and(|meta| meta.is_dir())
    }

    /// Registers it: the git dir that git finds from the folder, unfinished until [`Place::finish`].
    pub(super) fn register(&self, repo: &Repository) -> Result<(), Error> {
        let (admin, path) = (self.admin(repo), self.path());
        std::fs::create_dir_all(&admin).map_err(Error::io("create", &admin))?;
        self.begin(repo)?;
        std::fs::create_dir_all(&path).map_err(Error::io("create", &path))?;
        self.connect(repo)?;
        self.put_on_branch(repo)
    }

    /// Marks it as not whole yet.
    pub(super) fn begin(&self, repo: &Repository) -> Result<(), Error> {
        write(&self.admin(repo).join(UNFINISHED), HALF_MADE)
    }

    /// Marks it as whole.
    pub(super) fn finish(&self, repo: &Repository) -> Result<(), Error> {
        Place::finish_at(&self.admin(repo))
    }

    /// The same, by its git dir.
    pub(super) fn finish_at(admin: &Path) -> Result<(), Error> {
        let mark = admin.join(UNFINISHED);
        std::fs::remove_file(&mark).map_err(Error::io("remove", mark))
    }

    /// Whether a crash came while it was made.
    pub(super) fn is_unfinished(&self, repo: &Repository) -> bool {
        std::fs::read(self.admin(repo).join(UNFINISHED))
            .is_ok_and(|text| text.starts_with(READY) || text.starts_with(b"initializing"))
    }

    /// The three files that lead from the folder to the git dir, to the common dir, and back. What an agent
    /// made of them is replaced, but for a whole repository of its own (`.git` is a folder): that is work.
    pub(super) fn connect(&self, repo: &Repository) -> Result<(), Error> {
        let admin = self.admin(repo);
        if admin.is_symlink() {
            // It would lead what we write to another place.
            std::fs::remove_file(&admin).map_err(Error::io("remove", &admin))?;
        }
        std::fs::create_dir_all(&admin).map_err(Error::io("create", &admin))?;
        let dot_git = self.path().join(".git");
        write(&admin.join("commondir"), b"../..\n")?;
        write(&admin.join("gitdir"), &Place::to_folder(&self.path()))?;
        if dot_git.symlink_metadata().is_ok_and(|meta| meta.is_dir()) {
            return Ok(());
        }
        write(&dot_git, &Place::to_admin(&admin))
    }

    /// What the file `gitdir` of a worktree in this folder says.
    pub(super) fn to_folder(path: &Path) -> Vec<u8> {
        line(&[path.join(".git").as_os_str()])
    }

    /// What the file `.git` of a worktree with this git dir says.
    pub(super) fn to_admin(admin: &Path) -> Vec<u8> {
        line(&[OsStr::new("gitdir: "), admin.as_os_str()])
    }

    /// Takes away the locks of gits that were ended in the middle: those that only work in this place takes.
    pub(super) fn break_locks(&self, repo: &Repository) -> Result<(), Error> {
        let admin = self.admin(repo);
        let branch = format!("{}.lock", self.branch.to_ref());
        for lock in [
            admin.join("index.lock"),
            admin.join("HEAD.lock"),
            repo.common_dir().join(branch),
        ] {
            match std::fs::remove_file(&lock) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::io("remove", lock)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The commit that its HEAD is at, which need not be the branch's.
    pub(super) async fn standing(&self, repo: &Repository) -> Result<Option<CommitId>, Error> {
        match read_head(&self.admin(repo)) {
            Head::On(name) => {
                let branch = name.strip_prefix("refs/heads/").map(RefName::branch);
                match branch {
                    Some(Ok(branch)) => repo.resolve(&branch).await,
                    _ => Ok(None),
                }
            }
            Head::Detached(commit) => Ok(repo.has_commit(&commit).await?.then_some(commit)),
            Head::Unknown => Ok(None),
        }
    }

    /// HEAD is on the run's branch.
    pub(super) fn put_on_branch(&self, repo: &Repository) -> Result<(), Error> {
        write(&self.admin(repo).join("HEAD"), &self.head())
    }

    /// What the file `HEAD` says on the run's branch.
    pub(super) fn head(&self) -> Vec<u8> {
        format!("ref: {}\n", self.branch.to_ref()).into_bytes()
    }
}

fn line(parts: &[&OsStr]) -> Vec<u8> {
    let mut bytes: Vec<u8> = parts
        .iter()
        .flat_map(|part| part.as_bytes())
        .copied()
        .collect();
    bytes.push(b'\n');
    bytes
}

/// Writes a file in one step; a link in its place is replaced and not followed.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let is_file = path.symlink_metadata().is_ok_and(|meta| meta.is_file());
    if is_file && std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    effect::begins(Effect::PlaceWrite)?;
    let name = uuid::Uuid::now_v7().simple().to_string();
    let aside = path.with_file_name(format!(".new-{name}"));
    // Synced: git takes an empty HEAD or index for a damaged repository, and that is what a power cut would leave.
    let written = std::fs::File::create_new(&aside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .map_err(Error::io("write", &aside))
        .and_then(|()| std::fs::rename(&aside, path).map_err(Error::io("rename to", path)));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = std::fs::remove_file(&aside);
    }
    written
}
