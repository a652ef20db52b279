//! Who may ask: hosts × origins × what the browser says × methods × routes, the expected answer generated.

use agent_runner_api::http::{Guard, guarded};
use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use axum::routing::{get, post};

use super::{Answer, ask};

const PORT: u16 = 8486;
const LISTED: &str = "http://localhost:3000";

/// The headers that are sent, and what the guard is to make of them.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Verdict {
    Fine,
    Listed,
    Refused,
}
use Verdict::{Fine, Refused};

const HOSTS: &[(&[&str], Verdict)] = &[
    (&["127.0.0.1:8486"], Fine),
    (&["localhost:8486"], Fine),
    (&["[::1]:8486"], Fine),
    (&["LocalHost:8486"], Fine),
    (&[], Refused),
    (&[""], Refused),
    (&["localhost"], Refused),
    (&["localhost:80"], Refused),
    (&["localhost:08486"], Refused),
    (&["localhost.:8486"], Refused),
    (&["0.0.0.0:8486"], Refused),
    (&["evil.example:8486"], Refused),
    (&["127.0.0.1.evil.example:8486"], Refused),
    (&["user@localhost:8486"], Refused),
    (&["localhost:8486", "localhost:8486"], Refused),
    (&["localhost:8486", "evil.example"], Refused),
];

const ORIGINS: &[(&[&str], Verdict)] = &[
    (&[], Fine),
    (&["http://localhost:8486"], Fine),
    (&["http://127.0.0.1:8486"], Fine),
    (&["http://[::1]:8486"], Fine),
    (&[LISTED], Verdict::Listed),
    (&["null"], Refused),
    (&[""], Refused),
    (&["http://evil.example"], Refused),
    (&["http://evil.example:8486"], Refused),
    (&["https://localhost:8486"], Refused),
    (&["http://localhost:8486/"], Refused),
    (&["http://localhost:3000.evil.example"], Refused),
    (&["http://localhost:3001"], Refused),
    (&[LISTED, LISTED], Refused),
];

const SITES: &[(&[&str], Verdict)] = &[
    (&[], Fine),
    (&["same-origin"], Fine),
    (&["none"], Fine),
    (&["same-site"], Refused),
    (&["cross-site"], Refused),
    (&["what-comes-next"], Refused),
    (&["none", "none"], Refused),
];

const METHODS: &[&str] = &[
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW",
];

/// Each route with the methods that it has.
const ROUTES: &[(&str, &[&str])] = &[
    ("/read", &["GET", "HEAD"]),
    ("/change", &["POST"]),
    ("/nowhere", &[]),
];

fn door() -> Router {
    let routes = Router::new()
        .route("/read", get(async || "read"))
        .route("/change", post(async || "changed"));
    guarded(routes, Guard::new(PORT, vec![LISTED.to_owned()]))
}

fn request(method: &str, path: &str, headers: &[(&str, &[&str])]) -> Request<Body> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = Request::builder().method(method).uri(path);
    for (name, values) in headers {
        for value in *values {
            request = request.header(*name, *value);
        }
    }
    request.body(Body::empty()).unwrap()
}

/// The status, and the code where it is an error, that this request must be answered with.
fn expected(
    (host, origin, site): (Verdict, Verdict, Verdict),
    method: &str,
    (path, methods): (&str, &[&str]),
) -> (u16, &'static str) {
    match (host, origin, site) {
        (Refused, _, _) => (421, "misdirected"),
        (_, Refused, _) => (403, "origin_refused"),
        (_, Fine, Refused) => (403, "cross_site_refused"),
        _ if methods.contains(&method) => (200, ""),
        _ if path == "/nowhere" => (404, "not_found"),
        _ => (405, "method_not_allowed"),
    }
}

