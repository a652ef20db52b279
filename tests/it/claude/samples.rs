//! What we read from each sample stream, as a snapshot: first how it is judged, then activity by activity.

use std::path::Path;

use agent_runner_api::agent::{Activity, Transcript, outcome, parse};
use agent_runner_api::run::{AgentKind, EndedBy, Exit};
use proptest::prelude::*;
use rstest::rstest;

fn sample(name: &str) -> (Vec<u8>, String) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/claude");
    let stdout = std::fs::read(folder.join(format!("{name}.jsonl"))).expect("the sample is there");
    assert!(!stdout.is_empty(), "{name} is empty");
    let stderr = std::fs::read_to_string(folder.join(format!("{name}.stderr"))).unwrap_or_default();
    (stdout, stderr)
}

fn transcript_of(stdout: &[u8]) -> Transcript {
    let mut transcript = Transcript::new(AgentKind::Claude);
    transcript.push_bytes(stdout);
    transcript.finish();
    transcript
}

#[rstest]
fn a_sample_is_read_and_judged_as_it_always_was(
    #[values(
        ("answer-without-end", Exit::Code(0)),
        ("api-400", Exit::Code(1)),
        ("api-401", Exit::Code(1)),
        ("api-403", Exit::Code(1)),
        ("api-429", Exit::Code(1)),
        ("api-429-retry-after-3600", Exit::Code(1)),
        ("api-500", Exit::Code(1)),
        ("api-500-max-retries-1", Exit::Code(1)),
        ("background-two-results", Exit::Code(0)),
        ("bidi-interrupt", Exit::Code(0)),
        ("connection-lost", Exit::Code(1)),
        ("include-hook-events", Exit::Code(0)),
        ("max-budget", Exit::Code(1)),
        ("max-turns", Exit::Code(1)),
        ("mcp-config", Exit::Code(0)),
        ("not-logged-in", Exit::Code(1)),
        ("parent-killed-stdout-file", Exit::Code(0)),
        ("partial-messages", Exit::Code(0)),
        ("permission-denied", Exit::Code(0)),
        ("permission-disallowed-tool", Exit::Code(0)),
        ("resume-after-sigkill", Exit::Code(0)),
        ("resume-unknown-session", Exit::Code(1)),
        ("sighup-in-tool", Exit::Code(129)),
        ("sigint-in-stream", Exit::Code(0)),
        ("sigint-in-tool", Exit::Code(0)),
        ("sigkill-in-tool", Exit::Signal(9)),
        ("sigterm-in-stream", Exit::Code(143)),
        ("sigterm-in-tool", Exit::Code(143)),
        ("stdin-open-pipe", Exit::Code(0)),
        ("stop-hook-blocks-once", Exit::Code(0)),
        ("success", Exit::Code(0)),
        ("tool-error", Exit::Code(0))
    )]
    (name, exit): (&str, Exit),
) {
    let (stdout, stderr) = sample(name);
    let transcript = transcript_of(&stdout);
    let activities: Vec<String> = stdout
        .split(|byte| *byte == b'\n')
        .flat_map(|line| parse(AgentKind::Claude, line))
        .map(|activity| serde_json::to_string(&activity).expect("an activity is JSON"))
        .collect();
    let read = format!(
        "{exit:?}: {}\nsession {:?}, model {:?}, {} finals, {:?} turns, ${:?}\n{:?}\n{} tools open, retry {:?}\n\n{}",
        serde_json::to_string(&outcome(&transcript, exit, EndedBy::Itself, &stderr))
            .expect("an outcome is JSON"),
        transcript.session_id(),
        transcript.model(),
        transcript.finals(),
        transcript.turns(),
        transcript.session_cost_usd(),
        transcript.usage(),
        transcript.open_tools(),
        transcript.last_retry(),
        activities.join("\n"),
    );
    insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, read);
    });
}

#[test]
fn every_sample_is_listed_here_and_in_the_readme() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let readme = std::fs::read_to_string(folder.join("README.md")).expect("it is there");
    let here = include_str!("samples.rs");
    for entry in std::fs::read_dir(folder.join("claude")).expect("it is there") {
        let path = entry.expect("it can be read").path();
        let name = path
            .file_stem()
            .expect("it has a name")
            .to_string_lossy()
            .into_owned();
        assert!(
            here.contains(&format!("(\"{name}\", ")),
            "{name} is in no test"
        );
        assert!(readme.contains(&name), "{name} is not in the README");
    }
}

/// The transcript as it would be stored.
fn stored(transcript: &Transcript) -> String {
    serde_json::to_string(transcript).expect("a transcript is JSON")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_pieces_in_which_output_comes_change_nothing(size in 1usize..5000) {
        for name in ["success", "background-two-results", "sigkill-in-tool"] {
            let (stdout, _) = sample(name);
            let mut transcript = Transcript::new(AgentKind::Claude);
            for piece in stdout.chunks(size) {
                transcript.push_bytes(piece);
            }
            transcript.finish();
            prop_assert_eq!(stored(&transcript), stored(&transcript_of(&stdout)));
        }
    }

    #[test]
    fn a_stored_transcript_goes_on_where_it_stopped(at in 0usize..9000) {
        let (stdout, _) = sample("success");
        let at = at.min(stdout.len());
        let mut transcript = Transcript::new(AgentKind::Claude);
        transcript.push_bytes(&stdout[..at]);
        let mut again: Transcript = serde_json::from_str(&stored(&transcript)).expect("it was stored");
        let from = usize::try_from(again.consumed()).expect("it is small");
        again.push_bytes(&stdout[from..]);
        again.finish();
        prop_assert_eq!(stored(&again), stored(&transcript_of(&stdout)));
    }

    #[test]
    fn a_damaged_stream_is_never_taken_for_a_crash_of_ours(at in 0usize..9000, byte: u8, code in 0..2i32) {
        let (mut stdout, _) = sample("success");
        let at = at.min(stdout.len() - 1);
        stdout[at] = byte;
        let transcript = transcript_of(&stdout);
        let _ = outcome(&transcript, Exit::Code(code), EndedBy::Itself, "");
        prop_assert_eq!(transcript.consumed(), stdout.len() as u64);
    }

    #[test]
    fn any_bytes_can_be_read(bytes: Vec<u8>) {
        for kind in [AgentKind::Claude, AgentKind::Command, AgentKind::Stub] {
            let mut transcript = Transcript::new(kind);
            transcript.push_bytes(&bytes);
            transcript.finish();
            prop_assert_eq!(transcript.consumed(), bytes.len() as u64);
        }
    }

    #[test]
    fn any_json_in_the_place_of_an_event_can_be_read(kind in "system|assistant|user|result", field in "[a-z_]{1,20}", value in json()) {
        let event = serde_json::json!({"type": kind, "message": value, "subtype": value, field: value});
        for activity in parse(AgentKind::Claude, event.to_string().as_bytes()) {
            prop_assert!(!matches!(activity, Activity::Final(last) if last.success));
        }
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        "[a-z é]{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            proptest::collection::vec(("type|text|content|usage|input|id", inner), 0..4)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}
