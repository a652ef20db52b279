//! The real server on folders of its own, with the scripted agent for its `claude`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::ops::Deref;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, RwLock};

use agent_runner_api::process::{Started, end_cgroup, sweep_marked};
use agent_runner_api::run::RunId;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::client::{Answer, Client};
use super::fake_agent::{fake_agent, prompt};
use super::frames::Frames;
use super::repo::Repo;
use super::run::Run;
use super::wait::{PATIENCE, until};

/// A server before its start: its folders, its repository, its flags.
pub struct Setup {
    folder: TempDir,
    pub repo: Repo,
    program: PathBuf,
    flags: BTreeMap<String, String>,
    variables: RwLock<BTreeMap<String, String>>,
}

impl Setup {
    pub fn new() -> Setup {
        Setup::in_folder(tempfile::tempdir().unwrap())
    }

    /// In a folder of this one: a file system of its own.
    pub fn below(folder: &Path) -> Setup {
        Setup::in_folder(TempDir::new_in(folder).unwrap())
    }

    fn in_folder(folder: TempDir) -> Setup {
        let repo = Repo::at(&folder.path().join("repository"));
        for name in ["bin", "home", "marks"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        symlink(fake_agent(), folder.path().join("bin/claude")).unwrap();
        let own_config = "[user]\n\tname = An Agent\n\temail = agent@localhost\n";
        fs::write(folder.path().join("home/.gitconfig"), own_config).unwrap();
        let setup = Setup {
            repo,
            program: env!("CARGO_BIN_EXE_agent_runner_api").into(),
            flags: BTreeMap::new(),
            variables: RwLock::default(),
            folder,
        };
        let at = |name: &str| setup.at(name).display().to_string();
        let flags = [
            ("--port", "0".to_owned()),
            // The default depends on the memory that the machine has left.
            ("--max-running", "24".to_owned()),
            // Machines have more or less room than the default asks for.
            ("--disk-floor-bytes", "0".to_owned()),
            ("--db", at("runs.db")),
            ("--repo-root", at("repository")),
            ("--worktrees-root", at("worktrees")),
            ("--state-root", at("state")),
        ];
        flags
            .iter()
            .fold(setup, |setup, (name, value)| setup.flag(name, value))
            // What is made in the background is in the way of those who count.
            .with_pool("0")
    }

    pub fn flag(mut self, name: &str, value: &str) -> Setup {
        self.flags.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn variable(self, name: &str, value: &str) -> Setup {
        self.set_variable(name, value);
        self
    }

    /// From the next start on.
    pub fn set_variable(&self, name: &str, value: &str) {
        let mut variables = self.variables.write().unwrap();
        variables.insert(name.to_owned(), value.to_owned());
    }

    /// What is started instead of the program itself: a copy of it, or something that comes to it.
    pub fn program(mut self, path: &Path) -> Setup {
        path.clone_into(&mut self.program);
        self
    }

    /// On a port that stays the same at each start and that the system gives to nobody else: below those that it chooses
    /// from.
    pub fn on_a_port_of_its_own(self) -> Setup {
        let first = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
        let free =
            (first..32_000).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok());
        self.flag("--port", &free.expect("a free port").to_string())
    }

    /// With so many worktrees ready, or `adaptive`.
    pub fn with_pool(self, size: &str) -> Setup {
        self.set_pool(size);
        self
    }

    /// The same from the next start on.
    pub fn set_pool(&self, size: &str) {
        self.set_variable("AGENT_RUNNER_POOL", size);
    }

    pub fn without_claude(self) -> Setup {
        fs::remove_file(self.at("bin/claude")).unwrap();
        self
    }

    /// A path in the folder of this server.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command that starts it.
    #[expect(
        clippy::disallowed_methods,
        reason = "the program under test is started here"
    )]
    pub fn command(&self) -> Command {
        let path = format!("{}:/usr/local/bin:/usr/bin:/bin", self.at("bin").display());
        let mut command = Command::new(&self.program);
        command
            .args(
                self.flags
                    .iter()
                    .map(|(name, value)| format!("{name}={value}")),
            )
            .env_clear()
            .env("HOME", self.at("home"))
            .env("PATH", path)
            .env("LANG", "C.UTF-8")
            .envs(&*self.variables.read().unwrap())
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        command
    }

    #[track_caller]
    pub fn start(self) -> Server {
        let (child, url) = self.launch();
        self.serving(child, &url)
    }

    /// Starts it on this port; on any, if somebody has this one.
    #[track_caller]
    pub fn start_at(self, port: u16) -> Server {
        let setup = self.flag("--port", &port.to_string());
        let (mut child, line) = setup.try_launch();
        let Some(url) = line.trim().strip_prefix("listening on ") else {
            child.wait().unwrap();
            return setup.flag("--port", "0").start();
        };
        setup.serving(child, url)
    }

    fn serving(self, child: Child, url: &str) -> Server {
        Server {
            client: RwLock::new(Client::of(url)),
            child: Mutex::new(child),
            left_wrong: Mutex::new(None),
            setup: self,
        }
    }

    /// Starts it and waits for the line that names its address.
    #[track_caller]
    fn launch(&self) -> (Child, String) {
        let (mut child, line) = self.try_launch();
        let Some(url) = line.trim().strip_prefix("listening on ") else {
            child.wait().unwrap();
            panic!("it does not start: {line:?}\n{}", self.log());
        };
        (child, url.to_owned())
    }

    /// Starts it and waits for its first line, or for its end.
    fn try_launch(&self) -> (Child, String) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.at("server.log"));
        let mut child = self.command().stderr(log.unwrap()).spawn().unwrap();
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut line).unwrap();
        (child, line)
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.at("server.log")).unwrap_or_default()
    }
}

