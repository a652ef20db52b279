//! The header `Idempotency-Key`: how a repeated request for a run is known again.

use axum::http::HeaderMap;
use serde::Serialize;

use crate::app::{FieldProblem, IdempotencyKey};
use crate::dod::content::sha256_hex;
use crate::http::problem::Problem;

/// The header.
pub const HEADER: &str = "idempotency-key";

/// The longest key.
const MAX_KEY: usize = 255;

/// The key of this request, with the hash of what it asks for. Two bodies that say the same (other order, other
/// spaces, defaults written out) have the same hash.
///
/// # Errors
/// The header is there twice, or is not 1 to 255 printable ASCII characters.
pub fn key(headers: &HeaderMap, body: &impl Serialize) -> Result<Option<IdempotencyKey>, Problem> {
    let mut all = headers.get_all(HEADER).iter();
    let Some(value) = all.next() else {
        return Ok(None);
    };
    let key = value
        .to_str()
        .ok()
        .filter(|key| (1..=MAX_KEY).contains(&key.len()))
        .filter(|key| key.bytes().all(|b| (b' '..=b'~').contains(&b)));
    let (Some(key), None) = (key, all.next()) else {
        return Err(Problem::invalid(vec![FieldProblem::new(
            "Idempotency-Key",
            "send it once, with 1 to 255 printable ASCII characters",
        )]));
    };
    let canonical = serde_json::to_vec(body)
        .map_err(|e| Problem::internal(anyhow::Error::new(e).context("write a request again")))?;
    Ok(Some(IdempotencyKey {
        key: key.to_owned(),
        body_sha256: sha256_hex(&canonical),
    }))
}
