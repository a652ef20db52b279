//! Bodies: what is read, and what each mistake is answered with.

use agent_runner_api::app::request::{MergeRequest, NewRun, NewWorkflow};
use agent_runner_api::http::read::body::{MAX_BODY, parse};
use agent_runner_api::http::read::idempotency;
use agent_runner_api::http::read::{JsonBody, OptionalJsonBody, Segments};
use agent_runner_api::http::{Guard, guarded};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::{get, post};
use futures_util::stream;

use super::{Answer, ask};

fn door() -> Router {
    let routes = Router::new()
        .route(
            "/needed",
            post(async |JsonBody(run): JsonBody<NewRun>| run.mode),
        )
        .route(
            "/optional",
            post(
                async |OptionalJsonBody(merge): OptionalJsonBody<MergeRequest>| {
                    merge.message.unwrap_or_default()
                },
            ),
        )
        .route("/path/{id}", get(async |Segments(id): Segments<String>| id));
    guarded(routes, Guard::new(8486, vec![]))
}

async fn send(path: &str, kind: Option<&str>, body: impl Into<Body>) -> Answer {
    let mut request = Request::post(path).header("host", "localhost:8486");
    if let Some(kind) = kind {
        request = request.header("content-type", kind);
    }
    ask(&door(), request.body(body.into()).unwrap()).await
}

const JSON: Option<&str> = Some("application/json");

