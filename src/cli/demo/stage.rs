//! What the demo plays on: a folder with a small repository, an agent that is a script, and the service.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use ureq::http::Method;

use super::story::Props;
use crate::cli::error::CliError;
use crate::cli::screen::id;
use crate::cli::wire::Client;
use crate::config::Surroundings;
use crate::git::{self, Identity, RefName, Repository};

/// How long the service has to say where it listens, on a slow and busy machine.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How long it has to end once it was asked to.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// The branch that the run lands on.
pub const BASE: &str = "master";

const GREET: &str = "#!/bin/sh\necho \"Hello.\"\n";

const TEST: &str = "#!/bin/sh\n\
# The test of this repository: sh test.sh\n\
said=$(sh greet.sh)\n\
if [ \"$said\" != \"Hello.\" ]; then echo \"not ok - greets: $said\"; exit 1; fi\n\
echo \"ok - greets\"\n";

/// The agent: it reads its prompt on stdin and works in the folder that it is started in, as any agent does.
const AGENT: &str = r#"#!/bin/sh
set -e
IFS= read -r task || :
echo "My task: $task"
printf '#!/bin/sh\necho "Hello, ${1:-world}."\n' > greet.sh
echo "greet.sh takes a name now; the test has to know."
cat > test.sh <<'END'
#!/bin/sh
# The test of this repository: sh test.sh
expect() { if [ "$1" != "$2" ]; then echo "not ok - $3: $1"; exit 1; fi; echo "ok - $3"; }
expect "$(sh greet.sh)" "Hello, world." "greets the world"
expect "$(sh greet.sh Ada)" "Hello, Ada." "greets by name"
END
sleep 1
sh test.sh
git -c user.name='Scripted Agent' -c user.email=agent@localhost commit -q -a -m 'greet: by name'
printf 'greet.sh greets by name; without one it greets the world.\n' > NOTES.md
echo "Committed. NOTES.md says what changed; I leave it to be committed for me."
"#;

/// The folder, and in it everything else.
#[derive(Debug)]
pub struct Stage {
    folder: PathBuf,
    repository: Arc<Repository>,
    service: Option<Child>,
    client: Option<Client>,
}

impl Stage {
    /// Makes the folder and the repository. What fails half-way leaves no folder behind.
    pub async fn set_up(around: &Surroundings) -> Result<Stage, CliError> {
        let path = around.variable("PATH").unwrap_or_default();
        let program = git::Program::find(path.as_ref())
            .await
            .map_err(anyhow::Error::new)?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let folder = std::env::temp_dir().join(format!("agent-runner-demo-{}", &id[..8]));
        fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        match fill(&folder, program).await {
            Ok(repository) => Ok(Stage {
                folder,
                repository: Arc::new(repository),
                service: None,
                client: None,
            }),
            Err(why) => {
                // Why it failed is what counts; a folder too much does no harm.
                let _ = fs::remove_dir_all(&folder);
                Err(why.into())
            }
        }
    }

    /// Starts this same program as the service of the repository, and waits until it listens.
    pub fn start_service(&mut self, around: &Surroundings) -> Result<Props, CliError> {
        let inside = |name: &str| self.folder.join(name);
        let log = fs::File::create(inside("service.log")).context("cannot make service.log")?;
        fs::write(inside("empty.toml"), "").context("cannot make empty.toml")?;
        let program = std::env::current_exe().context("cannot find this program")?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the demo's service is started here"
        )]
        let mut command = Command::new(program);
        command
            .args(["--port", "0", "--stop-grace-s", "2"])
            .arg("--repo-root")
            .arg(inside("repository"))
            .arg("--worktrees-root")
            .arg(inside("worktrees"))
            .arg("--db")
            .arg(inside("runs.db"))
            .arg("--state-root")
            .arg(inside("files"))
            .arg("--config")
            .arg(inside("empty.toml"))
            // Nothing of the user's settings: neither file nor variables.
            .env_clear()
            .env("PATH", around.variable("PATH").unwrap_or_default())
            .env("HOME", &self.folder)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        // Ctrl-C reaches the demo alone, which then closes the stage in its order.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().context("cannot start the service")?;
        let url = first_line(&mut child);
        self.service = Some(child);
        let url = url.map_err(|why| {
            let log = fs::read_to_string(self.folder.join("service.log")).unwrap_or_default();
            anyhow!("the service did not start: {why:#}\n{}", log.trim_end())
        })?;
        let client = Client::new(url)?;
        self.client = Some(client.clone());
        Ok(Props {
            folder: self.folder.clone(),
            agent: self.folder.join("agent.sh"),
            repository: self.repository.clone(),
            client,
        })
    }

    /// Ends what is left of the story (agents outlive a service) and the service, and removes the folder unless it is
    /// kept; then says where it is.
    pub fn close(self, keep: bool) -> Result<Option<PathBuf>, CliError> {
        if let Some(client) = &self.client {
            abort_all(client);
        }
        if let Some(service) = self.service {
            end(service);
        }
        if keep {
            return Ok(Some(self.folder));
        }
        fs::remove_dir_all(&self.folder)
            .with_context(|| format!("cannot remove {}", self.folder.display()))?;
        Ok(None)
    }
}

async fn fill(folder: &Path, program: git::Program) -> anyhow::Result<Repository> {
    let root = folder.join("repository");
    fs::create_dir(&root)?;
    fs::write(folder.join("agent.sh"), AGENT)?;
    fs::write(root.join("greet.sh"), GREET)?;
    fs::write(root.join("test.sh"), TEST)?;
    program.init(&root, BASE).await?;
    let repository = Repository::open(program, &root, &folder.join("view")).await?;
    let person = Identity {
        name: "Demo".into(),
        email: "demo@localhost".into(),
    };
    let base = RefName::branch(BASE)?;
    repository
        .commit_first(&base, &person, "greet: a greeting and its test")
        .await?;
    Ok(repository)
}

/// The URL of `listening on http://…`, the first line that a service prints.
fn first_line(child: &mut Child) -> anyhow::Result<String> {
    let stdout = child.stdout.take().context("it has no standard output")?;
    let (to, from) = sync_channel(1);
    // The thread ends with its line, or with the service.
    thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        let _ = to.send(read.map(|_| line));
    });
    let line = from
        .recv_timeout(START_LIMIT)
        .map_err(|_| anyhow!("it said nothing for {} s", START_LIMIT.as_secs()))??;
    let url = line.trim_end().strip_prefix("listening on ");
    Ok(url.context("it does not say where it listens")?.to_owned())
}

/// Ends the agents that still work. A service that does not answer has none that could be reached.
fn abort_all(client: &Client) {
    let live = "/api/runs?status=queued,preparing,running";
    let Ok(answer) = client.fetch(live) else {
        return;
    };
    for run in answer.value["runs"].as_array().into_iter().flatten() {
        let path = format!("/api/runs/{}/abort", id(run));
        let _ = client.send(Method::POST, &path, &json!({}));
    }
}

/// Asks the service to end, then makes it.
fn end(mut child: Child) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // Not yet waited for, so the pid is still its own.
        let _ = kill_process(pid, Signal::TERM);
    }
    let until = Instant::now() + STOP_LIMIT;
    while Instant::now() < until {
        match child.try_wait() {
            Ok(None) => thread::sleep(Duration::from_millis(20)),
            _ => return,
        }
    }
    let _ = child.kill();
    let _ = child.wait();
}
