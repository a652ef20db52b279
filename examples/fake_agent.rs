//! A scriptable agent: the tests' actor, and an example of what an agent's process looks like from outside.
//!
//! It reads its whole standard input (the prompt) and carries out the lines of the first block between a line
//! "```script" and the next line "```", one command a line; [`Agent::carry_out`] lists them. Without a script it prints
//! one line. It exits with 0 unless told otherwise.
//!
//! With `stream-json` among its arguments it speaks as Claude Code does: `print` becomes a text of the assistant, and
//! around the script it prints an init line and, at the end of the script or at `exit 0`, a successful result, unless the
//! script prints its own (or says `cut-off`).
//! On PATH under the name `claude` it is good enough for tests without a model.

#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own, not a part of the service"
)]

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio, exit};
use std::str::FromStr;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, raise};
use rustix::io::{FdFlags, fcntl_setfd};
use serde_json::{Value, json};
use uuid::Uuid;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> Result {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--version", ..] => println!("fake_agent 1.0 (Claude Code)"),
        ["--leave-behind", how, seconds, pid_file] => leave_behind(how, seconds, pid_file)?,
        ["--hop", pid_file] => hop(pid_file)?,
        ["--serve", port, status] => serve(port.parse()?, status)?,
        ["--get", port] => print!("{}", get(port.parse()?)?),
        _ => {
            let mut prompt = String::new();
            io::stdin().read_to_string(&mut prompt)?;
            Agent::new(arguments).run(script(&prompt))?;
        }
    }
    Ok(())
}

/// Answers every request on this port of loopback with this status, for ever.
fn serve(port: u16, status: &str) -> Result {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    println!("serving {port}");
    for stream in listener.incoming() {
        let mut stream = stream?;
        let _request = stream.read(&mut [0; 4096])?;
        write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n")?;
    }
    Ok(())
}

