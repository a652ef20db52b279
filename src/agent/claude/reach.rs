//! How Claude Code reaches the service: by an MCP server with its run's tools, and by a hook before it ends.
//!
//! Both are told in files of the attempt's folder that nobody else can read, because the token is in one of them and
//! everybody on the machine can read arguments. What they say adds to the settings that Claude Code reads itself: where
//! those forbid it, it has neither, and works.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::agent::invocation::{Companion, Reach};
use crate::run::AgentSettings;

/// The name of our server in the names of its tools.
const SERVER: &str = "agent_runner";

/// Its tools; what the workflow disallows stays so.
const TOOLS: [&str; 3] = ["definition_of_done", "attach_evidence", "check_results"];

/// Seconds that the hook may take before Claude Code ends all the same.
const HOOK_TIMEOUT_S: u64 = 20;

/// The arguments and files by which it reaches the service, as far as the workflow has it.
pub(super) fn arguments(
    settings: &AgentSettings,
    reach: &Reach<'_>,
) -> (Vec<String>, Vec<Companion>) {
    let (mut argv, mut files) = (Vec::new(), Vec::new());
    let mut hand = |flag: &str, name: &str, text: String| {
        let path: PathBuf = reach.folder.join(name);
        argv.extend([flag.to_owned(), path.display().to_string()]);
        files.push(Companion {
            path,
            bytes: text.into_bytes(),
        });
    };
    if let (Some(program), true) = (reach.program, settings.stop_hook_blocks > 0) {
        hand("--settings", "settings.json", hooks(program));
    }
    if settings.mcp {
        hand("--mcp-config", "mcp.json", server(reach));
        for tool in TOOLS {
            argv.extend([
                "--allowedTools".to_owned(),
                format!("mcp__{SERVER}__{tool}"),
            ]);
        }
    }
    (argv, files)
}

fn server(reach: &Reach<'_>) -> String {
    json!({"mcpServers": {SERVER: {
        "type": "http",
        "url": format!("{}/mcp", reach.url),
        "headers": {"Authorization": format!("Bearer {}", reach.token)},
    }}})
    .to_string()
}

/// A program that is gone or fails lets the agent end: Claude Code takes 2 for "go on", and any other end for none.
fn hooks(program: &Path) -> String {
    let quoted = program.display().to_string().replace('\'', r"'\''");
    let command = format!("'{quoted}' agent stop-hook || true");
    let hook = json!({"type": "command", "command": command, "timeout": HOOK_TIMEOUT_S});
    json!({"hooks": {"Stop": [{"hooks": [hook]}]}}).to_string()
}
