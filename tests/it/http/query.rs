//! Queries: what is read, and what each mistake is answered with.

use agent_runner_api::http::problem::Problem;
use agent_runner_api::http::read::{Query, since};
use agent_runner_api::run::Status;
use jiff::Timestamp;
use proptest::prelude::*;

/// Statuses, app, cursor and limit of the list.
type Listed = (Vec<Status>, Option<String>, Option<String>, u32);

/// What the list makes of this query.
fn list(text: &str) -> Result<Listed, Problem> {
    let mut query = Query::parse(text);
    let (filter, page) = (query.filter(), query.page());
    query.finish()?;
    Ok((filter.status, filter.app, page.cursor, page.limit))
}

#[test]
fn statuses_may_repeat_or_be_a_comma_list() {
    use Status::{Failed, Finished, Running};
    for (text, expected) in [
        ("", vec![]),
        ("status=", vec![]),
        ("status=running", vec![Running]),
        ("status=finished,failed", vec![Finished, Failed]),
        ("status=finished%2C+failed", vec![Finished, Failed]),
        (
            "status=finished&status=failed&status=finished",
            vec![Finished, Failed],
        ),
    ] {
        assert_eq!(list(text).unwrap().0, expected, "{text}");
    }
}

#[test]
fn the_rest_of_the_list_is_read_as_it_is_written() {
    let all = list("app=my%20board&limit=500&cursor=abc").unwrap();
    assert_eq!(
        all,
        (
            vec![],
            Some("my board".to_owned()),
            Some("abc".to_owned()),
            500
        )
    );
    let none = list("app=&cursor=").unwrap();
    assert_eq!(none, (vec![], None, None, 50));
}

#[test]
fn every_mistake_is_named_at_once() {
    let problem = list("status=done&limit=0&since=soon&stauts=x&app=a&app=b").unwrap_err();
    let named: Vec<_> = problem
        .members()
        .errors
        .iter()
        .flatten()
        .map(|field| format!("{} {}", field.pointer, field.detail))
        .collect();
    insta::assert_snapshot!(named.join("\n"), @r#"
    ?status "done" is none of: queued, preparing, running, checking, finished, failed, merging, merged, aborted
    ?app write it once
    ?since "soon" is no moment; write RFC 3339 (`2026-11-23T08:00:00Z`), unix seconds, or an age: a number and one of `s`, `m`, `h`, `d`, `w` (`24h`)
    ?limit 0 is not a number from 1 to 500
    ?stauts there is no such parameter here
    "#);
}

#[test]
fn limits_that_are_no_limits_are_refused() {
    for limit in ["0", "501", "-1", "1.5", "ten", "99999999999"] {
        let problem = list(&format!("limit={limit}")).unwrap_err();
        assert_eq!(
            problem.members().errors.as_ref().unwrap().len(),
            1,
            "{limit}"
        );
    }
}

#[test]
fn since_is_a_time_a_number_or_an_age() {
    let now: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
    for (text, expected) in [
        ("2026-11-23T07:00:00Z", "2026-11-23T07:00:00Z"),
        ("2026-11-23T09:00:00.5+02:00", "2026-11-23T07:00:00.5Z"),
        ("1763884800", "2025-11-23T08:00:00Z"),
        ("0", "1970-01-01T00:00:00Z"),
        ("90s", "2026-11-23T07:58:30Z"),
        ("30m", "2026-11-23T07:30:00Z"),
        ("24h", "2026-11-22T08:00:00Z"),
        ("7d", "2026-11-16T08:00:00Z"),
        ("2w", "2026-11-09T08:00:00Z"),
    ] {
        let expected: Timestamp = expected.parse().unwrap();
        assert_eq!(since::parse(text, now), Ok(expected), "{text}");
    }
    for text in [
        "",
        "h",
        "-1h",
        "1y",
        "1.5h",
        "24 h",
        "yesterday",
        "2026-11-23",
        "99999999999999999999",
        "9223372036854775807w",
        "999999999d",
    ] {
        assert!(since::parse(text, now).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_since_panic(text in ".{0,40}") {
        let now: Timestamp = "2026-11-23T08:00:00Z".parse().unwrap();
        let _ = since::parse(&text, now);
    }

    #[test]
    fn no_query_makes_the_list_panic(text in ".{0,80}") {
        let _ = list(&text);
    }
}
