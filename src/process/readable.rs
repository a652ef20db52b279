//! A descriptor under the runtime's watch: readable when there is something to know.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Puts a descriptor under the runtime's watch.
///
/// # Errors
/// The runtime cannot watch it. Panics outside of a runtime, as everything of tokio's.
#[expect(
    deprecated,
    reason = "the successor is an unsafe function whose condition (the descriptor is owned, and never closed or \
              exchanged while it is watched) an `OwnedFd` that nobody else gets at meets; no unsafe code here"
)]
pub(super) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(fd, Interest::READABLE)
}
