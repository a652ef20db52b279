//! The OpenAPI document, made from the handlers, and a page that shows it. Nothing is fetched from elsewhere.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::body::Bytes;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::openapi::schema::{SchemaType, Type};
use utoipa::openapi::{
    ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, Ref, RefOr, ResponseBuilder, Schema,
};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use super::problem::{MEDIA_TYPE, ProblemBody};
use super::routes;

/// Scalar's page as one script, compressed; its licence lies beside it.
static SCRIPT: &[u8] = include_bytes!("../../assets/scalar/standalone.js.gz");

/// The frame of the page: the document stands in it, the script shows it.
const PAGE: &str = include_str!("../../assets/scalar/page.html");

/// The page may load what is here and nothing else.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; \
     img-src 'self' data:; font-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'";

/// What each request can meet before it comes to a handler.
const OF_THE_LAYERS: [u16; 8] = [400, 401, 403, 414, 421, 500, 503, 507];

static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(|| {
    let (_, mut document) = routes::all().split_for_parts();
    document.info = InfoBuilder::new()
        .title("agent_runner_api")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Runs headless coding agents in their own git worktrees and merges only what is proven done.",
        ))
        .license(Some(
            LicenseBuilder::new()
                .name("MIT OR Apache-2.0")
                .identifier(Some("MIT OR Apache-2.0"))
                .build(),
        ))
        .build();
    let components = document.components.get_or_insert_default();
    let mut schemas = vec![(ProblemBody::name().into_owned(), ProblemBody::schema())];
    ProblemBody::schemas(&mut schemas);
    components.schemas.extend(schemas);
    open_what_is_flattened(&mut components.schemas);
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            for parameter in operation.parameters.iter_mut().flatten() {
                if let RefOr::T(parameter) = parameter {
                    left_out_if_absent(parameter);
                }
            }
            for status in OF_THE_LAYERS {
                let responses = &mut operation.responses.responses;
                responses
                    .entry(status.to_string())
                    .or_insert_with(|| problem_response(status));
            }
        }
    }
    document
});

/// A type of a request allows no other members; where an answer has all of its members beside others
/// (`allOf`), that would fit nothing, so there it stands with its members alone.
fn open_what_is_flattened(schemas: &mut BTreeMap<String, RefOr<Schema>>) {
    let known = schemas.clone();
    let open = |part: &mut RefOr<Schema>| {
        let RefOr::Ref(to) = part else { return };
        let name = to.ref_location.rsplit('/').next().unwrap_or_default();
        if let Some(RefOr::T(Schema::Object(object))) = known.get(name)
            && object.additional_properties.is_some()
        {
            let mut object = object.clone();
            object.additional_properties = None;
            *part = RefOr::T(Schema::Object(object));
        }
    };
    for schema in schemas.values_mut() {
        if let RefOr::T(Schema::AllOf(all)) = schema {
            all.items.iter_mut().for_each(open);
        }
    }
}

/// In an address and in a header nothing is `null`: what is absent is left out. An empty parameter of a query is as
/// good as none, as forms send it.
fn left_out_if_absent(parameter: &mut Parameter) {
    match &mut parameter.schema {
        Some(RefOr::T(Schema::Object(object))) => without_null(&mut object.schema_type),
        Some(RefOr::T(Schema::Array(array))) => without_null(&mut array.schema_type),
        Some(RefOr::T(Schema::OneOf(one))) => {
            one.items.retain(|item| !is_null(item));
            if let [only] = one.items.as_slice() {
                parameter.schema = Some(only.clone());
            }
        }
        _ => {}
    }
    if parameter.parameter_in == ParameterIn::Query {
        let empty = Extensions::from_iter([("allowEmptyValue", true)]);
        parameter.extensions.get_or_insert_default().merge(empty);
    }
}

fn without_null(schema_type: &mut SchemaType) {
    if let SchemaType::Array(types) = schema_type {
        types.retain(|one| *one != Type::Null);
        if let [only] = types.as_slice() {
            *schema_type = SchemaType::Type(only.clone());
        }
    }
}

fn is_null(schema: &RefOr<Schema>) -> bool {
    matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null))
}

/// The OpenAPI document of this door.
#[must_use]
pub fn openapi() -> &'static OpenApi {
    &DOCUMENT
}

/// Says of an operation that it can answer with a problem of this status.
pub struct Answers<const STATUS: u16>;

impl<const STATUS: u16> IntoResponses for Answers<STATUS> {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        BTreeMap::from([(STATUS.to_string(), problem_response(STATUS))])
    }
}

fn problem_response(status: u16) -> RefOr<utoipa::openapi::Response> {
    let reason = StatusCode::from_u16(status)
        .ok()
        .and_then(|s| s.canonical_reason())
        .unwrap_or("A problem");
    let problem = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(ProblemBody::name())))
        .build();
    ResponseBuilder::new()
        .description(reason)
        .content(MEDIA_TYPE, problem)
        .build()
        .into()
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", tag = "service", operation_id = "openapi",
    responses((status = 200, content_type = "application/json", description = "OpenAPI 3.1")),
)]
pub async fn document() -> Response {
    axum::Json(openapi()).into_response()
}

/// This document as a page
#[utoipa::path(
    get, path = "/docs", tag = "service", operation_id = "docs",
    responses((status = 200, content_type = "text/html", description = "A page")),
)]
pub async fn page() -> Response {
    static HTML: LazyLock<String> = LazyLock::new(|| {
        // `<` could end the element that the document stands in.
        let document = json!(openapi()).to_string().replace('<', "\\u003c");
        PAGE.replace("$spec", &document)
    });
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, PAGE_POLICY),
    ];
    (headers, HTML.as_str()).into_response()
}

/// The script of the page
#[utoipa::path(
    get, path = "/docs/scalar.js", tag = "service", operation_id = "docs_script",
    responses((status = 200, content_type = "text/javascript", description = "Scalar 1.46.4, MIT")),
)]
pub async fn script() -> Response {
    let headers = [
        (CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (CONTENT_ENCODING, "gzip"),
        (CACHE_CONTROL, "public, max-age=86400"),
    ];
    (headers, Bytes::from_static(SCRIPT)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn the_page_holds_the_whole_document_and_loads_one_script_of_ours() {
        let body = page().await.into_body().collect().await.unwrap();
        let html = String::from_utf8(body.to_bytes().to_vec()).unwrap();
        let sources: Vec<_> = html.split(" src=\"").skip(1).collect();
        assert_eq!(sources.len(), 1);
        assert!(sources[0].starts_with("/docs/scalar.js\""));
        let (_, rest) = html.split_once("}'>").unwrap();
        let (document, _) = rest.split_once("</script>").unwrap();
        let document: serde_json::Value = serde_json::from_str(document).unwrap();
        assert_eq!(document, json!(openapi()));
    }
}
