//! What every call of git is given, each with its reason.
//!
//! The [`view`](super::view) already shows no configuration of the repository; this holds git's own defaults
//! down as well, and would still hold if a setting slipped into the view.

/// The environment of every call; nothing else is inherited. `HOME` and `XDG_*` are absent, so that no file
/// of the user is read.
pub(super) const ENVIRONMENT: &[(&str, &str)] = &[
    // Messages and formats do not follow the machine's language.
    ("LC_ALL", "C"),
    // Neither the system's nor the user's configuration or attributes: they name programs.
    ("GIT_CONFIG_NOSYSTEM", "1"),
    ("GIT_CONFIG_GLOBAL", "/dev/null"),
    ("GIT_ATTR_NOSYSTEM", "1"),
    // Never wait for a person.
    ("GIT_TERMINAL_PROMPT", "0"),
    ("GIT_ASKPASS", "/bin/false"),
    ("GIT_EDITOR", "/bin/false"),
    ("GIT_PAGER", "cat"),
    ("GIT_ADVICE", "0"),
    // A read does not take locks that the user's own git would stumble over.
    ("GIT_OPTIONAL_LOCKS", "0"),
    // `refs/replace/*` would make history look other than it is.
    ("GIT_NO_REPLACE_OBJECTS", "1"),
    // Missing objects are an error, never a fetch.
    ("GIT_NO_LAZY_FETCH", "1"),
    // Paths are names, never patterns.
    ("GIT_LITERAL_PATHSPECS", "1"),
];

/// Configuration pinned on the command line of every call, above whatever a file says.
pub(super) const SETTINGS: &[&str] = &[
    // No hook runs.
    "core.hooksPath=/dev/null",
    // No file system monitor is asked, which is a program.
    "core.fsmonitor=false",
    // An index cannot hide files by a list of what was there once.
    "core.untrackedCache=false",
    "core.ignoreStat=false",
    // A checkout is whole, unless a call says that it is not (`git/sparse.rs`).
    "core.sparseCheckout=false",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    // Housekeeping is the user's: nothing goes on in the background after a call.
    "gc.auto=0",
    "maintenance.auto=false",
    "core.pager=cat",
    "core.attributesFile=/dev/null",
    "core.excludesFile=/dev/null",
    // No transport at all, but the one of a push (`git/remote.rs`).
    "protocol.allow=never",
    "submodule.recurse=false",
    "diff.ignoreSubmodules=all",
    // An embedded bare repository is not looked into.
    "safe.bareRepository=explicit",
    // The user's own git may hold a ref for a moment.
    "core.filesRefLockTimeout=3000",
    "core.packedRefsTimeout=5000",
    // What is written is on disk before the call returns.
    "core.fsync=all",
];
