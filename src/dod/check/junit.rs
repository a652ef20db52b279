//! A JUnit report: the XML that most test runners can write.
//!
//! There is no standard; what all writers agree on is `testcase`, with a `failure`, an `error` or a `skipped` inside.
//! Those are counted, and the numbers that the suites say of themselves are held against them: whichever says more
//! failures is believed.

use roxmltree::{Document, Node, ParsingOptions};

use super::Counts;

/// Elements that one report may have, so that no report takes the service's memory.
const NODES_MAX: u32 = 5_000_000;

/// What a report says.
///
/// # Errors
/// It is no XML, or has no test suite: what to say of it, in one line.
pub fn read(xml: &str) -> Result<Counts, String> {
    let options = ParsingOptions {
        nodes_limit: NODES_MAX,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(xml, options).map_err(|e| e.to_string())?;
    let root = document.root_element();
    let name = root.tag_name().name();
    if !matches!(name, "testsuites" | "testsuite") {
        return Err(format!(
            "its root is `{name}`, not `testsuites` or `testsuite`"
        ));
    }
    let mut seen = Counts::default();
    for case in root
        .descendants()
        .filter(|node| node.has_tag_name("testcase"))
    {
        let has = |name: &str| case.children().any(|child| child.has_tag_name(name));
        if has("failure") || has("error") {
            seen.failed += 1;
        } else if has("skipped") {
            seen.skipped += 1;
        } else {
            seen.passed += 1;
        }
    }
    seen.failed = seen.failed.max(told(root));
    Ok(seen)
}

/// The failures and errors that the suites tell. A suite inside another is a part of it.
fn told(root: Node<'_, '_>) -> u64 {
    let own: u64 = ["failures", "errors"]
        .iter()
        .filter_map(|name| root.attribute(*name)?.trim().parse::<u64>().ok())
        .fold(0, u64::saturating_add);
    let of_suites = root
        .children()
        .filter(|node| node.has_tag_name("testsuite"))
        .map(told)
        .fold(0, u64::saturating_add);
    own.max(of_suites)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(name: &str) -> Counts {
        let path = format!(
            "{}/tests/samples/checks/{name}.xml",
            env!("CARGO_MANIFEST_DIR")
        );
        read(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn reports_of_known_writers_are_counted() {
        let expected = Counts {
            passed: 2,
            failed: 1,
            skipped: 1,
            at_least: false,
        };
        assert_eq!(sample("pytest"), expected);
        assert_eq!(sample("node"), expected);
    }

    #[test]
    fn a_suite_that_tells_more_failures_than_it_lists_is_believed() {
        let xml = r#"<testsuites><testsuite failures="2" errors="1"><testcase name="a"/></testsuite></testsuites>"#;
        assert_eq!(read(xml).unwrap().failed, 3);
    }

    #[test]
    fn a_suite_inside_a_suite_is_counted_once() {
        let xml = r#"<testsuites failures="1"><testsuite failures="1"><testsuite failures="1">
            <testcase name="a"><failure/></testcase></testsuite></testsuite></testsuites>"#;
        assert_eq!(read(xml).unwrap().failed, 1);
    }

    #[test]
    fn what_is_no_report_is_refused() {
        let entity = "<!DOCTYPE t [<!ENTITY a \"b\">]><testsuite/>";
        for text in ["", "all good", "<html/>", "<testsuite>", entity] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
