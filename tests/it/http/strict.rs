//! What the document forbids is refused, over the real binary: each of these was once taken.

use serde_json::{Value, json};

use crate::support::server::Server;

#[test]
fn a_cursor_in_the_address_is_read_even_if_the_header_wins() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    for path in ["/api/events".to_owned(), run.path("/sse")] {
        let asked = format!("{path}?after=AAA");
        server
            .client()
            .ask("GET", &asked, &[("last-event-id", "0")], b"")
            .expect_problem(400, "bad_cursor");
    }
}

#[test]
fn an_offset_beyond_every_file_is_refused() {
    let server = Server::start();
    let run = server.finished("print something");
    let last = run.path("/output?after=9223372036854775807");
    assert_eq!(server.get(&last).status, 200);
    for offset in ["9223372036854775808", "-1", "1.0"] {
        let refused = server
            .get(&run.path(&format!("/output?after={offset}")))
            .expect_problem(422, "invalid");
        assert_eq!(refused["errors"][0]["pointer"], "?after", "{offset}");
    }
}

#[test]
fn limits_and_variables_are_held_to_their_bounds_wherever_they_are_written() {
    let server = Server::start();
    let many: Value = (0..65).map(|n| (format!("V{n}"), json!("x"))).collect();
    for (member, value, pointer) in [
        (
            "limits",
            json!({"timeout_s": 9_223_372_036_854_775_808_u64}),
            "/limits/timeout_s",
        ),
        (
            "limits",
            json!({"max_output_bytes": 1_125_899_906_842_625_u64}),
            "/limits/max_output_bytes",
        ),
        (
            "limits",
            json!({"max_turns": 2_147_483_648_u32}),
            "/limits/max_turns",
        ),
        (
            "limits",
            json!({"max_cost_usd": 1e300}),
            "/limits/max_cost_usd",
        ),
        ("env", json!({"A": "one\u{0}two"}), "/env/A"),
        ("env", json!({"A/B": "x"}), "/env/A~1B"),
        ("env", many, "/env"),
    ] {
        let mut run = json!({"mode": "prompt", "prompt": "x"});
        run[member] = value.clone();
        let refused = server.create(&run).expect_problem(422, "invalid");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{run}");
        let mut workflow = json!({"prompt_template": "x"});
        workflow[member] = value;
        let refused = server
            .put("/api/workflows/mine", &workflow)
            .expect_problem(422, "invalid");
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{workflow}");
    }
}

#[test]
fn words_that_nobody_can_read_are_no_words() {
    let server = Server::start();
    let run = server.finished("write work.txt done");
    let evidence = run.say("review", "read");
    let reject = run.path(&format!("/evidence/{evidence}/reject"));
    for (by, reason) in [("maria", "\u{1c}"), ("\u{90}", "too few"), (" \t", "x")] {
        let body = json!({"validated_by": by, "reason": reason});
        server.post(&reject, &body).expect_problem(422, "invalid");
    }
    let said = json!({"item_key": "review", "payload_text": "\u{1f}\n"});
    server
        .post(&run.path("/evidence"), &said)
        .expect_problem(422, "invalid");
    server
        .post(&run.path("/merge"), &json!({"message": "\u{1c}"}))
        .expect_problem(422, "invalid");
}
