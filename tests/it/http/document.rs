//! The OpenAPI document: complete, whole, and the same as last time.

use std::collections::BTreeSet;

use agent_runner_api::http::openapi;
use agent_runner_api::http::problem::Code;
use serde_json::Value;

/// What clients count on: the fixed contract, and what belongs to it.
const OPERATIONS: [&str; 41] = [
    "GET /api/health",
    "POST /api/runs",
    "GET /api/runs",
    "GET /api/runs/{id}",
    "GET /api/runs/{id}/sse",
    "POST /api/runs/{id}/evidence",
    "POST /api/runs/{id}/evidence/{eid}/validate",
    "POST /api/runs/{id}/merge",
    "POST /api/runs/{id}/abort",
    "GET /api/runs/{id}/evidence",
    "GET /api/runs/{id}/evidence/{eid}/payload",
    "POST /api/runs/{id}/evidence/{eid}/reject",
    "GET /api/runs/{id}/gate",
    "GET /api/runs/{id}/checks",
    "POST /api/runs/{id}/checks",
    "DELETE /api/runs/{id}/checks",
    "GET /api/runs/{id}/merge",
    "DELETE /api/runs/{id}/merge",
    "GET /api/runs/{id}/diff",
    "GET /api/runs/{id}/output",
    "GET /api/runs/{id}/attestation",
    "POST /api/runs/{id}/messages",
    "POST /api/runs/{id}/restore",
    "POST /api/runs/{id}/retry",
    "POST /api/runs/{id}/may-end",
    "POST /mcp",
    "GET /api/events",
    "GET /api/workflows",
    "GET /api/workflows/{name}",
    "PUT /api/workflows/{name}",
    "DELETE /api/workflows/{name}",
    "GET /api/schemas/dod",
    "GET /api/doctor",
    "POST /api/doctor/fix",
    "GET /api/gc",
    "POST /api/gc",
    "GET /api/stats",
    "GET /metrics",
    "GET /openapi.json",
    "GET /docs",
    "GET /docs/scalar.js",
];

fn document() -> Value {
    serde_json::to_value(openapi()).unwrap()
}

/// Each operation as `METHOD path`, with what the document says of it.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .iter()
                .map(move |(method, said)| (format!("{} {path}", method.to_uppercase()), said))
        })
        .collect()
}

#[test]
fn the_document_is_as_it_was() {
    insta::assert_json_snapshot!("openapi", document(), { ".info.version" => "[version]" });
}

#[test]
fn every_promised_operation_is_there_and_no_other() {
    let document = document();
    let there: BTreeSet<_> = operations(&document)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let promised: BTreeSet<_> = OPERATIONS.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(there, promised);
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(to)) = members.get("$ref") {
                    found.insert(to.clone());
                }
                members.values().for_each(|v| references(v, found));
            }
            Value::Array(all) => all.iter().for_each(|v| references(v, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    assert!(found.len() > 20, "{found:?}");
    for to in found {
        assert!(document.pointer(&to[1..]).is_some(), "{to}");
    }
}

#[test]
fn every_operation_says_which_problems_it_can_answer_with() {
    let document = document();
    for (name, said) in operations(&document) {
        let responses = said["responses"].as_object().unwrap();
        for status in ["400", "403", "421", "500", "503"] {
            assert!(responses.contains_key(status), "{name}: {status}");
        }
        let has_body = said.get("requestBody").is_some();
        for status in ["408", "413", "415", "422"] {
            assert!(
                !has_body || responses.contains_key(status),
                "{name}: {status}"
            );
        }
        for (status, response) in responses {
            let is_problem = response
                .pointer("/content/application~1problem+json")
                .is_some();
            let is_error = status.starts_with(['4', '5']);
            let is_health = name == "GET /api/health" && status == "503";
            assert_eq!(is_problem, is_error && !is_health, "{name}: {status}");
        }
    }
}

#[test]
fn the_document_names_every_code() {
    let document = document();
    let named = document
        .pointer("/components/schemas/ProblemCode/enum")
        .unwrap();
    let all: Value = Code::ALL
        .iter()
        .map(|c| serde_json::to_value(c).unwrap())
        .collect();
    assert_eq!(*named, all);
}

#[test]
fn what_is_absent_from_an_address_or_a_header_is_left_out_and_never_null() {
    let document = document();
    let mut seen = 0;
    for (name, said) in operations(&document) {
        for parameter in said["parameters"].as_array().into_iter().flatten() {
            let schema = parameter["schema"].to_string();
            assert!(!schema.contains("null"), "{name}: {parameter}");
            let in_query = parameter["in"] == "query";
            assert_eq!(parameter["allowEmptyValue"] == true, in_query, "{name}");
            seen += u32::from(in_query);
        }
    }
    assert!(seen > 10, "{seen}");
}
