# Two commands do everything: `make demo` and `make test`.

TARGET  := x86_64-unknown-linux-musl
RELEASE := target/$(TARGET)/release/runu

# The tests call the program that ships.
export RUNU_TEST_BIN := $(CURDIR)/$(RELEASE)

.PHONY: demo test soak bench build guests check tools-demo tools-test

demo: tools-demo build guests ## an ordinary container and a unikernel through one binary
	@tests/demo.sh $(RELEASE)

test: tools-test check build guests ## everything; see docs/testing.md
	cargo test --no-fail-fast
	tests/machine/tests.sh $(RELEASE)
	tests/machine/tests.sh --systemd $(RELEASE)

soak: tools-test build guests ## the containerd scenario twenty times in a row
	RUNU_TEST_REQUIRE_ALL=1 RUNU_SOAK=20 cargo test --test containerd -- --nocapture

bench: tools-demo build ## what delegation costs, beside runc alone
	cargo bench --bench delegate

build:
	cargo build --release --locked

guests:
	@$(MAKE) --no-print-directory -C fixtures/guests

check:
	cargo fmt --check
	cargo clippy --locked --all-targets --test systemd --test rootless -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny --log-level error check bans licenses sources; \
	else echo "SKIPPED: cargo deny is not installed (cargo install cargo-deny)"; fi
	@$(MAKE) --no-print-directory -C fixtures/guests check

tools-demo tools-test: tools-%:
	@tests/tools.sh $*
