//! The published schema of a Definition of Done: it says of a list of items what the service says of it.

use agent_runner_api::app::schema;
use agent_runner_api::dod::item;
use agent_runner_api::dod::{ItemSpec, written::repository};
use serde_json::{Value, json};

use crate::support::server::Server;

#[test]
fn the_schema_in_the_documents_is_that_of_the_program() {
    let committed = include_str!("../../../docs/dod.schema.json");
    let schema = schema::dod();
    assert_eq!(
        serde_json::from_str::<Value>(committed).unwrap(),
        schema,
        "docs/dod.schema.json should be:\n{schema:#}"
    );
    let server = Server::start();
    let answer = server.get("/api/schemas/dod");
    assert_eq!(answer.header("content-type"), "application/schema+json");
    assert_eq!(answer.expect(200), schema);
}

/// Whether the value is as the schema says. It knows the words that ours uses; any other ends the test.
fn fits(root: &Value, schema: &Value, value: &Value) -> bool {
    let number = |limit: &Value| limit.as_f64().unwrap();
    let letters = |text: &Value| text.as_str().map(|t| t.chars().count());
    let is = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("a type that is not known here: {other}"),
    };
    schema
        .as_object()
        .unwrap()
        .iter()
        .all(|(word, said)| match word.as_str() {
            "$ref" => {
                let to = said.as_str().unwrap().strip_prefix('#').unwrap();
                fits(root, root.pointer(to).unwrap(), value)
            }
            "oneOf" => {
                said.as_array()
                    .unwrap()
                    .iter()
                    .filter(|one| fits(root, one, value))
                    .count()
                    == 1
            }
            "type" => said
                .as_array()
                .map_or_else(|| is(said), |all| all.iter().any(is)),
            "enum" => said.as_array().unwrap().contains(value),
            "properties" => value.as_object().is_none_or(|members| {
                members
                    .iter()
                    .all(|(name, value)| said.get(name).is_none_or(|s| fits(root, s, value)))
            }),
            "additionalProperties" => {
                assert_eq!(*said, json!(false));
                let known = &schema["properties"];
                value
                    .as_object()
                    .is_none_or(|members| members.keys().all(|name| known.get(name).is_some()))
            }
            "required" => said.as_array().unwrap().iter().all(|name| {
                value
                    .as_object()
                    .is_none_or(|members| members.contains_key(name.as_str().unwrap()))
            }),
            "items" => value
                .as_array()
                .is_none_or(|all| all.iter().all(|one| fits(root, said, one))),
            "minItems" => value
                .as_array()
                .is_none_or(|all| all.len() as f64 >= number(said)),
            "maxItems" => value
                .as_array()
                .is_none_or(|all| all.len() as f64 <= number(said)),
            "minLength" => letters(value).is_none_or(|n| n as f64 >= number(said)),
            "maxLength" => letters(value).is_none_or(|n| n as f64 <= number(said)),
            "minimum" => value.as_f64().is_none_or(|n| n >= number(said)),
            "maximum" => value.as_f64().is_none_or(|n| n <= number(said)),
            "pattern" => {
                assert_eq!(*said, json!("^[A-Za-z0-9._-]+$"));
                value.as_str().is_none_or(|key| {
                    key.chars()
                        .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
                })
            }
            "$schema" | "$id" | "$defs" | "title" | "description" | "format" => true,
            other => panic!("a word that is not known here: {other}"),
        })
}

fn taken(items: &Value) -> bool {
    serde_json::from_value::<Vec<ItemSpec>>(items.clone())
        .is_ok_and(|items| item::checked(items).is_ok())
}

