//! I11: nothing that a client sends makes the service fail or panic, as far as this process knows of itself.

use super::finding::{Code, Finding};
use crate::clock::rfc3339;
use crate::runner::failures::Failures;

const REPORT: &str =
    "the log has the cause under this id; it is an error of this program, please report it";

pub(super) fn check(failures: &Failures) -> Vec<Finding> {
    let told = failures.told();
    let requests = told.requests.iter().map(|request| {
        let at = format!("{} {}", request.method, request.path);
        let detail = format!(
            "answered with {} at {}, request {}{}",
            request.status,
            rfc3339(request.at),
            request.request_id,
            before(told.requests_forgotten)
        );
        Finding::new(Code::RequestFailed, at, detail).by_hand(REPORT)
    });
    let panics = told.panics.iter().map(|panic| {
        let detail = format!(
            "a panic at {}: {}{}",
            rfc3339(panic.at),
            panic.said,
            before(told.panics_forgotten)
        );
        Finding::new(Code::Panicked, &panic.place, detail).by_hand(REPORT)
    });
    requests.chain(panics).collect()
}

fn before(forgotten: u64) -> String {
    match forgotten {
        0 => String::new(),
        n => format!(" ({n} more before the newest that are kept)"),
    }
}
