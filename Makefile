# The only entry points; continuous integration calls the same ones. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PY := .venv/bin/python
CTEST := ctest --output-on-failure --no-tests=error -j2 -E DISABLED

.PHONY: fuzz sim mutants help setup build test test-unit test-asan test-tsan test-python test-gpu demo bench bench-compare bench-journal bench-scheduler soak lint tidy format clean

help:            ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "make %-13s %s\n", $$1, $$2}' Makefile

setup:           ## install what a fresh Debian 12 lacks: system packages and .venv
	@scripts/setup.sh

build: setup     ## compile everything once (build/dev) and put it into .venv
	@[ -f build/dev/build.ninja ] || cmake --preset dev >/dev/null
	@cmake --build --preset dev
	@scripts/install_dev.sh

test: lint test-unit test-asan fuzz test-python  ## run every test; what continuous integration calls

test-unit: build ## unit tests of the C++ core
	@cd build/dev && $(CTEST)

test-asan: setup ## unit tests under address and undefined-behaviour sanitizers
	@[ -f build/asan/build.ninja ] || cmake --preset asan >/dev/null
	@cmake --build --preset asan
	@cd build/asan && $(CTEST)

fuzz: setup      ## feed random bytes to everything that reads a stranger's, for SECONDS=60
	@[ -f build/asan/build.ninja ] || cmake --preset asan >/dev/null
	@cmake --build --preset asan
	@tests/fuzz/run.sh build/asan $(or $(SECONDS),60)

test-tsan: setup ## unit tests of what has threads under the thread sanitizer
	@[ -f build/tsan/build.ninja ] || cmake --preset tsan >/dev/null
	@cmake --build --preset tsan --target dc_client_test dc_net_test dc_store_test dc_worker_test dc_gpu_test
	@cd build/tsan && $(CTEST) -R 'PoolClient|EventLoop|Session|Worker|Runtime|Watch|Journal'

sim: setup       ## simulate clusters: SEED=n replays one with its trace; N=3000 FIRST=12345 runs many, LARGE=nodes|jobs large ones
	@[ -f build/dev/build.ninja ] || cmake --preset dev >/dev/null
	@cmake --build --preset dev --target dc_sim >/dev/null
	@build/dev/tests/sim/dc_sim $(if $(SEED),--seed $(SEED),--seeds $(or $(N),2000) --first $(or $(FIRST),1)) $(if $(LARGE),--large $(LARGE))

mutants: setup   ## break one promise at a time and show that the simulator finds it
	@[ -f build/dev/build.ninja ] || cmake --preset dev >/dev/null
	@tests/sim/mutants.sh $(FIRST)

test-python: build ## Python unit tests, house rules, and system tests with real processes
	@$(PY) -m pytest -q -n 4 --dist worksteal

test-gpu: build  ## what only a real NVIDIA GPU can show; skips with the reason where there is none
	@$(PY) tests/gpu/run.py $(ONLY)

demo: build      ## the main job on real input, with real faults
	@$(PY) examples/demo.py

bench: build     ## speed side by side with multiprocessing.Pool and dask.distributed
	@$(PY) -c 'import distributed' 2>/dev/null || $(PY) -m pip install -q --disable-pip-version-check 'dask[distributed]'
	@$(PY) bench/run.py

bench-compare: build ## 11 interleaved pairs of this build and the one in BASE=<another built checkout>
	@$(PY) bench/compare.py $(BASE) --pairs $(or $(PAIRS),11)

bench-journal: build ## memory, replay and journal of a named pool with JOBS=1000000
	@$(PY) bench/journal.py --jobs $(or $(JOBS),1000000)

bench-scheduler: setup ## what the scheduler costs at sizes up to 10,000 workers; RECORD=1 adds to bench/scheduler.jsonl
	@[ -f build/dev/build.ninja ] || cmake --preset dev >/dev/null
	@cmake --build --preset dev --target bench_scheduler >/dev/null
	@bench/scheduler.sh $(RECORD)

soak: build      ## kill something every few seconds for MINUTES=30; nothing may be lost or left
	@PYTHONPATH=tests/system $(PY) tests/system/soak.py --minutes $(or $(MINUTES),30)

lint: setup      ## formatting and static checks
	@git ls-files -co --exclude-standard '*.cpp' '*.hpp' | xargs clang-format --dry-run --Werror
	@.venv/bin/ruff check -q . && .venv/bin/ruff format -q --check .

tidy: build      ## look for mistakes with clang-tidy (slow; .clang-tidy says what for)
	@git ls-files 'src/*.cpp' ':!*_test.cpp' | xargs -P2 -n4 clang-tidy -p build/dev --quiet

format: setup    ## rewrite all sources in the house style
	@git ls-files -co --exclude-standard '*.cpp' '*.hpp' | xargs clang-format -i
	@.venv/bin/ruff check -q --fix . ; .venv/bin/ruff format -q .

clean:           ## remove everything that was built (not .venv)
	@rm -rf build
