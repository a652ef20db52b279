//! Evidence with its file: read into a folder, and nothing left in it on any way out.

use std::fs;
use std::path::{Path, PathBuf};

use agent_runner_api::http::problem::Problem;
use agent_runner_api::http::read::upload::receive;
use agent_runner_api::http::{Guard, guarded};
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::routing::post;
use futures_util::{StreamExt, stream};

use super::{Answer, ask};

const LIMIT: u64 = 1000;

/// Answers with what came, as a line.
async fn told(request: Request, folder: PathBuf) -> Result<String, Problem> {
    let got = receive(request, &folder, LIMIT).await?;
    let bytes = fs::read(&got.upload.path).unwrap();
    assert_eq!(got.upload.path.parent(), Some(folder.as_path()));
    let (evidence, upload) = (got.evidence, got.upload);
    Ok(format!(
        "{:?} {:?} {:?} {:?} | {} {:?} {}",
        evidence.item_id,
        evidence.item_key,
        evidence.kind,
        evidence.author,
        upload.file_name,
        upload.media_type,
        bytes.len(),
    ))
}

fn part(name: &str, extra: &str, body: &str) -> String {
    format!("--X\r\nContent-Disposition: form-data; name=\"{name}\"{extra}\r\n\r\n{body}\r\n")
}

fn file(body: &str) -> String {
    part(
        "file",
        "; filename=\"log.txt\"\r\nContent-Type: text/plain",
        body,
    )
}

async fn send_into(folder: &Path, body: Body) -> Answer {
    let place = folder.to_owned();
    let routes = Router::new().route("/", post(async move |request| told(request, place).await));
    let request = Request::post("/")
        .header("host", "localhost:8486")
        .header("content-type", "multipart/form-data; boundary=X")
        .body(body)
        .unwrap();
    ask(&guarded(routes, Guard::new(8486, vec![])), request).await
}

/// Sends it and sees to it that the folder is empty afterwards.
async fn send(body: impl Into<Body>) -> Answer {
    let folder = tempfile::tempdir().unwrap();
    let answer = send_into(folder.path(), body.into()).await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    answer
}

#[tokio::test]
async fn a_file_comes_with_its_fields() {
    let fields = part("item_key", "", "tests") + &part("author", "", "agent");
    let answer = send(fields + &file("abc") + &part("kind", "", "file") + "--X--\r\n").await;
    insta::assert_snapshot!(String::from_utf8(answer.body).unwrap(), @r#"None Some("tests") Some("file") Some(Agent) | log.txt Some("text/plain") 3"#);
}

#[tokio::test]
async fn a_name_with_folders_is_cut_to_its_last_part() {
    let body = part("file", "; filename=\"../../C:\\\\x\\\\log.txt\"", "abc") + "--X--\r\n";
    let answer = send(body).await;
    assert!(
        String::from_utf8(answer.body)
            .unwrap()
            .contains("| log.txt None 3")
    );
}

#[tokio::test]
async fn each_mistake_is_named_and_leaves_nothing() {
    let end = "--X--\r\n";
    let large = "x".repeat(usize::try_from(LIMIT).unwrap() + 1);
    for (body, code, detail) in [
        (part("item_key", "", "a") + end, "invalid", "/file"),
        (file("a") + &file("b") + end, "invalid", "/file"),
        (file("a") + &part("path", "", "b") + end, "invalid", "/path"),
        (
            file("a") + &part("kind", "", "b") + &part("kind", "", "b") + end,
            "invalid",
            "/kind",
        ),
        (
            file("a") + &part("author", "", "me") + end,
            "invalid",
            "/author",
        ),
        (
            file("a") + &part("item_key", "", &"k".repeat(5000)) + end,
            "invalid",
            "/item_key",
        ),
        (part("file", "", "a") + end, "invalid", "/file"),
        (file(&large) + end, "too_large", "1000 bytes"),
        (file("a"), "bad_multipart", ""),
        ("nothing".to_owned(), "bad_multipart", ""),
    ] {
        let answer = send(body.clone()).await;
        assert_eq!(answer.code(), code, "{body}");
        assert!(
            answer.json()["detail"].as_str().unwrap().contains(detail),
            "{body}"
        );
    }
}

#[tokio::test]
async fn a_boundary_that_is_not_told_is_a_problem() {
    let routes = Router::new().route(
        "/",
        post(async |request| told(request, PathBuf::from("/nowhere")).await),
    );
    let request = Request::post("/")
        .header("host", "localhost:8486")
        .header("content-type", "multipart/form-data");
    let request = request.body(Body::from(file("a"))).unwrap();
    let answer = ask(&guarded(routes, Guard::new(8486, vec![])), request).await;
    assert_eq!(answer.code(), "bad_multipart");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_stops_coming_is_given_up_and_removed() {
    let begun = stream::iter([Ok::<_, std::io::Error>(file("abc").into_bytes())]);
    let body = Body::from_stream(begun.chain(stream::pending()));
    assert_eq!(send(body).await.code(), "request_timeout");
}

#[tokio::test]
async fn a_file_that_breaks_off_is_removed() {
    let broken = stream::iter([
        Ok(file("abc").into_bytes()),
        Err(std::io::Error::other("the client is gone")),
    ]);
    assert_eq!(
        send(Body::from_stream(broken)).await.code(),
        "bad_multipart"
    );
}
