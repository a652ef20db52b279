//! How the program is linked: at a fixed address, where that is possible.
//!
//! Two more processes of this program are made for each agent, and a supervisor stays as long as its agent. At an address
//! that is only known at the start, each of them writes its tens of thousands of pointers anew before its first
//! instruction: milliseconds, and a megabyte of memory that nobody shares. `docs/design/0019-start-path.md` has the figures,
//! and what is given up for it.

#[expect(
    clippy::disallowed_methods,
    reason = "cargo tells the target by variables"
)]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let of_target = |name: &str| std::env::var(name).unwrap_or_default();
    // Where libc is linked in (musl), the linker makes its own choice.
    if of_target("CARGO_CFG_TARGET_OS") == "linux" && of_target("CARGO_CFG_TARGET_ENV") == "gnu" {
        println!("cargo::rustc-link-arg-bins=-no-pie");
    }
}
