# Short names for what developers and CI do. PYTHON needs the extras of `pip install -e '.[dev]'`.
PYTHON ?= python3
CLANG ?= clang
STRICT = -std=c11 -O2 -Wall -Wextra -Wconversion -Wshadow -Werror -Wstrict-prototypes
INCLUDES = -Icsrc -Icsrc/include
C_FILES = $(shell find csrc -name '*.c' | sort)
C_TEXT = $(shell find csrc vnic -name '*.[ch]' -not -path 'csrc/gen/*' | sort)
SANITIZED = build/sanitize-coverage
FUZZER = $(foreach part,fuzz_card judge author author_op world tamper bring_up,tests/fuzz/$(part).c)
FUZZ_SECONDS ?= 20

.PHONY: build test lint types drift check-c tidy format asan coverage perf fuzz nightly clean

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

# Random hostile programs on the card under ASan and UBSan; a failure is shrunk into fuzz_card.failure.
fuzz:
	mkdir -p build
	gcc -std=c11 -D_POSIX_C_SOURCE=200809L -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	    $(INCLUDES) -Itests/fuzz $(FUZZER) $(C_FILES) -o build/fuzz_card
	build/fuzz_card --seconds $(FUZZ_SECONDS)

# Needs what CI needs; about half an hour.
nightly: asan coverage
	VNIC_HYPOTHESIS=explore pytest
	$(MAKE) fuzz FUZZ_SECONDS=600

clean:
	rm -rf build vnic/*.so *.egg-info