#[tokio::test]
async fn a_needed_body_is_read_only_as_json() {
    for kind in ["application/json", "Application/JSON; charset=utf-8"] {
        let answer = send("/needed", Some(kind), r#"{"mode":"auto"}"#).await;
        assert_eq!(answer.body, b"auto", "{kind}");
    }
    for kind in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
        Some("application/jsonp"),
        Some(""),
    ] {
        let answer = send("/needed", kind, r#"{"mode":"auto"}"#).await;
        assert_eq!(answer.code(), "unsupported_media_type", "{kind:?}");
    }
}

#[tokio::test]
async fn an_optional_body_can_be_left_out_but_not_be_something_else() {
    for kind in [None, JSON, Some("text/plain")] {
        let answer = send("/optional", kind, "").await;
        assert_eq!(answer.status, StatusCode::OK, "{kind:?}");
    }
    for body in ["{}", "null", r#"{"message":null}"#] {
        assert_eq!(
            send("/optional", JSON, body).await.status,
            StatusCode::OK,
            "{body}"
        );
    }
    assert_eq!(
        send("/optional", JSON, r#"{"message":"x"}"#).await.body,
        b"x"
    );
    let unnamed = send("/optional", None, "{}").await;
    assert_eq!(unnamed.code(), "unsupported_media_type");
    let unknown = send("/optional", JSON, r#"{"force":true}"#).await;
    assert_eq!(unknown.code(), "invalid");
}

#[tokio::test]
async fn what_is_no_json_is_told_where_it_breaks() {
    for body in [
        "",
        "{",
        "{\"mode\": }",
        "{\"mode\":\"auto\"} x",
        "{\"mode\":\"\\ud800\"}",
        "nul",
        "{'mode':'auto'}",
    ] {
        let answer = send("/needed", JSON, body).await;
        assert_eq!(answer.code(), "not_json", "{body}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("line 1 column"), "{body}: {detail}");
    }
    assert_eq!(
        send("/needed", JSON, vec![b'"', 0xff, b'"']).await.code(),
        "not_json"
    );
    let deep = "[".repeat(100_000);
    assert_eq!(send("/needed", JSON, deep).await.code(), "not_json");
}

#[test]
fn what_is_wrong_in_good_json_is_named_by_its_pointer() {
    let run = [
        r#"{}"#,
        r#"[]"#,
        r#"{"mode":7}"#,
        r#"{"mode":"auto","mdoel":"x"}"#,
        r#"{"mode":"auto","mode":"prompt"}"#,
        r#"{"mode":"auto","limits":{"timeout_s":-1}}"#,
        r#"{"mode":"auto","limits":{"timeout":1}}"#,
        r#"{"mode":"auto","agent":"gpt"}"#,
        r#"{"mode":"auto","dod":[{"key":"a"},{"title":"b"}]}"#,
        r#"{"mode":"auto","dod":[{"key":"a","accepts":["text","page"]}]}"#,
        r#"{"mode":"auto","env":{"A/B~C":1}}"#,
    ];
    let lines: Vec<_> = run
        .into_iter()
        .map(|body| (body, parse::<NewRun>(body.as_bytes()).unwrap_err()))
        .chain(std::iter::once((
            "{}",
            parse::<NewWorkflow>(b"{}").unwrap_err(),
        )))
        .map(|(body, problem)| format!("{body}\n  {}", problem.detail()))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {}
      /mode: missing field `mode`
    []
      : write an object, not a list
    {"mode":7}
      /mode: invalid type: integer `7`, expected a string
    {"mode":"auto","mdoel":"x"}
      /mdoel: unknown field `mdoel`, expected one of `mode`, `issue_id`, `card_id`, `kanban_app`, `prompt`, `workflow`, `agent`, `model`, `base`, `sparse`, `dod`, `limits`, `env`, `labels`, `allow_parallel`
    {"mode":"auto","mode":"prompt"}
      /mode: duplicate field `mode`
    {"mode":"auto","limits":{"timeout_s":-1}}
      /limits/timeout_s: invalid value: integer `-1`, expected u64
    {"mode":"auto","limits":{"timeout":1}}
      /limits/timeout: unknown field `timeout`, expected one of `timeout_s`, `idle_timeout_s`, `max_cost_usd`, `max_turns`, `max_output_bytes`, `max_memory_bytes`, `max_tasks`, `cpu_weight`
    {"mode":"auto","agent":"gpt"}
      /agent: unknown variant `gpt`, expected one of `claude`, `command`, `stub`
    {"mode":"auto","dod":[{"key":"a"},{"title":"b"}]}
      /dod/1/key: missing field `key`
    {"mode":"auto","dod":[{"key":"a","accepts":["text","page"]}]}
      /dod/0/accepts/1: unknown variant `page`, expected one of `text`, `file`, `url`
    {"mode":"auto","env":{"A/B~C":1}}
      /env/A~1B~0C: invalid type: integer `1`, expected a string
    {}
      /prompt_template: missing field `prompt_template`
    "#);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_whether_or_not_it_says_its_length() {
    let body = vec![b' '; MAX_BODY + 1];
    assert_eq!(
        send("/needed", JSON, body.clone()).await.code(),
        "too_large"
    );
    let pieces = body
        .chunks(65536)
        .map(|c| Ok::<_, std::io::Error>(c.to_vec()));
    let pieces: Vec<_> = pieces.collect();
    let streamed = Body::from_stream(stream::iter(pieces));
    assert_eq!(send("/optional", JSON, streamed).await.code(), "too_large");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up() {
    let body = Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    assert_eq!(send("/needed", JSON, body).await.code(), "request_timeout");
}

#[tokio::test]
async fn a_path_that_is_no_utf8_is_a_problem() {
    let request = Request::get("/path/%ff").header("host", "localhost:8486");
    let answer = ask(&door(), request.body(Body::empty()).unwrap()).await;
    assert_eq!(answer.code(), "bad_request");
}

#[test]
fn two_bodies_that_say_the_same_have_the_same_hash() {
    let hash = |body: &str| {
        let run: NewRun = parse(body.as_bytes()).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("idempotency-key", "k".parse().unwrap());
        idempotency::key(&headers, &run)
            .unwrap()
            .unwrap()
            .body_sha256
    };
    let one = hash(r#"{"mode":"auto","env":{"A":"1","B":"2"}}"#);
    let same = hash(r#" {"env":{"B":"2","A":"1"},"prompt":null,"mode":"auto"}"#);
    assert_eq!(one, same);
    assert_ne!(one, hash(r#"{"mode":"auto","env":{"A":"1","B":"3"}}"#));
}

#[test]
fn a_key_is_a_printable_word_or_refused() {
    let key = |values: &[&[u8]]| {
        let mut headers = HeaderMap::new();
        for value in values {
            let value = axum::http::HeaderValue::from_bytes(value).unwrap();
            headers.append("idempotency-key", value);
        }
        idempotency::key(&headers, &NewRun::default()).map(|key| key.map(|key| key.key))
    };
    assert_eq!(key(&[]).unwrap(), None);
    assert_eq!(key(&[b"card 17"]).unwrap(), Some("card 17".to_owned()));
    assert_eq!(key(&[&[b'k'; 255]]).unwrap().map(|k| k.len()), Some(255));
    let refused: [&[&[u8]]; 5] = [
        &[b""],
        &[&[b'k'; 256]],
        &[b"a\tb"],
        &[b"\xc3\xa4"],
        &[b"a", b"a"],
    ];
    for values in refused {
        assert_eq!(key(values).unwrap_err().code().status(), 422, "{values:?}");
    }
}

#[test]
fn a_list_in_the_place_of_an_object_is_refused_at_every_depth() {
    fn refused<T: serde::de::DeserializeOwned>(body: &str) -> String {
        let problem = parse::<T>(body.as_bytes()).err().unwrap();
        let errors = problem.members().errors.as_ref().unwrap();
        errors[0].pointer.clone()
    }
    for (body, pointer) in [
        (r#"{"mode":"auto","limits":[1,2]}"#, "/limits"),
        (r#"{"mode":"auto","dod":[["a"]]}"#, "/dod/0"),
        (r#"{"mode":"auto","dod":[{"key":[]}]}"#, "/dod/0/key"),
    ] {
        assert_eq!(refused::<NewRun>(body), pointer, "{body}");
    }
    for (body, pointer) in [
        (r#"{"prompt_template":"x","limits":[]}"#, "/limits"),
        (r#"{"prompt_template":"x","settings":[null]}"#, "/settings"),
        (r#"{"prompt_template":"x","dod":[["a","b"]]}"#, "/dod/0"),
    ] {
        assert_eq!(refused::<NewWorkflow>(body), pointer, "{body}");
    }
}
