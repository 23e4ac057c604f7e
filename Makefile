# Two commands do everything on a fresh machine with a Rust toolchain: `make demo`, `make test`.
.PHONY: demo test lint adapter

CARGO ?= cargo

demo: adapter
	$(CARGO) run --release -- demo

test: adapter lint
	$(CARGO) test --release

# Formatting, lints and documentation.
lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --release --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --no-deps --quiet

# A Vulkan adapter: does nothing where there is one.
adapter:
	@scripts/ensure-adapter