/// A server at work. What it has started is ended with it when this is dropped; if it works then, all that must always
/// hold does, unless the test has said why not.
pub struct Server {
    setup: Setup,
    client: RwLock<Client>,
    child: Mutex<Child>,
    left_wrong: Mutex<Option<&'static str>>,
}

impl Deref for Server {
    type Target = Setup;

    fn deref(&self) -> &Setup {
        &self.setup
    }
}

impl Server {
    #[track_caller]
    pub fn start() -> Server {
        Setup::new().start()
    }

    pub fn client(&self) -> Client {
        self.client.read().unwrap().clone()
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap()
    }

    /// Kills it (SIGKILL), as a crash does.
    pub fn kill(&self) {
        let mut child = self.child();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child().id()
    }

    /// Waits for its end, which somebody else brings about.
    pub fn wait_until_gone(&self) {
        self.child().wait().unwrap();
    }

    /// Asks it to end (SIGTERM), and waits until it has.
    pub fn terminate(&self) -> ExitStatus {
        let mut child = self.child();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        child.wait().unwrap()
    }

    /// Starts it again on the same folders.
    #[track_caller]
    pub fn start_again(&self) {
        let (child, url) = self.setup.launch();
        *self.child() = child;
        *self.client.write().unwrap() = Client::of(&url);
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.child().try_wait().unwrap().is_some()
    }

    /// Starts it again, as whoever watches over a service does; whether it came up.
    pub fn try_start_again(&self) -> bool {
        let (mut child, line) = self.setup.try_launch();
        let Some(url) = line.trim().strip_prefix("listening on ") else {
            child.wait().unwrap();
            return false;
        };
        *self.child() = child;
        *self.client.write().unwrap() = Client::of(url);
        true
    }

