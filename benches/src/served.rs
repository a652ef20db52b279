//! The program under test at work on a repository, and its client.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::ground::Ground;
use crate::measure::until;
use crate::processes::program;

/// A service of its own, with folders of its own. It ends with this, and its runs with it.
pub struct Served {
    pub folder: TempDir,
    pub pid: u32,
    pub url: String,
    /// From its spawn until it said where it listens.
    pub ready_after: Duration,
    flags: Vec<String>,
    program: PathBuf,
    child: Child,
    agent: ureq::Agent,
}

impl Served {
    pub fn start(ground: &Ground, repository: &Path, flags: &[&str]) -> anyhow::Result<Served> {
        let folder = tempfile::Builder::new()
            .prefix("served-")
            .tempdir_in(ground.path())?;
        std::fs::create_dir(folder.path().join("home"))?;
        let at = |name: &str| folder.path().join(name).display().to_string();
        let mut all = vec![
            "--port=0".to_owned(),
            "--disk-floor-bytes=0".to_owned(),
            format!("--db={}", at("runs.db")),
            format!("--repo-root={}", repository.display()),
            format!("--worktrees-root={}", at("worktrees")),
            format!("--state-root={}", at("state")),
        ];
        if !flags.iter().any(|flag| flag.starts_with("--max-running")) {
            all.push("--max-running=1200".to_owned());
        }
        all.extend(flags.iter().map(|&flag| flag.to_owned()));
        let (child, url, ready_after) = launch(&ground.program, folder.path(), &all)?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(Duration::from_secs(120)))
            .build();
        let served = Served {
            pid: child.id(),
            program: ground.program.clone(),
            folder,
            url,
            ready_after,
            flags: all,
            child,
            agent: config.into(),
        };
        // An agent that does what its prompt says: the script comes by its standard input.
        let workflow = json!({"prompt_template": "{{ prompt }}", "agent": "command", "settings": {"command": ["/bin/sh"]}, "dod": [{"key": "review"}]});
        served.put("/api/workflows/script", &workflow)?;
        Ok(served)
    }

    /// Ends it as a crash does, and starts it again on the same folders.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        let (child, url, ready_after) = launch(&self.program, self.folder.path(), &self.flags)?;
        self.pid = child.id();
        self.child = child;
        self.url = url;
        self.ready_after = ready_after;
        Ok(())
    }

    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        let mut answer = self.agent.get(format!("{}{path}", self.url)).call()?;
        let text = answer.body_mut().read_to_string()?;
        anyhow::ensure!(answer.status().is_success(), "GET {path}: {text}");
        Ok(serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let mut answer = self
            .agent
            .post(format!("{}{path}", self.url))
            .send_json(body)?;
        let value: Value = answer.body_mut().read_json()?;
        anyhow::ensure!(answer.status().is_success(), "POST {path}: {value}");
        Ok(value)
    }

    fn put(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let mut answer = self
            .agent
            .put(format!("{}{path}", self.url))
            .send_json(body)?;
        let value: Value = answer.body_mut().read_json()?;
        anyhow::ensure!(answer.status().is_success(), "PUT {path}: {value}");
        Ok(value)
    }

    /// Starts a run whose agent carries out this script; its id.
    pub fn run(&self, script: &str) -> anyhow::Result<String> {
        let body = json!({"mode": "script", "prompt": script});
        let answer = self.post("/api/runs", &body)?;
        let id = answer["run_id"].as_str().context("no run_id")?;
        Ok(id.to_owned())
    }

    /// A run whose agent has ended with this script's work, settled.
    pub fn finished(&self, script: &str) -> anyhow::Result<String> {
        let id = self.run(script)?;
        self.wait_for(&id, "finished")?;
        Ok(id)
    }

    pub fn wait_for(&self, id: &str, status: &str) -> anyhow::Result<()> {
        until(&format!("run {id} is {status}"), || {
            let run = self.get(&format!("/api/runs/{id}"))?;
            anyhow::ensure!(run["status"] != "failed", "{run}");
            Ok(run["status"] == status)
        })
    }

    pub fn abort(&self, id: &str) -> anyhow::Result<()> {
        self.post(&format!("/api/runs/{id}/abort"), &json!({}))?;
        Ok(())
    }

    /// Somebody looks at its work and accepts it: its gate is open.
    pub fn accept(&self, id: &str) -> anyhow::Result<()> {
        let path = format!("/api/runs/{id}/evidence");
        let words = json!({"item_key": "review", "kind": "text", "payload_text": "read"});
        let evidence = self.post(&path, &words)?;
        let evidence = evidence["evidence_id"].as_str().unwrap_or_default();
        let by = json!({"validated_by": "Vera"});
        self.post(&format!("{path}/{evidence}/validate"), &by)?;
        Ok(())
    }

    pub fn merge(&self, id: &str) -> anyhow::Result<()> {
        let answer = self.post(&format!("/api/runs/{id}/merge"), &json!({}))?;
        anyhow::ensure!(answer["status"] == "merged", "{answer}");
        Ok(())
    }

    /// Waits until so many worktrees stand ready.
    pub fn wait_for_pool(&self, ready: u64) -> anyhow::Result<()> {
        until("the pool is full", || {
            let health = self.get("/api/health")?;
            Ok(health["pool"]["ready"].as_u64().unwrap_or(0) >= ready)
        })
    }

    /// A figure of `GET /metrics`.
    pub fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let text = self.get("/metrics")?;
        let text = text.as_str().unwrap_or_default();
        let found = text
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        Ok(found.sum())
    }

    /// The supervisors of its runs: its children.
    pub fn supervisors(&self) -> anyhow::Result<Vec<u32>> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let children = std::fs::read_to_string(entry?.path().join("children"))?;
            found.extend(
                children
                    .split_whitespace()
                    .filter_map(|pid| pid.parse::<u32>().ok()),
            );
        }
        Ok(found)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // What is still at work ends first: nothing outlives a measurement.
        if let Ok(list) = self.get("/api/runs?status=running,preparing,queued&limit=500") {
            for run in list["runs"].as_array().into_iter().flatten() {
                let id = run["id"].as_str().unwrap_or_default();
                let _ended_or_told = self.abort(id);
            }
        }
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn launch(
    binary: &Path,
    folder: &Path,
    flags: &[String],
) -> anyhow::Result<(Child, String, Duration)> {
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(folder.join("log"))?;
    let began = Instant::now();
    let mut child = program(&binary.display().to_string())
        .args(flags)
        .env_clear()
        .env("HOME", folder.join("home"))
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .with_context(|| format!("{} cannot be run", binary.display()))?;
    let mut line = String::new();
    let stdout = child.stdout.take().context("no stdout")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let took = began.elapsed();
    let Some(url) = line.trim().strip_prefix("listening on ") else {
        child.wait()?;
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        anyhow::bail!("the service does not start: {line}\n{log}");
    };
    Ok((child, url.to_owned(), took))
}