/// What this port of loopback answers.
fn get(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// The lines of the first script block of a prompt.
fn script(prompt: &str) -> Option<Vec<&str>> {
    let mut lines = prompt.lines().skip_while(|line| *line != "```script");
    lines.next()?;
    Some(lines.take_while(|line| *line != "```").collect())
}

struct Agent {
    arguments: Vec<String>,
    /// As whom it speaks Claude Code's stream, if it does.
    session: Option<String>,
    /// Kinds of lines that were printed already.
    printed: HashSet<&'static str>,
}

impl Agent {
    fn new(arguments: Vec<String>) -> Agent {
        let claude = arguments.iter().any(|argument| argument == "stream-json");
        let session = || value_of(&arguments, "--session-id").or(value_of(&arguments, "--resume"));
        let session =
            claude.then(|| session().map_or_else(|| Uuid::now_v7().to_string(), str::to_owned));
        Agent {
            session,
            arguments,
            printed: HashSet::new(),
        }
    }

    fn run(mut self, script: Option<Vec<&str>>) -> Result {
        let script = script.unwrap_or_else(|| vec!["print fake_agent: no script"]);
        if self.session.is_some() && !script.iter().any(|line| line.starts_with("claude-init")) {
            self.init();
        }
        for line in script {
            let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
            if let Err(e) = self.carry_out(command, rest) {
                eprintln!("fake_agent: {line}: {e}");
            }
        }
        self.end(0)
    }

    /// Carries out one line of a script. What fails is told on the standard error, and the script goes on.
    fn carry_out(&mut self, command: &str, rest: &str) -> Result {
        let (first, second) = rest.split_once(' ').unwrap_or((rest, ""));
        match command {
            // Output.
            "print" if self.session.is_some() => self.text(rest),
            "print" => print(format!("{rest}\n").as_bytes())?,
            "print-raw" => print(rest.as_bytes())?,
            "print-error" => eprintln!("{rest}"),
            "big-line" => print(&line_of(rest.parse()?))?,
            "binary" => print(&every_byte(rest.parse()?))?,
            "flood" => flood(rest.parse()?)?,
            "env" => {
                let value = std::env::var(rest).unwrap_or_else(|_| "(not set)".to_owned());
                print(format!("{value}\n").as_bytes())?;
            }
            "all-env" => {
                let names: Vec<_> = std::env::vars()
                    .map(|(k, v)| format!("{k}={v}\n"))
                    .collect();
                print(names.concat().as_bytes())?;
            }
            "cwd" => print(format!("{}\n", std::env::current_dir()?.display()).as_bytes())?,
            "args" => print(format!("{}\n", json!(self.arguments)).as_bytes())?,
            // Files.
            "write" => fs::write(first, format!("{second}\n"))?,
            "append" => writeln!(
                OpenOptions::new().append(true).create(true).open(first)?,
                "{second}"
            )?,
            "touch" => drop(OpenOptions::new().append(true).create(true).open(rest)?),
            "mkdir" => fs::create_dir_all(rest)?,
            "remove" if Path::new(rest).is_dir() => fs::remove_dir_all(rest)?,
            "remove" => fs::remove_file(rest)?,
            "symlink" => symlink(first, second)?,
            "fifo" => shell(&format!("mkfifo '{rest}'"))?,
            "wait-for" => wait_for(rest),
            // Programs.
            "git" => shell(&format!("git {rest}"))?,
            "sh" => shell(rest)?,
            // Processes that stay behind: SECONDS PIDFILE.
            "spawn-child" => spawn("child", first, second)?,
            "spawn-setsid" => spawn("setsid", first, second)?,
            "spawn-double-fork" => spawn("double-fork", first, second)?,
            "spawn-setsid-double-fork" => spawn("setsid-double-fork", first, second)?,
            "spawn-nohup" => spawn("nohup", first, second)?,
            "hopper" => {
                this_program()?.args(["--hop", rest]).spawn()?;
                wait_for(rest);
            }
            // An open end of a FIFO that every process from here on inherits: its reader sees the end when all are gone.
            "hold" => hold(rest)?,
            // Signals and the end.
            "ignore" => SigSet::from(Signal::from_str(&long(rest))?).thread_block()?,
            "kill-self" => raise(Signal::from_str(&long(rest))?)?,
            "sleep" => thread::sleep(Duration::from_secs_f64(rest.parse()?)),
            "exit" => self.end(rest.parse()?)?,
            "cut-off" => exit(0),
            // Claude Code's stream.
            "claude-init" => self.init(),
            "claude-text" => self.text(rest),
            "claude-tool" => self.tool(first, second)?,
            "claude-result" => self.result(first == "success", second.parse().unwrap_or(0.01)),
            "" | "#" => {}
            _ => return Err("no such command".into()),
        }
        Ok(())
    }

    /// Exits. An agent that ends well has said so.
    fn end(&mut self, code: i32) -> Result {
        if code == 0 && self.session.is_some() && !self.printed.contains("result") {
            self.result(true, 0.01);
        }
        io::stdout().flush()?;
        exit(code)
    }

    fn init(&mut self) {
        let model = value_of(&self.arguments, "--model").unwrap_or("claude-sonnet-4-5");
        let permissions =
            value_of(&self.arguments, "--permission-mode").unwrap_or("bypassPermissions");
        let cwd = std::env::current_dir().unwrap_or_default();
        self.say(
            "system",
            json!({
                "subtype": "init", "cwd": cwd, "tools": ["Bash", "Edit", "Read", "Write"], "mcp_servers": [],
                "model": model, "permissionMode": permissions, "apiKeySource": "ANTHROPIC_API_KEY",
                "claude_code_version": "2.1.330", "output_style": "default",
            }),
        );
    }

    fn text(&mut self, text: &str) {
        self.assistant(json!({"type": "text", "text": text}));
    }

    /// A tool call and its success.
    fn tool(&mut self, name: &str, input: &str) -> Result {
        let id = format!("toolu_{}", Uuid::now_v7().simple());
        let input: Value = serde_json::from_str(input)?;
        self.assistant(json!({"type": "tool_use", "id": id, "name": name, "input": input}));
        let content =
            json!([{"tool_use_id": id, "type": "tool_result", "content": "ok", "is_error": false}]);
        self.say(
            "user",
            json!({"message": {"role": "user", "content": content}, "parent_tool_use_id": null}),
        );
        Ok(())
    }

    fn assistant(&mut self, content: Value) {
        let usage = json!({"input_tokens": 1200, "output_tokens": 1,
            "cache_creation_input_tokens": 100, "cache_read_input_tokens": 900});
        let message = json!({"id": format!("msg_{}", Uuid::now_v7().simple()), "type": "message",
            "role": "assistant", "model": "claude-sonnet-4-5", "content": [content],
            "stop_reason": null, "stop_sequence": null, "usage": usage});
        self.say(
            "assistant",
            json!({"message": message, "parent_tool_use_id": null}),
        );
    }

    /// The last word; an error is one of the model's API, which Claude Code also calls a "success".
    fn result(&mut self, success: bool, cost: f64) {
        let tokens = |n: u64| if success { n } else { 0 };
        let (reason, stop, status, text) = if success {
            ("completed", "end_turn", Value::Null, "DONE")
        } else {
            (
                "api_error",
                "stop_sequence",
                json!(500),
                "API Error: 500 fake 500",
            )
        };
        self.say(
            "result",
            json!({
                "subtype": "success", "is_error": !success, "result": text, "terminal_reason": reason,
                "stop_reason": stop, "api_error_status": status, "num_turns": 3, "duration_ms": 331,
                "duration_api_ms": 89, "total_cost_usd": if success { cost } else { 0.0 },
                "usage": {"input_tokens": tokens(3600), "output_tokens": tokens(75),
                    "cache_creation_input_tokens": tokens(300), "cache_read_input_tokens": tokens(2700)},
                "modelUsage": {}, "permission_denials": [],
            }),
        );
    }

    fn say(&mut self, kind: &'static str, mut line: Value) {
        line["type"] = json!(kind);
        line["session_id"] = json!(self.session);
        line["uuid"] = json!(Uuid::now_v7());
        self.printed.insert(kind);
        // A reader that is gone is no reason to stop working.
        let _unread = print(format!("{line}\n").as_bytes());
    }
}

fn value_of<'a>(arguments: &'a [String], flag: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|argument| argument == flag)?;
    arguments.get(at + 1).map(String::as_str)
}

