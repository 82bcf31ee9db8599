# Short names for what developers and CI do. PYTHON needs the extras of `pip install -e '.[dev]'`.
PYTHON ?= python3
CLANG ?= clang
STRICT = -std=c11 -O2 -Wall -Wextra -Wconversion -Wshadow -Werror -Wstrict-prototypes
INCLUDES = -Icsrc -Icsrc/include
C_FILES = $(shell find csrc -name '*.c' | sort)
C_TEXT = $(shell find csrc vnic -name '*.[ch]' -not -path 'csrc/gen/*' | sort)
SANITIZED = build/sanitize-coverage

.PHONY: build test lint types drift check-c tidy format asan coverage perf nightly clean

build:
	$(PYTHON) setup.py -q build_ext --inplace

test: build
	$(PYTHON) -m pytest

lint:
	$(PYTHON) -m ruff check .

types:
	$(PYTHON) -m mypy

# Everything generated is what its source makes today.
drift:
	$(PYTHON) spec/regen.py --check
	$(PYTHON) spec/abi.py --check

check-c:
	@printf '%s\n' $(C_FILES) | xargs -P 2 -I{} gcc $(STRICT) $(INCLUDES) -c {} -o /dev/null
	@printf '%s\n' $(C_FILES) | xargs -P 2 -I{} $(CLANG) $(STRICT) $(INCLUDES) -c {} -o /dev/null
	@echo "$(words $(C_FILES)) C files compile without a warning"

tidy:
	clang-tidy --quiet $(C_FILES) -- -std=c11 $(INCLUDES)

format:
	clang-format -i $(C_TEXT)

# The whole suite under ASan and UBSan, counting branches in the same run. libstdc++ comes along for the extensions
# of others that throw: ASan must find it at the start.
asan:
	VNIC_SANITIZE=1 VNIC_COVERAGE=1 $(PYTHON) setup.py -q build
	find build -name '*.gcda' -delete
	PYTHONPATH=$(SANITIZED)/lib VNIC_SANITIZE=1 VNIC_COVERAGE=1 ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	    LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so.6)" \
	    pytest --capture=sys -p no:faulthandler -p no:cacheprovider

# Of the last `make asan`. LEFT_OUT: files that need instructions which this processor lacks.
coverage:
	$(PYTHON) .ci/source_branches.py build
	gcovr --branches --config .ci/gcovr.cfg $(foreach file,$(LEFT_OUT),--exclude '$(file)') build

perf:
	$(PYTHON) -m tests.perf --json perf.json

nightly: asan
	VNIC_HYPOTHESIS=explore pytest

clean:
	rm -rf build vnic/*.so *.egg-info
