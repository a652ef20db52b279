//! Evidence that comes with its file: `multipart/form-data`, written to disk while it is read.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::extract::multipart::{Field, MultipartError};
use axum::extract::{FromRequest, Multipart, Request};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::app::request::{NewEvidence, Upload};
use crate::app::{FieldProblem, Refused};
use crate::dod::{Author, EvidenceKind};
use crate::effect::{self, Effect};
use crate::http::problem::{Code, Problem};

/// The most bytes of a field that is not the file.
const MAX_FIELD: usize = 4 * 1024;

/// The longest name of a file, as most file systems have it.
const MAX_FILE_NAME: usize = 255;

/// How long the next piece of the body may take to come.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);

/// Evidence that comes with its file.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the shape, for the OpenAPI document")]
pub struct EvidenceForm {
    /// The item, by its id.
    #[schema(nullable = false)]
    item_id: Option<String>,
    /// The item, by its key; an unknown key makes an item that is not required.
    #[schema(nullable = false)]
    item_key: Option<String>,
    /// `file`, if it is there.
    #[schema(nullable = false)]
    kind: Option<EvidenceKind>,
    /// Who brings it; `operator` if absent.
    #[schema(nullable = false)]
    author: Option<Author>,
    /// The file.
    #[schema(value_type = String, format = Binary)]
    file: Vec<u8>,
}

/// A file that is removed when this is dropped, unless somebody has moved it away.
#[derive(Debug)]
pub struct Aside(PathBuf);

impl Drop for Aside {
    fn drop(&mut self) {
        // It may have been moved to where it belongs.
        drop(fs::remove_file(&self.0));
    }
}

/// What came: the evidence, its file, and the file's life on disk.
#[derive(Debug)]
pub struct Received {
    /// What the fields say.
    pub evidence: NewEvidence,
    /// The file.
    pub upload: Upload,
    /// To be kept until the file has been taken.
    pub aside: Aside,
}

/// Reads evidence with its file, of at most `limit` bytes, into `folder`.
///
/// # Errors
/// It is no multipart body, a field is unknown, wrong or missing, the file is too large or too slow.
pub async fn receive(request: Request, folder: &Path, limit: u64) -> Result<Received, Problem> {
    let mut parts = Multipart::from_request(request, &())
        .await
        .map_err(|e| Problem::new(Code::BadMultipart, e.body_text()))?;
    let mut evidence = NewEvidence::default();
    let mut file = None;
    while let Some(field) = in_time(parts.next_field()).await? {
        let name = field.name().unwrap_or_default().to_owned();
        let refused = |detail: &str| Problem::field(format!("/{name}"), detail);
        let slot = match name.as_str() {
            "file" if file.is_some() => return Err(refused("send one file")),
            "file" => {
                file = Some(write_aside(field, folder, limit).await?);
                continue;
            }
            "item_id" => &mut evidence.item_id,
            "item_key" => &mut evidence.item_key,
            "kind" => &mut evidence.kind,
            "author" => {
                let word = text(field).await?;
                let author = Author::deserialize(serde_json::Value::String(word))
                    .map_err(|e| refused(&e.to_string()))?;
                evidence.author = Some(author);
                continue;
            }
            _ => return Err(refused("there is no such field here")),
        };
        if slot.is_some() {
            return Err(refused("send it once"));
        }
        *slot = Some(text(field).await?);
    }
    let (upload, aside) = file.ok_or_else(|| {
        Problem::invalid(vec![FieldProblem::new(
            "/file",
            "send the file as the field `file`",
        )])
    })?;
    Ok(Received {
        evidence,
        upload,
        aside,
    })
}

async fn in_time<T>(
    reading: impl Future<Output = Result<T, MultipartError>>,
) -> Result<T, Problem> {
    match tokio::time::timeout(PIECE_TIMEOUT, reading).await {
        Ok(read) => read.map_err(of_multipart),
        Err(_) => Err(Problem::new(
            Code::RequestTimeout,
            format!("nothing came for {} s", PIECE_TIMEOUT.as_secs()),
        )),
    }
}

fn of_multipart(error: MultipartError) -> Problem {
    let detail = error.body_text();
    match error.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::TooLarge, detail),
        _ => Problem::new(Code::BadMultipart, detail),
    }
}

/// The words of a field.
async fn text(mut field: Field<'_>) -> Result<String, Problem> {
    let name = format!("/{}", field.name().unwrap_or_default());
    let mut bytes = Vec::new();
    while let Some(piece) = in_time(field.chunk()).await? {
        if bytes.len() + piece.len() > MAX_FIELD {
            return Err(Problem::field(name, format!("over {MAX_FIELD} bytes")));
        }
        bytes.extend_from_slice(&piece);
    }
    String::from_utf8(bytes).map_err(|_| Problem::field(name, "this is not UTF-8"))
}

/// Writes the file into the folder under a name of ours.
async fn write_aside(
    mut field: Field<'_>,
    folder: &Path,
    limit: u64,
) -> Result<(Upload, Aside), Problem> {
    let file_name = plain_name(field.file_name().unwrap_or_default());
    if file_name.is_empty() || file_name.len() > MAX_FILE_NAME {
        return Err(Problem::field(
            "/file",
            format!("give the file a name of at most {MAX_FILE_NAME} bytes"),
        ));
    }
    let media_type = field.content_type().map(str::to_owned);
    let failed = |source: std::io::Error| {
        Problem::from(Refused::failed(
            anyhow::Error::new(source).context("write an upload aside"),
        ))
    };
    effect::awaits(Effect::UploadWrite)
        .await
        .map_err(|struck| failed(struck.into()))?;
    let path = folder.join(Uuid::now_v7().to_string());
    let aside = Aside(path.clone());
    let mut file = tokio::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .await
        .map_err(failed)?;
    let mut size = 0_u64;
    while let Some(piece) = in_time(field.chunk()).await? {
        size += piece.len() as u64;
        if size > limit {
            return Err(Problem::new(
                Code::TooLarge,
                format!("a file has at most {limit} bytes"),
            ));
        }
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.flush().await.map_err(failed)?;
    let upload = Upload {
        file_name,
        media_type,
        path,
    };
    Ok((upload, aside))
}

/// The name without the folders that some clients send along, and without control characters.
fn plain_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    last.chars().filter(|c| !c.is_control()).collect()
}
