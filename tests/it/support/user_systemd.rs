//! A systemd of its own, as a user has one: real, but in namespaces, a cgroup and a folder that nobody else is in.
//!
//! Needs root, a cgroup2 to write to, and the programs of systemd, D-Bus and util-linux. Where one is missing, the test is
//! skipped by name. Its cgroups are below one of the test's, and are ended with it; the machine's mounts stay as they are.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use agent_runner_api::process::{Containment, Wanted};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::wait::until;

const SYSTEMD: &str = "/lib/systemd/systemd";
const DBUS: &str = "/usr/bin/dbus-daemon";
const UNSHARE: &str = "/usr/bin/unshare";

/// What systemd sees: a machine with cgroup2 alone, booted by systemd, and three units.
const BRING_UP: &str = r#"echo $$ > "$CGROUP/cgroup.procs" && exec /usr/bin/unshare --mount --cgroup --propagation private \
    /bin/sh -c 'mount -t cgroup2 none /sys/fs/cgroup && mount -t tmpfs none /run && mkdir -p /run/systemd/system &&
    exec /lib/systemd/systemd --user'"#;

const UNITS: [(&str, &str); 3] = [
    (
        "default.target",
        "[Unit]\nDescription=nothing else\nWants=dbus.socket dbus.service\n",
    ),
    ("dbus.socket", "[Socket]\nListenStream=%t/bus\n"),
    (
        "dbus.service",
        "[Unit]\nRequires=dbus.socket\n[Service]\nType=notify\nExecStart=/usr/bin/dbus-daemon --session --address=systemd: --nofork --nopidfile --systemd-activation\n",
    ),
];

/// A systemd that answers on its bus until this is dropped.
pub struct UserSystemd {
    folder: TempDir,
    cgroup: PathBuf,
    child: Child,
}

impl UserSystemd {
    /// Starts one, or says why the test is skipped.
    pub fn start(test: &str) -> Option<UserSystemd> {
        match UserSystemd::try_start() {
            Ok(systemd) => Some(systemd),
            Err(why) => {
                eprintln!("skipped: {test}: {why}");
                None
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "systemd is started here")]
    fn try_start() -> Result<UserSystemd, String> {
        if !rustix::process::geteuid().is_root() {
            return Err("namespaces need root".to_owned());
        }
        for program in [SYSTEMD, DBUS, UNSHARE] {
            if !Path::new(program).exists() {
                return Err(format!("there is no {program}"));
            }
        }
        let mounted = cgroup2().ok_or("cgroup2 is not mounted")?;
        let cgroup = mounted.join(format!("agent_runner_test-{}", uuid::Uuid::now_v7()));
        fs::create_dir(&cgroup).map_err(|e| format!("{}: {e}", cgroup.display()))?;
        let folder = tempfile::tempdir().unwrap();
        for name in ["units", "home"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        for (name, text) in UNITS {
            fs::write(folder.path().join("units").join(name), text).unwrap();
        }
        let log = fs::File::create(folder.path().join("log")).unwrap();
        let child = Command::new("/bin/sh")
            .args(["-c", BRING_UP])
            .env_clear()
            .env("CGROUP", &cgroup)
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", folder.path().join("home"))
            .env("XDG_RUNTIME_DIR", folder.path())
            .env("SYSTEMD_UNIT_PATH", folder.path().join("units"))
            .env("SYSTEMD_LOG_TARGET", "console")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let systemd = UserSystemd {
            folder,
            cgroup,
            child,
        };
        let init = systemd.cgroup.join("init.scope");
        until("systemd is up", || {
            let log = fs::read_to_string(systemd.folder.path().join("log")).unwrap();
            assert!(
                !log.to_lowercase().contains("error"),
                "systemd does not start: {log}"
            );
            init.exists() && systemd.folder.path().join("bus").exists()
        });
        let bus = systemd.bus();
        until("systemd answers on its bus", || answers(&bus));
        Ok(systemd)
    }

    /// The address of its bus.
    pub fn bus(&self) -> String {
        format!("unix:path={}", self.folder.path().join("bus").display())
    }

    /// A cgroup below its own.
    pub fn cgroup(&self, inside: &str) -> PathBuf {
        self.cgroup.join(inside)
    }

    /// Sends a signal to systemd itself.
    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for UserSystemd {
    fn drop(&mut self) {
        // Systemd, its bus, and whatever was put below it.
        let _gone = fs::write(self.cgroup.join("cgroup.kill"), "1");
        let _ended = self.child.wait();
        let events = self.cgroup.join("cgroup.events");
        until("its cgroup is empty", || {
            fs::read_to_string(&events).is_ok_and(|text| text.contains("populated 0"))
        });
        remove(&self.cgroup).unwrap();
    }
}

/// Whether systemd can be asked. From a thread of its own: tests may be in a runtime already.
fn answers(bus: &str) -> bool {
    let bus = bus.to_owned();
    let asked = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(Containment::find(Wanted::Systemd, Some(&bus)))
    });
    asked.join().unwrap().is_ok()
}

fn remove(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

/// Where the whole of cgroup2 is mounted.
fn cgroup2() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut fields = mounts.lines().map(|line| line.split(' '));
    fields.find_map(|mut fields| {
        let (point, kind) = (fields.nth(1)?, fields.next()?);
        (kind == "cgroup2").then(|| point.into())
    })
}
