//! What was asked for and what was answered, and whether it is so.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::support::frames::output_of;
use crate::support::held::Held;
use crate::support::server::Server;
use crate::support::wait::until;

/// A run that was asked for, with all that was asked of it.
pub struct Asked {
    pub id: String,
    pub number: String,
    /// Whether its agent prints what its script says and nothing else.
    pub plain: bool,
    pub abort_asked: bool,
    /// Whether an abort was answered by 200.
    pub aborted: bool,
    pub merge_asked: bool,
    /// The commit that a merge was answered by.
    pub merged: Option<String>,
    pub messages: Vec<Message>,
    pub words: Vec<Words>,
    exit_code: i32,
    held: Held,
}

/// A follow-up.
pub struct Message {
    pub words: String,
    /// Nothing if it was not answered.
    pub accepted: Option<bool>,
}

/// Evidence that was answered by 201.
pub struct Words {
    pub id: String,
    pub text: String,
    /// Whether a validation was answered by 200.
    pub validated: bool,
}

impl Asked {
    pub fn new(id: String, number: String, plain: bool, exit_code: i32, held: Held) -> Asked {
        Asked {
            id,
            number,
            plain,
            abort_asked: false,
            aborted: false,
            merge_asked: false,
            merged: None,
            messages: Vec::new(),
            words: Vec::new(),
            exit_code,
            held,
        }
    }

    pub fn path(&self, rest: &str) -> String {
        format!("/api/runs/{}{rest}", self.id)
    }

    /// Whether it is known to be over.
    pub fn is_over(&self) -> bool {
        self.aborted || self.merged.is_some()
    }

    /// All that was accepted is there, and nothing happened that was not asked for.
    pub fn assert_kept(&self, server: &Server) {
        let mut run = Value::Null;
        until("it is at rest", || {
            run = server.get(&self.path("")).expect(200);
            ["finished", "failed", "merged", "aborted"].contains(&run["status"].as_str().unwrap())
        });
        self.assert_explained(&run);
        self.assert_words_kept(server);
        self.assert_agents_worked_once(server, &run);
        // A FIFO that nobody has opened yet has no end that its reader could see.
        let worked = fs::exists(server.mark_path(&format!("times-{}", self.number))).unwrap();
        if worked {
            self.held.assert_all_gone();
        }
        let gone = ["merged", "aborted"].contains(&run["status"].as_str().unwrap());
        if gone {
            let worktree = run["worktree_path"].as_str().unwrap();
            until("its worktree is gone", || !fs::exists(worktree).unwrap());
        }
    }

    fn assert_explained(&self, run: &Value) {
        let status = run["status"].as_str().unwrap();
        let code = &run["failure"]["code"];
        let explained = match status {
            "aborted" => self.abort_asked && self.merged.is_none(),
            "merged" => self.merge_asked && !self.aborted,
            "finished" => !self.is_over(),
            "failed" => {
                // A model's agent that ends badly has not said its last word.
                let expected = if self.plain { "exit_code" } else { "cut_off" };
                !self.is_over() && self.exit_code != 0 && code == expected
            }
            _ => false,
        };
        assert!(explained, "{status}: {run:#}");
        if let Some(commit) = &self.merged {
            assert_eq!(run["merge_commit"], commit.as_str());
        }
        // No agent was lost: it worked once and ended as its script says, unless an abort came first. An attempt that a kill
        // kept from starting has a successor.
        let attempts = run["attempts"].as_array().unwrap().iter();
        let worked = attempts.filter(|a| a["why"] == "first" && !a["output_to"].is_null());
        let codes: Vec<_> = worked.map(|attempt| &attempt["exit_code"]).collect();
        if status != "aborted" {
            assert_eq!(codes, [&self.exit_code], "{run:#}");
        }
        for attempt in run["attempts"].as_array().unwrap() {
            assert_ne!(attempt["failure"]["code"], "unknown", "{run:#}");
            assert_ne!(attempt["failure"]["code"], "killed", "{run:#}");
        }
    }