#[tokio::test]
async fn each_request_is_answered_as_its_host_origin_and_site_deserve() {
    let door = door();
    for &(hosts, host) in HOSTS {
        for &(origins, origin) in ORIGINS {
            for &(sites, site) in SITES {
                let headers = [
                    ("host", hosts),
                    ("origin", origins),
                    ("sec-fetch-site", sites),
                ];
                for &method in METHODS {
                    for &route in ROUTES {
                        let answer = ask(&door, request(method, route.0, &headers)).await;
                        let (status, code) = expected((host, origin, site), method, route);
                        let about = format!("{method} {} {headers:?}", route.0);
                        assert_eq!(answer.status, status, "{about}");
                        // An answer to HEAD has no body.
                        if !code.is_empty() && method != "HEAD" {
                            assert_eq!(answer.code(), code, "{about}");
                        }
                        let passed = host == Fine && origin == Verdict::Listed;
                        let allowed = if passed { LISTED } else { "" };
                        let told = answer.header("access-control-allow-origin");
                        assert_eq!(told, allowed, "{about}");
                        assert_eq!(answer.header("x-content-type-options"), "nosniff");
                        assert_eq!(answer.header("x-request-id").len(), 36);
                    }
                }
            }
        }
    }
}

async fn preflight(origin: &str) -> Answer {
    let headers: &[(&str, &[&str])] = &[
        ("host", &["localhost:8486"]),
        ("origin", &[origin]),
        ("sec-fetch-site", &["same-site"]),
        ("access-control-request-method", &["POST"]),
    ];
    ask(&door(), request("OPTIONS", "/change", headers)).await
}

#[tokio::test]
async fn a_listed_page_may_ask_before_it_asks_and_no_other() {
    let answer = preflight(LISTED).await;
    assert_eq!(answer.status, StatusCode::NO_CONTENT);
    assert_eq!(answer.header("access-control-allow-origin"), LISTED);
    assert!(
        answer
            .header("access-control-allow-methods")
            .contains("POST")
    );
    assert!(
        answer
            .header("access-control-allow-headers")
            .contains("content-type")
    );
    assert_eq!(answer.header("vary"), "Origin");
    assert_eq!(
        preflight("http://localhost:3001").await.code(),
        "origin_refused"
    );
}

#[tokio::test]
async fn an_address_in_the_request_line_counts_as_well() {
    let with = |uri: &str| request("GET", uri, &[("host", &["localhost:8486"])]);
    let ours = ask(&door(), with("http://localhost:8486/read")).await;
    assert_eq!(ours.status, StatusCode::OK);
    let theirs = ask(&door(), with("http://evil.example:8486/read")).await;
    assert_eq!(theirs.code(), "misdirected");
}

#[tokio::test]
async fn on_port_80_a_host_without_a_port_is_ours() {
    let door = guarded(
        Router::new().route("/read", get(async || "")),
        Guard::new(80, vec![]),
    );
    for (host, status) in [
        ("localhost", 200),
        ("localhost:80", 200),
        ("localhost:8486", 421),
    ] {
        let answer = ask(&door, request("GET", "/read", &[("host", &[host])])).await;
        assert_eq!(answer.status, status, "{host}");
    }
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let answer = ask(
        &door(),
        request("PUT", "/read", &[("host", &["localhost:8486"])]),
    )
    .await;
    assert_eq!(answer.code(), "method_not_allowed");
    assert_eq!(answer.header("allow"), "GET,HEAD");
}

#[tokio::test]
async fn a_harmless_request_id_of_the_clients_own_is_kept_and_no_other() {
    for (id, kept) in [
        ("card-17.a_b", true),
        ("a b", false),
        ("\"<x>", false),
        (&"x".repeat(65), false),
    ] {
        let headers: &[(&str, &[&str])] = &[("host", &["localhost:8486"]), ("x-request-id", &[id])];
        let answer = ask(&door(), request("GET", "/nowhere", headers)).await;
        assert_eq!(answer.header("x-request-id") == id, kept, "{id}");
        assert_eq!(answer.code(), "not_found");
    }
}