    /// A crash, and the start after it.
    #[track_caller]
    pub fn restart(&self) {
        self.kill();
        self.start_again();
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.client().get(path)
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.client().post(path, body)
    }

    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.client().put(path, body)
    }

    /// Opens a stream, after the frame with this id or from now on.
    #[track_caller]
    pub fn frames(&self, path: &str, last_id: Option<&str>) -> Frames {
        let headers: Vec<_> = last_id
            .map(|id| ("last-event-id", id))
            .into_iter()
            .collect();
        let body = self.client().open(path, &headers);
        Frames::of(body.expect("the server answers"))
    }

    /// Asks for a run.
    #[track_caller]
    pub fn create(&self, body: &Value) -> Answer {
        self.post("/api/runs", body)
    }

    /// A run of `prompt` whose agent carries out this script.
    #[track_caller]
    pub fn run(&self, script: &str) -> Run<'_> {
        self.run_with(script, &json!({}))
    }

    /// The same, with more in its request.
    #[track_caller]
    pub fn run_with(&self, script: &str, more: &Value) -> Run<'_> {
        Run::of(self, &self.create(&request(script, more)).expect(201))
    }

    /// A run that must wait for a slot.
    #[track_caller]
    pub fn queued(&self, script: &str) -> Run<'_> {
        let answer = self.create(&request(script, &json!({}))).expect(202);
        assert_eq!(answer["status"], "queued");
        Run::of(self, &answer)
    }

    /// A run that has finished.
    #[track_caller]
    pub fn finished(&self, script: &str) -> Run<'_> {
        let run = self.run(script);
        run.wait_for("finished");
        run
    }

    /// A run whose agent is any program, so that what it prints is not more than its script says.
    #[track_caller]
    pub fn run_plain(&self, script: &str) -> Run<'_> {
        let workflow = json!({
            "prompt_template": "{{ prompt }}", "agent": "command", "dod": [{"key": "review"}],
            "settings": {"command": [fake_agent()]},
        });
        self.put("/api/workflows/plain", &workflow);
        self.run_with(script, &json!({"mode": "plain"}))
    }

    /// What must always hold and does not, over database, git, processes and files.
    #[track_caller]
    pub fn world(&self) -> Vec<Value> {
        of_world(&self.get("/api/doctor").expect(200))
    }

    /// The same, looked for in the whole history and in every byte of evidence.
    #[track_caller]
    pub fn whole_world(&self) -> Vec<Value> {
        of_world(&self.get("/api/doctor?deep=true").expect(200))
    }

    /// All that must always hold does, whatever goes on; and what is the user's own is as the user left it.
    #[track_caller]
    pub fn check_world(&self) {
        assert_eq!(self.whole_world(), Vec::<Value>::new());
        self.repo.assert_yours_is_untouched();
    }

    /// The test leaves the world wrong, for this reason: it is not looked at when the server is dropped.
    pub fn leave_wrong(&self, reason: &'static str) {
        *self.left_wrong.lock().unwrap() = Some(reason);
    }

    /// Whether the server works: it was neither killed nor told to end.
    fn is_at_work(&self) -> bool {
        matches!(self.child().try_wait(), Ok(None))
    }

    /// What it says of its pool.
    #[track_caller]
    pub fn pool(&self) -> Value {
        self.get("/api/health").expect(200)["pool"].clone()
    }

    /// Waits until so many worktrees stand ready at master, and no more are made.
    #[track_caller]
    pub fn wait_for_pool(&self, size: usize) {
        let at = vec![self.repo.master(); size];
        until("the pool is full", || {
            let pool = self.pool();
            pool["state"] == "full" && pool["at"] == json!(at)
        });
    }

    /// The folders of the worktrees that lie in the pool, ready or not, the oldest first.
    pub fn slots(&self) -> Vec<PathBuf> {
        let mut slots: Vec<PathBuf> = folders(&self.at("worktrees/.pool"))
            .flat_map(|of_repository| folders(&of_repository).collect::<Vec<_>>())
            .filter(|path| !path.ends_with(".lock"))
            .collect();
        slots.sort();
        slots
    }

    /// A path that a script can `wait-for` and a test can [`Server::mark`].
    pub fn mark_path(&self, name: &str) -> String {
        self.at("marks").join(name).display().to_string()
    }

    /// Lets those go on that wait for this mark.
    pub fn mark(&self, name: &str) {
        fs::write(self.mark_path(name), "").unwrap();
    }

    /// Waits until a script has made this mark.
    #[track_caller]
    pub fn wait_for_mark(&self, name: &str) {
        let path = PathBuf::from(self.mark_path(name));
        until(name, || path.exists());
    }

    /// The folder in which the server keeps the files of one attempt.
    pub fn attempt(&self, run: &str, number: u32) -> PathBuf {
        self.at("state/runs")
            .join(run)
            .join("attempts")
            .join(number.to_string())
    }
}

