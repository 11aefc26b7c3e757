# Every target first makes what it needs in .venv (see .ci/environment.py) and builds the extension incrementally.
PYTHON := .venv/bin/python
CMAKE := $(PYTHON) -c 'import os, sys, cmake; b = os.path.join(cmake.CMAKE_BIN_DIR, "cmake"); os.execv(b, [b, *sys.argv[1:]])'
NINJA := $(PYTHON) -c 'import os, ninja; print(os.path.join(ninja.BIN_DIR, "ninja"))'
JOBS ?= $(shell nproc)
CPP_SOURCES = $(shell git ls-files --cached --others --exclude-standard 'csrc/*.cpp' 'csrc/*.h' 'csrc/*.inc' 'kernels/cpp/*.cpp' 'kernels/cpp/*.h' 'tests/*.cpp' 'tests/*.h' 'examples/cpp/*.cpp' '.ci/*.cpp')
export MAX_JOBS := $(JOBS)
# The build tools must not load the backend that they are building.
BUILD := TORCH_DEVICE_BACKEND_AUTOLOAD=0
CLANG_FORMAT := $(PYTHON) -c 'import clang_format; clang_format.clang_format()'

.DEFAULT_GOAL := build
.PHONY: train test test-checked test-all lint format bench build cpp-test sanitize sanitize-step clean

.venv/environment: requirements-dev.txt .ci/environment.py
	python3 .ci/environment.py
	@touch $@

# The editable install; the packages import from this checkout, so it is made once for each change of the packaging.
.venv/installed: .venv/environment pyproject.toml setup.py
	$(BUILD) $(PYTHON) -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

build: .venv/environment
	@$(BUILD) $(PYTHON) setup.py -q build_ext --inplace
	@$(MAKE) --no-print-directory .venv/installed

train: build
	$(PYTHON) examples/train_llama.py --model tiny --steps 1800 --out runs/train

bench: build
	$(PYTHON) benchmarks/run.py

# $(call cpp_tests,folder,CMake options,more targets)
define cpp_tests
	@mkdir -p $(1)
	@$(CMAKE) -S . -B $(1) -G Ninja -DCMAKE_MAKE_PROGRAM=$$($(NINJA)) -DPython_EXECUTABLE=$(abspath $(PYTHON)) $(2) \
	  > $(1)/configure.log 2>&1 || { cat $(1)/configure.log; exit 1; }
	@$(CMAKE) --build $(1) --target mtia_tests $(3) -j $(JOBS)
	$(1)/mtia_tests
endef

cpp-test: .venv/environment
	$(call cpp_tests,build/cmake,)

sanitize: .venv/environment
	$(call cpp_tests,build-asan,-DCMAKE_BUILD_TYPE=Debug -DMTIA_SANITIZE=address$(comma)undefined)
	$(call cpp_tests,build-tsan,-DCMAKE_BUILD_TYPE=Debug -DMTIA_SANITIZE=thread -DMTIA_SANITIZE_TORCH=ON)

# $(call sanitized,folder,tests): the extension of a sanitizer's build under Python, see .ci/sanitized.py. Planted faults must
# be reported; two training steps of a small Llama and tests that use threads, fibers and observers must not.
define sanitized
	@$(CMAKE) --build $(1) --target _C -j $(JOBS)
	$(PYTHON) .ci/planted_faults.py $(1)
	$(PYTHON) .ci/sanitized.py $(1) examples/train_llama.py --model tiny --steps 2 --batch 1 --seq 32 --eval-every 1000 \
	  --sample 0 --out $(1)/step
	$(PYTHON) .ci/sanitized.py $(1) -m pytest -q --capture=sys -p no:cacheprovider -m "not slow" -k "not ($(SANITIZED_EXCEPT))" $(2)
endef

SANITIZED_TESTS := tests/device/test_cpp_between_pes.py tests/device/test_streams.py tests/device/test_profiler.py
# Left out: kernels and programs that fault on purpose, which the sanitizer reports first, and Chrome's importer,
# another project's program. Under TSan also files with kernels that race on purpose or with processes that fork.
SANITIZED_EXCEPT := faults_name_their_line or ends_the_process or crashes_of_the_program or may_come_and_go or chrome_and_perfetto
sanitize-step: build sanitize
	$(call sanitized,build-asan,$(SANITIZED_TESTS) tests/device/test_cpp_kernels.py tests/device/test_pinned.py tests/checks)
	$(call sanitized,build-tsan,$(SANITIZED_TESTS))

comma := ,

# The whole suite on the default chip, the kernels on the smaller ones too. A file stays with one worker, which then compiles
# its kernels once; three workers for two cores, since tests of several processes wait now and then.
test: build cpp-test
	$(PYTHON) -m pytest -q -n 3 --dist loadfile -m "not slow"
	MTIA_SIM_CHIP=mtia1 $(PYTHON) -m pytest -q -n 3 --dist loadfile -m "not slow" tests/kernels
	MTIA_SIM_CHIP=mtia2i $(PYTHON) -m pytest -q -n 3 --dist loadfile -m "not slow" tests/kernels

# The suite again, with the device in checked mode: a test that leaves a finding fails.
test-checked: build
	MTIA_SIM_CHECK=1 $(PYTHON) -m pytest -q -n 2 --dist loadfile -m "not slow"

test-all: build cpp-test sanitize-step test-checked
	$(PYTHON) -m pytest -q -n 2 --dist loadfile

lint: .venv/environment
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(if $(CPP_SOURCES),$(CLANG_FORMAT) --dry-run -Werror $(CPP_SOURCES))

format: .venv/environment
	$(PYTHON) -m ruff check --fix -q . || true
	$(PYTHON) -m ruff format .
	$(if $(CPP_SOURCES),$(CLANG_FORMAT) -i $(CPP_SOURCES))

clean:
	rm -rf build build-* dist *.egg-info python/*.egg-info .mypy_cache .ruff_cache .pytest_cache .venv/installed
	find python -name '*.so' -delete
