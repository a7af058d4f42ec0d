# Two commands do everything: `make demo` and `make test`.

TARGET  := x86_64-unknown-linux-musl
RELEASE := target/$(TARGET)/release/runu

# How long `make fuzz` stays with each fuzzer.
FUZZ_SECONDS ?= 60

# The tests that `cargo test` leaves out (`test = false` in tests/Cargo.toml). To cargo, --all-targets
# is without them, whatever else is named beside it.
APART := $(shell awk -F '"' '/^\[/ { kind = $$1 } /^name/ { name = $$2 } \
             /^test = false/ && kind == "[[test]]" { print name }' tests/Cargo.toml)

# All others, in three parts: what needs neither root nor KVM, what has other programs call runu,
# and the rest.
TESTS   := $(filter-out $(APART),$(shell awk -F '"' '/^\[/ { kind = $$1 } \
             /^name/ && kind == "[[test]]" { print $$2 }' tests/Cargo.toml))
UNIT    := architecture bad_facts command_line corpus explain plan policy properties
CALLERS := callers containerd image
KVM     := $(filter-out $(UNIT) $(CALLERS),$(TESTS))

# The tests call the program that ships.
export RUNU_TEST_BIN := $(CURDIR)/$(RELEASE)

.PHONY: demo test test-unit test-kvm test-callers test-emulated soak bench fuzz build guests check tools-demo tools-test

demo: tools-demo build guests ## an ordinary container and a unikernel through one binary
	@tests/demo.sh $(RELEASE)

test: tools-test check build guests ## everything; see docs/testing.md
	cargo test --workspace --no-fail-fast
	@$(MAKE) --no-print-directory test-emulated

test-unit: check build guests ## the part that needs neither root nor KVM
	cargo test --workspace --lib --no-fail-fast
	cargo test -p tests --no-fail-fast $(UNIT:%=--test %)

test-kvm: build guests ## the part that boots guests on this host, as root
	cargo test -p tests --no-fail-fast $(KVM:%=--test %)

test-callers: build guests ## the part in which containerd, podman and dockerd call runu
	cargo test -p tests --no-fail-fast $(CALLERS:%=--test %)

test-emulated: build guests ## the part in the software-emulated machine
	tests/machine/tests.sh $(RELEASE)
	tests/machine/tests.sh --systemd $(RELEASE)
	tests/machine/tests.sh --linux $(RELEASE)

soak: tools-test build guests ## the containerd scenario twenty times, 200 starts and stops of a pod, 16 MiB each way
	RUNU_TEST_REQUIRE_ALL=1 RUNU_SOAK=20 RUNU_CHURN=200 cargo test -p tests --test containerd -- --nocapture
	tests/machine/tests.sh --network $(RELEASE)
	tests/machine/tests.sh --containerd $(RELEASE)

bench: tools-test build ## what delegation costs, beside runc alone; what deciding takes
	cargo bench -p tests --bench delegate
	cargo bench -p tests --bench decide

# The sanitizers' flags are for nightly compilers, or for a stable one that is told so.
fuzz: export RUSTC_BOOTSTRAP := 1
fuzz: ## every fuzzer for FUZZ_SECONDS; see fuzz/README.md
	@command -v cargo-fuzz >/dev/null || { echo "cargo fuzz is missing: cargo install cargo-fuzz"; exit 1; }
	for target in $$(cargo fuzz list); do \
		cargo fuzz run --all-features --target x86_64-unknown-linux-gnu $$target -- -dict=fuzz/$$target.dict \
			-max_total_time=$(FUZZ_SECONDS) -max_len=65536 -timeout=5 -rss_limit_mb=1024 || exit 1; \
	done

build:
	cargo build --release --locked -p runu

guests:
	@$(MAKE) --no-print-directory -C fixtures/guests

check:
	cargo fmt --check --all
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --locked --workspace --all-targets -- -D warnings
	cargo clippy --locked -p tests $(APART:%=--test %) -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --quiet
	@if command -v cargo-deny >/dev/null; then cargo deny --log-level error check bans licenses sources; \
	else echo "SKIPPED: cargo deny is not installed (cargo install cargo-deny)"; fi
	@$(MAKE) --no-print-directory -C fixtures/guests check

tools-demo tools-test: tools-%:
	@tests/tools.sh $*