#[test]
fn the_schema_and_the_service_agree_on_what_can_be_written() {
    let schema = schema::dod();
    for items in [
        json!([]),
        json!([{"key": "review"}]),
        json!([{"key": "a.b-c_1", "title": "x", "required": false, "accepts": ["text", "url"], "validator": "operator"}]),
        json!([{"key": "tests", "check": {"cmd": "cargo test"}}]),
        json!([{"key": "tests", "check": {"cmd": "x", "timeout_s": 1, "red_green": true, "junit": "target/*.xml", "min_tests": 3},
            "validator": "check", "when": {"changed": ["src/**"]}, "protects": ["ci/**"]}]),
        json!([{"key": "smoke", "check": {"cmd": "./app", "health": "http://127.0.0.1:$PORT/health", "timeout_s": null}}]),
        json!([{"key": "a", "check": null, "when": null}]),
    ] {
        assert!(fits(&schema, &schema, &items), "{items}");
        assert!(taken(&items), "{items}");
    }
    let many: Value = (0..101).map(|n| json!({"key": n.to_string()})).collect();
    for items in [
        json!({}),
        json!([{}]),
        json!(["review"]),
        json!([{"key": ""}]),
        json!([{"key": "a b"}]),
        json!([{"key": "k".repeat(65)}]),
        json!([{"key": 1}]),
        json!([{"key": "a", "colour": "red"}]),
        json!([{"key": "a", "title": "x".repeat(201)}]),
        json!([{"key": "a", "required": "yes"}]),
        json!([{"key": "a", "accepts": []}]),
        json!([{"key": "a", "accepts": ["voice"]}]),
        json!([{"key": "a", "validator": "agent"}]),
        json!([{"key": "a", "validator": null, "check": {}}]),
        json!([{"key": "a", "check": {"cmd": ""}}]),
        json!([{"key": "a", "check": {"cmd": "x", "timeout_s": 0}}]),
        json!([{"key": "a", "check": {"cmd": "x", "timeout_s": 86_401}}]),
        json!([{"key": "a", "check": {"cmd": "x", "timeout_s": 1.5}}]),
        json!([{"key": "a", "check": {"cmd": "x", "min_tests": 0}}]),
        json!([{"key": "a", "check": {"cmd": "x", "cwd": "/"}}]),
        json!([{"key": "a", "when": {}}]),
        json!([{"key": "a", "when": {"changed": []}}]),
        json!([{"key": "a", "when": {"changed": "src/**"}}]),
        json!([{"key": "a", "protects": "src/**"}]),
        many,
    ] {
        assert!(!fits(&schema, &schema, &items), "{items}");
        assert!(!taken(&items), "{items}");
    }
    // What no schema can say is refused in words.
    for items in [
        json!([{"key": "a"}, {"key": "a"}]),
        json!([{"key": "a", "validator": "check"}]),
        json!([{"key": "a", "when": {"changed": ["["]}}]),
        json!([{"key": "definition-changed"}]),
    ] {
        assert!(fits(&schema, &schema, &items), "{items}");
        assert!(!taken(&items), "{items}");
    }
}

/// The page about it shows files that can be taken as they stand there.
#[test]
fn the_examples_in_the_documents_can_be_taken() {
    let page = include_str!("../../../docs/definition-of-done.md");
    let blocks = |kind: &str| {
        let open = format!("```{kind}\n");
        let parts: Vec<&str> = page.split(&open).skip(1).collect();
        let texts = parts.iter().map(|part| part.split("```").next().unwrap());
        texts.collect::<Vec<_>>()
    };
    let schema = schema::dod();
    let written = blocks("toml");
    assert!(!written.is_empty());
    for text in written {
        let items = repository::items("example.toml", text).unwrap();
        assert!(!items.is_empty(), "{text}");
        let items: toml::Table = text.parse().unwrap();
        let items = serde_json::to_value(&items["item"]).unwrap();
        assert!(fits(&schema, &schema, &items), "{items}");
    }
    let pages = blocks("markdown");
    assert!(!pages.is_empty());
    for page in pages {
        let items = agent_runner_api::dod::written::front_matter::items("page.md", page).unwrap();
        assert!(!items.is_empty(), "{page}");
    }
    let lists = blocks("json");
    assert!(!lists.is_empty());
    for list in lists {
        let items: Value = serde_json::from_str(list).unwrap();
        assert!(fits(&schema, &schema, &items) && taken(&items), "{list}");
    }
}
