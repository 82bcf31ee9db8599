# Short names for what developers and CI do. PYTHON needs the extras of `pip install -e '.[dev]'`.
PYTHON ?= python3
CLANG ?= clang
STRICT = -std=c11 -O2 -Wall -Wextra -Wconversion -Wshadow -Werror -Wstrict-prototypes
INCLUDES = -Icsrc -Icsrc/include
C_FILES = $(shell find csrc -name '*.c' -not -path 'csrc/examples/*' | sort)
C_TEXT = $(shell find csrc vnic -name '*.[ch]' -not -path 'csrc/gen/*' | sort)
SANITIZED = build/sanitize-coverage
FUZZ_SECONDS ?= 20
PREFIX ?= /usr/local
LIB = build/lib
LIB_FLAGS ?= -O3
LIB_OBJECTS = $(C_FILES:%.c=$(LIB)/objects/%.o)
LIB_HEADERS = $(wildcard csrc/include/vnic/*.h)
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
MAJOR = $(firstword $(subst ., ,$(VERSION)))

.PHONY: build lib install test lint types drift check-c tidy format asan coverage perf bars fuzz planted mutants seeded random-mutants campaigns replay-all nightly clean

build:
	$(PYTHON) setup.py -q build_ext --inplace

# The C library for programs of others: libvnic.so, libvnic.a, headers, vnic.pc. `make install PREFIX=...` copies them.
lib: $(LIB)/libvnic.so $(LIB)/libvnic.a $(LIB)/pkgconfig/vnic.pc

$(LIB)/objects/%.o: %.c $(shell find csrc -name '*.h')
	@mkdir -p $(@D)
	$(CC) -std=gnu11 $(LIB_FLAGS) -fPIC -fvisibility=hidden $(INCLUDES) -c $< -o $@

$(LIB)/libvnic.so.$(MAJOR): $(LIB_OBJECTS)
	$(CC) -shared -Wl,-soname,$(@F) -Wl,--no-undefined $(LIB_FLAGS) $^ -o $@

$(LIB)/libvnic.so: $(LIB)/libvnic.so.$(MAJOR)
	ln -sf $(<F) $@

# One object in which what is not public is local: no name of ours meets one of the program's.
$(LIB)/libvnic.a: $(LIB_OBJECTS)
	$(LD) -r $^ -o $(LIB)/vnic.o
	objcopy --localize-hidden $(LIB)/vnic.o
	rm -f $@
	$(AR) rcs $@ $(LIB)/vnic.o

# Of the build folder as it stands; the one that is installed names PREFIX.
$(LIB)/pkgconfig/vnic.pc: Makefile pyproject.toml $(LIB_HEADERS)
	mkdir -p $(@D) $(LIB)/include/vnic
	cp $(LIB_HEADERS) $(LIB)/include/vnic/
	printf 'prefix=%s\nlibdir=$${prefix}\nincludedir=$${prefix}/include\n\n' '$(abspath $(LIB))' > $@
	printf 'Name: vnic\nDescription: A virtual network card and a host stack\nVersion: %s\n' '$(VERSION)' >> $@
	printf 'Libs: -L$${libdir} -lvnic\nCflags: -I$${includedir}\n' >> $@

install: lib
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/include/vnic
	install -m 755 $(LIB)/libvnic.so.$(MAJOR) $(DESTDIR)$(PREFIX)/lib/
	ln -sf libvnic.so.$(MAJOR) $(DESTDIR)$(PREFIX)/lib/libvnic.so
	install -m 644 $(LIB)/libvnic.a $(DESTDIR)$(PREFIX)/lib/
	install -m 644 $(LIB_HEADERS) $(DESTDIR)$(PREFIX)/include/vnic/
	sed -e 's|^prefix=.*|prefix=$(PREFIX)|' -e 's|^libdir=.*|libdir=$${prefix}/lib|' \
	    $(LIB)/pkgconfig/vnic.pc > $(DESTDIR)$(PREFIX)/lib/pkgconfig/vnic.pc

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
	$(PYTHON) spec/ndis_header.py --check

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
	PYTHONPATH=$(SANITIZED)/lib VNIC_SANITIZE=1 VNIC_COVERAGE=1 VNIC_FUZZ_EFFORT=1 \
	    ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	    LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so.6)" \
	    pytest -n 3 --dist loadfile --capture=sys -p no:faulthandler -p no:cacheprovider

# Of the last `make asan`. LEFT_OUT: files that need instructions which this processor lacks.
coverage:
	$(PYTHON) .ci/source_branches.py build
	gcovr --branches --config .ci/gcovr.cfg $(foreach file,$(LEFT_OUT),--exclude '$(file)') build

perf:
	$(PYTHON) -m tests.perf --json perf.json

# The TCP engine's goodput under loss beside theory, in virtual time; 1 when a bar is missed.
bars:
	$(PYTHON) -m tests.bars

# Every fuzz target for FUZZ_SECONDS of processor time under ASan and UBSan; what they do not survive is kept in
# build/found. Without clang: programs with gcc's sanitizers and random inputs.
fuzz:
	mkdir -p build
	if $(CLANG) -fsanitize=fuzzer -xc -c /dev/null -o /dev/null 2>/dev/null; then \
	    $(PYTHON) -m tests.fuzz.campaign --cpu-seconds $(FUZZ_SECONDS) --jobs 2 \
	        --folder build/fuzz --keep build/found --json build/fuzz.json; \
	else \
	    $(PYTHON) -m tests.fuzz.workshop --run $(FUZZ_SECONDS); \
	fi

# The bugs that are planted in a copy of csrc: does each target find its own again?
planted:
	$(PYTHON) -m tests.fuzz.planted --folder build/planted

# Seeds faults of every kind that the rules of the chimney and of NetDMA forbid, one at a time: do the tests of the
# rule notice?
mutants:
	$(PYTHON) -m tests.mutants

# Seeds mistakes that authors make into drivers and card: does the conformance suite notice?
seeded:
	$(PYTHON) -m tests.seeded --first --jobs 2

# Random mutants of csrc: does anything notice? Goes on where it was when it is started again.
random-mutants:
	$(PYTHON) -m tests.mutants.random --folder build/mutants --count 500

# Every target of `vnic fuzz` for FUZZ_SECONDS; what is found is kept in build/findings.
campaigns:
	for target in card copy driver machine chimney chimney-driver netdma netdma-driver trace; do \
	    $(PYTHON) -m vnic fuzz $$target --time $(FUZZ_SECONDS)s --jobs 2 --keep build/findings || exit 1; \
	done

# Every device that a test makes is recorded, and replayed after it.
replay-all:
	pytest -n 2 --dist loadfile --vnic-replay

# Needs what CI needs, and chromium; hours.
nightly: asan coverage replay-all
	VNIC_HYPOTHESIS=nightly pytest -n 2 --dist loadfile
	$(MAKE) bars
	$(MAKE) mutants
	$(MAKE) seeded
	$(MAKE) planted
	$(MAKE) random-mutants
	$(MAKE) campaigns FUZZ_SECONDS=600
	$(MAKE) fuzz FUZZ_SECONDS=600

clean:
	rm -rf build vnic/*.so *.egg-info