/// The request for a run of `prompt` with this script, and more.
pub fn request(script: &str, more: &Value) -> Value {
    let mut body = json!({"mode": "prompt", "prompt": prompt(script)});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

impl Drop for Server {
    fn drop(&mut self) {
        let may_be_wrong = self
            .left_wrong
            .lock()
            .map_or(true, |reason| reason.is_some());
        let mut wrong = None;
        if std::thread::panicking() {
            eprintln!("--- the server's log ---\n{}", self.setup.log());
        } else if !may_be_wrong && self.is_at_work() {
            let look = std::panic::AssertUnwindSafe(|| self.check_world());
            wrong = std::panic::catch_unwind(look).err();
        }
        let child = self.child.get_mut();
        let child = child.unwrap_or_else(std::sync::PoisonError::into_inner);
        // It may have ended already.
        child.kill().ok();
        child.wait().ok();
        end_agents(&self.setup.at("state/runs"));
        remove_cgroups(&self.setup.at("state/runs"));
        if let Some(wrong) = wrong {
            eprintln!("--- the server's log ---\n{}", self.setup.log());
            std::panic::resume_unwind(wrong);
        }
    }
}

/// The findings of a doctor that something does not hold, or that it could not be looked at.
fn of_world(doctor: &Value) -> Vec<Value> {
    let findings = doctor["findings"].as_array().unwrap().iter();
    let of_world =
        findings.filter(|f| f["code"].is_string() || (f["what"] == "world" && f["level"] != "ok"));
    of_world.cloned().collect()
}

/// Whether this attempt's supervisor lives.
fn is_supervised(attempt: &Path) -> bool {
    let started = fs::read(attempt.join("started.json")).ok();
    let started = started.and_then(|bytes| serde_json::from_slice::<Started>(&bytes).ok());
    started.is_some_and(|started| started.supervisor.alive().unwrap_or(true))
}

fn folders(path: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(path).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

/// Takes away the cgroups of attempts that no server will take away.
fn remove_cgroups(runs: &Path) {
    let attempts = folders(runs).flat_map(|run| folders(&run.join("attempts")));
    for attempt in attempts {
        let started = fs::read(attempt.join("started.json")).ok();
        let started = started.and_then(|bytes| serde_json::from_slice::<Started>(&bytes).ok());
        if let Some(cgroup) = started.and_then(|started| started.cgroup) {
            end_cgroup(&cgroup).ok();
        }
    }
}

/// Ends what the runs have started and waits for their supervisors, which write a last word into these folders.
fn end_agents(runs: &Path) {
    for run in folders(runs) {
        let at_work: Vec<_> = folders(&run.join("attempts"))
            .filter(|dir| is_supervised(dir) && !dir.join("exit.json").exists())
            .collect();
        if at_work.is_empty() {
            continue;
        }
        let id = run.file_name().and_then(|name| name.to_str());
        let Some(id) = id.and_then(|id| id.parse::<RunId>().ok()) else {
            continue;
        };
        let begun = std::time::Instant::now();
        loop {
            sweep_marked(id);
            let ended = at_work.iter().all(|dir| dir.join("exit.json").exists());
            if ended || std::thread::panicking() || begun.elapsed() > PATIENCE / 20 {
                break;
            }
        }
    }
}