    fn assert_words_kept(&self, server: &Server) {
        let kept = server.get(&self.path("/evidence")).expect(200)["evidence"].clone();
        for words in &self.words {
            let found = kept.as_array().unwrap().iter();
            let found: Vec<_> = found.filter(|kept| kept["id"] == words.id).collect();
            assert_eq!(found.len(), 1, "{}: {kept:#}", words.text);
            assert_eq!(found[0]["payload_text"], words.text);
            if words.validated {
                assert_eq!(found[0]["validated_by"], "Vera", "{kept:#}");
            }
        }
    }

    fn assert_agents_worked_once(&self, server: &Server, run: &Value) {
        let aborted = run["status"] == "aborted";
        let times = fs::read_to_string(server.mark_path(&format!("times-{}", self.number)));
        let times = times.unwrap_or_default().lines().count();
        assert!(times == 1 || aborted && times == 0, "{times}: {run:#}");
        let output = server.get(&self.path("/output")).bytes;
        let mut frames = server.frames(&self.path("/sse?after=0"), None);
        let told = frames.until(|frame| {
            let at_end = output.is_empty() || frame.name == "output";
            at_end && frame.json["end"].as_u64().unwrap_or(0) == output.len() as u64
        });
        assert!(output_of(&told) == output, "other bytes are told");
        if self.plain && !aborted {
            let expected = format!("begins {0}\nends {0}\n", self.number);
            assert_eq!(String::from_utf8_lossy(&output), expected);
        }
        let count = |words: &str| {
            let text = format!("\"{words}\"");
            let output = String::from_utf8_lossy(&output);
            output.matches(&text).count()
        };
        for message in &self.messages {
            let told = count(&message.words);
            let expected = match message.accepted {
                Some(true) if aborted => 0..=1,
                Some(true) => 1..=1,
                Some(false) => 0..=0,
                None => 0..=1,
            };
            assert!(expected.contains(&told), "{}: {told}", message.words);
        }
    }
}

/// The ids of all runs that there are.
pub fn all_runs(server: &Server) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut next = String::new();
    loop {
        let page = server
            .get(&format!("/api/runs?limit=100{next}"))
            .expect(200);
        let ids = page["runs"].as_array().unwrap().iter();
        let ids: Vec<_> = ids
            .map(|run| run["id"].as_str().unwrap().to_owned())
            .collect();
        let many = ids.len();
        all.extend(ids.iter().cloned());
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => return all,
        }
        assert!(many > 0, "an empty page is the last");
    }
}

/// The merges in the base are those of the merged runs, one for each, with its work.
pub fn assert_landed_once(server: &Server, before: &str, asked: &[Asked]) {
    let mut commits = BTreeSet::new();
    for asked in asked {
        let run = server.get(&asked.path("")).expect(200);
        if let Some(commit) = run["merge_commit"].as_str() {
            assert_eq!(run["head"], server.repo.parents(commit)[1].as_str());
            let work = format!("work-{}.txt", asked.number);
            assert!(server.repo.file(commit, &work).is_some());
            assert!(commits.insert(commit.to_owned()), "one commit, two runs");
        }
    }
    let landed = server.repo.landed_since(before);
    assert_eq!(landed.len(), commits.len());
    assert_eq!(landed.into_iter().collect::<BTreeSet<_>>(), commits);
    assert_eq!(server.repo.status(), "");
    server.repo.git(&["fsck", "--connectivity-only"]);
    let aborted = asked.iter().filter(|asked| asked.abort_asked).count();
    let words: usize = asked.iter().map(|asked| asked.words.len()).sum();
    let messages = asked.iter().flat_map(|asked| &asked.messages);
    let messages = messages.filter(|message| message.accepted == Some(true));
    println!(
        "of {} runs {} merged, {aborted} were to be aborted; {words} pieces of evidence, {} follow-ups",
        asked.len(),
        commits.len(),
        messages.count()
    );
}
