# Comforts; nothing needs them. `just` alone lists them.

_:
    @just --list

# All tests; those with the real Claude Code say so if they are skipped
test *ARGS:
    cargo test {{ ARGS }}

# What a reviewer would say first
lint:
    cargo fmt --check
    cargo clippy --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps

# A run from request to merge, without a key or a network
demo *ARGS:
    cargo run --release -- demo {{ ARGS }}

# Everything, as a build machine does it
ci:
    .ci/run

# The tests of faults, this many times as long; docs/reliability.md says what they do
soak TIMES="10":
    AGENT_RUNNER_SOAK={{ TIMES }} cargo test --test it faults:: -- --nocapture --test-threads 1

# What a run costs, beside floors of the same run; the table and the plots go to docs/performance.md
bench *ARGS:
    cargo build --release
    cargo run --release -p benches -- --write docs/performance.md {{ ARGS }}
