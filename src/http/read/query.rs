//! Queries: each parameter is known, has a value that fits, and stands there once unless it may repeat.

use std::convert::Infallible;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use super::since;
use crate::app::FieldProblem;
use crate::app::request::{PageRequest, RunFilter};
use crate::clock;
use crate::http::problem::Problem;
use crate::run::Status;

/// How many runs a page of the list has if the client does not say.
const DEFAULT_PAGE: u32 = 50;
/// The most runs of a page.
pub const MAX_PAGE: u32 = 500;
/// The longest value of a parameter that is text.
pub const MAX_TEXT: usize = 512;

/// The parameters of a query in their order.
#[derive(Debug, Clone, Default)]
pub struct Query {
    pairs: Vec<(String, String)>,
    bad: Vec<FieldProblem>,
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Query::parse(parts.uri.query().unwrap_or_default()))
    }
}

/// How an error names a parameter: a JSON pointer speaks of bodies only.
fn pointer(name: &str) -> String {
    format!("?{name}")
}

impl Query {
    /// The parameters of a query string.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Query {
            pairs: form_urlencoded::parse(text.as_bytes())
                .into_owned()
                .collect(),
            bad: Vec::new(),
        }
    }

    fn refuse(&mut self, name: &str, detail: impl Into<String>) {
        self.bad.push(FieldProblem::new(pointer(name), detail));
    }

    /// Takes out every value of a parameter that may repeat.
    fn all(&mut self, name: &str) -> Vec<String> {
        self.pairs
            .extract_if(.., |(key, _)| key == name)
            .map(|(_, value)| value)
            .collect()
    }

    /// Takes out the value of a parameter; an empty one is none, as forms send it.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let mut all = self.all(name);
        let value = all.pop();
        if !all.is_empty() {
            self.refuse(name, "write it once");
        }
        if value.as_ref().is_some_and(|v| v.len() > MAX_TEXT) {
            self.refuse(name, format!("over {MAX_TEXT} bytes"));
        }
        value.filter(|v| !v.is_empty())
    }

    /// Takes out the value of a parameter as what it should be; `expected` says what that is.
    pub fn one<T: FromStr>(&mut self, name: &str, expected: &str) -> Option<T> {
        let value = self.text(name)?;
        let parsed = value.parse().ok();
        if parsed.is_none() {
            self.refuse(name, format!("{value:?} is not {expected}"));
        }
        parsed
    }

    /// Takes out the value of a parameter that is one of a few words.
    pub fn word<T: DeserializeOwned>(&mut self, name: &str, expected: &str) -> Option<T> {
        let value = self.text(name)?;
        let word = T::deserialize(serde_json::Value::String(value.clone())).ok();
        if word.is_none() {
            self.refuse(name, format!("{value:?} is not {expected}"));
        }
        word
    }

    /// Takes out the filters of the list and of the stream of all runs.
    pub fn filter(&mut self) -> RunFilter {
        let mut status = Vec::new();
        let values = self.all("status");
        let words = values.iter().flat_map(|v| v.split(','));
        for word in words.map(str::trim).filter(|w| !w.is_empty()) {
            match Status::ALL.iter().find(|s| s.as_str() == word) {
                Some(known) if status.contains(known) => {}
                Some(known) => status.push(*known),
                None => {
                    let words = Status::ALL.map(Status::as_str).join(", ");
                    self.refuse("status", format!("{word:?} is none of: {words}"));
                }
            }
        }
        let app = self.text("app");
        let since = self.since();
        RunFilter { status, app, since }
    }

    /// Takes out the moment since when.
    pub fn since(&mut self) -> Option<Timestamp> {
        let text = self.text("since")?;
        match since::parse(&text, clock::now()) {
            Ok(time) => Some(time),
            Err(why) => {
                self.refuse("since", why);
                None
            }
        }
    }

    /// Takes out the place in a list.
    pub fn page(&mut self) -> PageRequest {
        let cursor = self.text("cursor");
        let limit = self
            .one("limit", "a number from 1 to 500")
            .unwrap_or(DEFAULT_PAGE);
        if !(1..=MAX_PAGE).contains(&limit) {
            self.refuse("limit", format!("{limit} is not a number from 1 to 500"));
        }
        PageRequest { cursor, limit }
    }

    /// The end of reading: nothing may be left over.
    ///
    /// # Errors
    /// Every parameter that is unknown or wrong.
    pub fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in std::mem::take(&mut self.pairs) {
            self.refuse(&name, "there is no such parameter here");
        }
        if self.bad.is_empty() {
            Ok(())
        } else {
            Err(Problem::invalid(self.bad))
        }
    }
}
