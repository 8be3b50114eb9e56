# A thin front for CMake. `make`, `make test` and `make demo` each do all the set-up they need, once.
BUILD ?= build
JOBS ?= $(shell nproc)
PRESET ?= release

.PHONY: all setup test demo bench interop clean install dist debug sanitize tsan quick

# A compiler's warnings and errors, and a line at the start and at the end; `make VERBOSE=1` shows every command.
all: setup
	@cmake --preset $(PRESET) -B $(BUILD) >/dev/null
	@[ -x $(BUILD)/ste ] || echo "building ste in $(BUILD): a few minutes the first time"
	@cmake --build $(BUILD) -j $(JOBS) -- --no-print-directory
	@echo "$(BUILD)/ste is built"

setup:
	@sh scripts/setup.sh

test: all
	@sh scripts/models.sh $(BUILD)/ste smollm2-135m-instruct
	@cd $(BUILD) && ctest --output-on-failure

# The unit tests and the scripts that need no model: a minute.
quick: all
	@cd $(BUILD) && ctest --output-on-failure -LE model

demo: all
	@sh scripts/models.sh $(BUILD)/ste qwen2.5-coder-0.5b-instruct
	@sh scripts/demo.sh $(BUILD)/ste "$(SEED)" "$(PAIRS)" "$(LIMIT)"

interop: all
	@sh tests/interop/run.sh $(BUILD)/ste

# Against llama.cpp, OpenVINO GenAI, torch + PEFT and TRL: about two hours. WORK="generate-0.5B train-0.5B" does a part.
bench: all
	@cmake --build $(BUILD) --target ste-bench-kernels >/dev/null
	@sh bench/run.sh $(BUILD)/ste $(BUILD)/ste-bench-kernels $(WORK)

debug:
	@$(MAKE) --no-print-directory all PRESET=debug BUILD=build-debug

sanitize:
	@$(MAKE) --no-print-directory all PRESET=sanitize BUILD=build-sanitize
	@cd build-sanitize && ctest --output-on-failure -LE model

# Two judges in two threads, the pool and the scheduler, under ThreadSanitizer.
tsan:
	@$(MAKE) --no-print-directory all PRESET=tsan BUILD=build-tsan
	@cd build-tsan && ctest --output-on-failure -R "library.test_library_judges|llm\.|engine.test_engine_generate"

# make install PREFIX=/usr DESTDIR=/tmp/package
install: all
	@cmake --install $(BUILD) $(if $(PREFIX),--prefix $(PREFIX))

# The release of this commit: the same bytes whenever and wherever it is made.
dist:
	@sh scripts/dist.sh

clean:
	@rm -rf build build-debug build-sanitize build-tsan
