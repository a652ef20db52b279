//! The schema of a list of items, as a workflow, a request and a file of the repository write them.
//!
//! JSON Schema 2020-12, made from the types that read the items, so that both say the same. What no schema can say (a
//! key that stands twice, a pattern that is none) is refused in words.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema as _, ToSchema};

use crate::dod::ItemSpec;
use crate::dod::item::MAX_ITEMS;

/// The schema of a Definition of Done.
#[must_use]
pub fn dod() -> Value {
    let mut parts: Vec<(String, RefOr<Schema>)> =
        vec![(ItemSpec::name().into_owned(), ItemSpec::schema())];
    ItemSpec::schemas(&mut parts);
    let parts: BTreeMap<String, Value> = parts
        .into_iter()
        .map(|(name, schema)| (name, pointed(json!(schema))))
        .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:agent_runner_api:schema:dod",
        "title": "Items of a Definition of Done",
        "type": "array",
        "maxItems": MAX_ITEMS,
        "items": {"$ref": format!("#/$defs/{}", ItemSpec::name())},
        "$defs": parts,
    })
}

/// The references of an OpenAPI document, as references of this one.
fn pointed(value: Value) -> Value {
    match value {
        Value::String(text) => match text.strip_prefix("#/components/schemas/") {
            Some(name) => Value::String(format!("#/$defs/{name}")),
            None => Value::String(text),
        },
        Value::Array(all) => all.into_iter().map(pointed).collect(),
        Value::Object(members) => members
            .into_iter()
            .map(|(name, value)| (name, pointed(value)))
            .collect(),
        other => other,
    }
}
