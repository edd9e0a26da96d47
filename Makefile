# Everything starts from one environment, .venv, made on demand; see .ci/prepare for what that needs.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help build demo test bench campaign deploys posture fuzz sanitize clean

BIN := .venv/bin
BUILT := .venv/.built
BUILT_BENCH := .venv/.built-bench
DEMO_ARGS ?=
TEST_ARGS ?=
BENCH_ARGS ?=
CAMPAIGN_ARGS ?=
FUZZ_ARGS ?=
STUBS := $(patsubst controlplane/_native/%.pyi,controlplane._native.%,$(wildcard controlplane/_native/*.pyi))

help:  ## show this
	@echo "make TARGET:"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-8s %s\n", $$1, $$2 }' Makefile
	@echo "First time here: make demo"

build: $(BUILT)  ## make .venv and compile the native core; PYTHON=... chooses the interpreter
	@:

# The environment notices by itself that its folder was moved: then it is as if it had never been built.
ifneq ($(shell cat .venv/.made-in 2>/dev/null),$(CURDIR))
$(BUILT): moved
endif
.PHONY: moved
moved:

$(BUILT): pyproject.toml setup.py .ci/prepare $(wildcard _native/*)
	@PYTHON='$(PYTHON)' .ci/prepare test
	@touch $(BUILT)

$(BUILT_BENCH): $(BUILT)
	@PYTHON='$(PYTHON)' .ci/prepare test,bench
	@touch $(BUILT) $(BUILT_BENCH)

demo: build  ## break a real mesh six ways, without and with the library, and compare; DEMO_ARGS="--json FILE --keep"
	@$(BIN)/controlplane demo $(DEMO_ARGS)

test: build  ## lint, types, layers, then every test; TEST_ARGS="-k guard" runs fewer
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/stubtest --concise $(STUBS)
	$(BIN)/lint-imports
	@.ci/tests $(BIN)/python $(TEST_ARGS)

bench: $(BUILT_BENCH)  ## measure against floors and rivals; BENCH_ARGS="--quick --only 'limit.*'", results in bench/results/
	@mkdir -p bench/results
	$(BIN)/controlplane bench guard --json bench/results/latest.json $(BENCH_ARGS)
	$(if $(findstring --only,$(BENCH_ARGS)),,$(BIN)/controlplane bench propagation --json bench/results/latest.json \
		$(filter --quick --check,$(BENCH_ARGS)))
	$(if $(findstring --only,$(BENCH_ARGS)),,$(BIN)/controlplane bench ingest --json bench/results/latest.json \
		$(filter --quick --check,$(BENCH_ARGS)))
	$(BIN)/controlplane bench detection --json bench/results/latest.json
	$(if $(findstring --only,$(BENCH_ARGS)),,$(BIN)/controlplane bench response --json bench/results/latest.json \
		--hgrm bench/results/response.hgrm --plot bench/results/response.svg $(filter --quick --check,$(BENCH_ARGS)))
	$(if $(findstring --only,$(BENCH_ARGS)),,$(BIN)/controlplane bench dataplane --json bench/results/latest.json \
		$(filter --quick --check,$(BENCH_ARGS)))
	$(if $(findstring --only,$(BENCH_ARGS)),,$(BIN)/controlplane bench dataplane --faults \
		--json bench/results/latest.json --table docs/benchmarks.md $(filter --quick --check,$(BENCH_ARGS)))
	$(BIN)/python -m pytest bench --benchmark-enable --benchmark-only \
		--benchmark-json=bench/results/bench.json

campaign: build  ## a thousand simulated failures, ours beside the textbook policies; CAMPAIGN_ARGS="--seeds 50 --classes leaf_slow"
	@mkdir -p bench/results
	$(BIN)/python -m bench.campaign --json bench/results/latest.json --plot bench/results/campaign.svg \
		--table bench/results/campaign.md --healthy-calls 1e8 $(CAMPAIGN_ARGS)

deploys: build  ## a thousand simulated deploys: healthy versions that must stay, bad ones that must go; DEPLOYS_ARGS="--count 100"
	$(BIN)/python -m bench.deploys $(DEPLOYS_ARGS)

posture: build  ## ten thousand random meshes, trust zones and failures: nothing is left open, nothing crosses a boundary
	POSTURE_CASES=10000 $(BIN)/python -m pytest tests/property/test_posture.py -q

fuzz: build  ## ten million broken requests for the reader of OTLP; FUZZ_ARGS="--inputs 1000000 --first 7"
	$(BIN)/python -m tests.fuzz.wire $(FUZZ_ARGS)

SANITIZED := build/sanitized
sanitize: build  ## the native tests once more, under the address and undefined-behaviour sanitizers
	rm -rf $(SANITIZED) && mkdir -p $(SANITIZED) && cp -r controlplane $(SANITIZED)/ && rm -f $(SANITIZED)/controlplane/_native/*.so
	CFLAGS="-g -O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" \
		$(BIN)/python setup.py -q build_ext --build-lib $(SANITIZED) --build-temp $(SANITIZED)/temp
	LD_PRELOAD="$$(cc -print-file-name=libasan.so)" ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc \
		$(BIN)/python -m pytest -o pythonpath="$(SANITIZED) ." tests/native $(TEST_ARGS)

clean:  ## remove .venv and everything that was generated
	rm -rf .venv build dist controlplane.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis .benchmarks
	rm -f controlplane/_native/*.so bench/results/bench.json
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
