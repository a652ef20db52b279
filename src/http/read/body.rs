//! JSON bodies: of the right media type, within their limit, in time, and nothing in them that is not known.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use crate::http::problem::{Code, Problem};

/// The most bytes of a JSON body.
pub const MAX_BODY: usize = 2 * 1024 * 1024;

/// How much of a body that is over the limit is read and thrown away before its sender is cut off.
const MAX_THROWN_AWAY: usize = 64 * 1024 * 1024;

/// How long a body may take to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A body that must be there.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

/// A body that may be left out together with its media type, or be `null`.
#[derive(Debug)]
pub struct OptionalJsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let bytes = whole(request).await?;
        must_be_json(is_json)?;
        parse(&bytes).map(JsonBody)
    }
}

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let bytes = whole(request).await?;
        if bytes.is_empty() {
            return Ok(OptionalJsonBody(T::default()));
        }
        must_be_json(is_json)?;
        let value: Option<T> = parse(&bytes)?;
        Ok(OptionalJsonBody(value.unwrap_or_default()))
    }
}

/// Whether the body is said to be JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let mut all = headers.get_all(CONTENT_TYPE).iter();
    let (Some(kind), None) = (all.next(), all.next()) else {
        return false;
    };
    let kind = kind.to_str().unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn must_be_json(is_json: bool) -> Result<(), Problem> {
    if is_json {
        return Ok(());
    }
    Err(Problem::new(
        Code::UnsupportedMediaType,
        "send the body as `content-type: application/json`",
    ))
}

/// All bytes of a body, within the limit of JSON and in time.
///
/// # Errors
/// There are too many, they are too slow, or the client went away.
pub async fn whole(request: Request) -> Result<Vec<u8>, Problem> {
    match tokio::time::timeout(BODY_TIMEOUT, collected(request.into_body())).await {
        Ok(Ok(Some(bytes))) => Ok(bytes),
        Ok(Ok(None)) => Err(Problem::new(
            Code::TooLarge,
            format!("a JSON body has at most {MAX_BODY} bytes"),
        )),
        Ok(Err(e)) => Err(Problem::new(
            Code::BadRequest,
            format!("the body broke off: {e}"),
        )),
        Err(_) => Err(Problem::new(
            Code::RequestTimeout,
            format!("the body took over {} s", BODY_TIMEOUT.as_secs()),
        )),
    }
}

/// The bytes of the body; nothing if there are too many. Those are read on for a while and thrown away: a client that
/// is still sending would see its connection break and not the answer.
async fn collected(mut body: Body) -> Result<Option<Vec<u8>>, axum::Error> {
    let (mut bytes, mut seen) = (Vec::new(), 0);
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame?.into_data() else {
            continue;
        };
        seen += piece.len();
        if seen <= MAX_BODY {
            bytes.extend_from_slice(&piece);
        } else if seen > MAX_THROWN_AWAY {
            break;
        }
    }
    Ok((seen <= MAX_BODY).then_some(bytes))
}

/// The value in these bytes.
///
/// # Errors
/// `not_json` with the line and column, or `invalid` with a pointer to the field.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice::<IgnoredAny>(bytes).map_err(|e| not_json(&e))?;
    // serde would take a list of the values in their order as well.
    if bytes.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[') {
        return Err(Problem::field("", "write an object, not a list"));
    }
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut reader).map_err(|e| {
        let inner = e.inner();
        match inner.classify() {
            Category::Data => Problem::field(pointer(e.path(), inner), sentence(inner)),
            Category::Syntax | Category::Eof | Category::Io => not_json(inner),
        }
    })
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::new(Code::NotJson, error.to_string())
}

/// The JSON pointer (RFC 6901) to the field that the error is about.
fn pointer(path: &Path, error: &serde_json::Error) -> String {
    let mut pointer = String::new();
    for segment in path {
        let name = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { .. } | Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&name);
    }
    // What is missing or stands twice is told of the object around it; its name is in the words.
    let words = error.to_string();
    if let Some(name) = words
        .strip_prefix("missing field `")
        .or_else(|| words.strip_prefix("duplicate field `"))
        .and_then(|rest| rest.split('`').next())
    {
        pointer.push('/');
        pointer.push_str(name);
    }
    pointer
}

/// The error without the line and column, which the pointer says better.
fn sentence(error: &serde_json::Error) -> String {
    let words = error.to_string();
    match words.rfind(" at line ") {
        Some(at) => words[..at].to_owned(),
        None => words,
    }
}