fn print(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(bytes)?;
    stdout.flush()
}

fn line_of(length: usize) -> Vec<u8> {
    let mut line = vec![b'x'; length];
    line.push(b'\n');
    line
}

/// All byte values in turn.
fn every_byte(length: usize) -> Vec<u8> {
    (0..=u8::MAX).cycle().take(length).collect()
}

/// Many lines, in large writes.
fn flood(mut length: usize) -> io::Result<()> {
    let block = b"a line of a flood, again and again\n".repeat(2000);
    while length > 0 {
        let part = length.min(block.len());
        print(&block[..part])?;
        length -= part;
    }
    Ok(())
}

fn shell(command: &str) -> Result {
    let status = Command::new("sh")
        .args(["-c", command])
        .stdin(Stdio::null())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(status.to_string().into())
    }
}

fn wait_for(path: &str) {
    while !Path::new(path).exists() {
        thread::sleep(Duration::from_millis(2));
    }
}

/// `TERM` and `SIGTERM` are the same.
fn long(signal: &str) -> String {
    format!("SIG{}", signal.trim_start_matches("SIG"))
}

fn this_program() -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.stdin(Stdio::null());
    Ok(command)
}

/// Starts a process that stays behind, and waits until it has gone where it wants to be.
fn spawn(how: &str, seconds: &str, pid_file: &str) -> Result {
    let arguments = ["--leave-behind", how, seconds, pid_file];
    if how == "nohup" {
        let mut nohup = Command::new("nohup");
        nohup.arg(std::env::current_exe()?).args(arguments);
        nohup.stdin(Stdio::null()).spawn()?;
    } else {
        let mut child = this_program()?.args(arguments).spawn()?;
        if how.contains("double-fork") {
            child.wait()?;
        }
    }
    wait_for(pid_file);
    Ok(())
}

/// The process that stays behind, or the one between.
fn leave_behind(how: &str, seconds: &str, pid_file: &str) -> Result {
    if how.contains("setsid") {
        rustix::process::setsid()?;
    }
    if how.contains("double-fork") {
        let last = ["--leave-behind", "child", seconds, pid_file];
        this_program()?.args(last).spawn()?;
        return Ok(());
    }
    write_pid(pid_file)?;
    thread::sleep(Duration::from_secs_f64(seconds.parse()?));
    Ok(())
}

/// One hop of a process that is never the same for long.
fn hop(pid_file: &str) -> Result {
    write_pid(pid_file)?;
    this_program()?.args(["--hop", pid_file]).spawn()?;
    Ok(())
}

/// Whole or not at all.
fn write_pid(path: &str) -> io::Result<()> {
    let aside = format!("{path}.{}", std::process::id());
    fs::write(&aside, format!("{}\n", std::process::id()))?;
    fs::rename(aside, path)
}

fn hold(path: &str) -> Result {
    let fifo: File = OpenOptions::new().write(true).mode(0o600).open(path)?;
    fcntl_setfd(&fifo, FdFlags::empty())?;
    std::mem::forget(fifo);
    Ok(())
}
