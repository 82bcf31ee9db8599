# Short names for what developers and CI do. PYTHON needs the extras of `pip install -e '.[dev]'`.
PYTHON ?= python3
CLANG ?= clang
STRICT = -std=c11 -O2 -Wall -Wextra -Wconversion -Wshadow -Werror -Wstrict-prototypes
INCLUDES = -Icsrc -Icsrc/include
C_FILES = $(shell find csrc -name '*.c' -not -path 'csrc/examples/*' | sort)
C_TEXT = $(shell find csrc vnic -name '*.[ch]' -not -path 'csrc/gen/*' | sort)
SANITIZED = build/sanitize-coverage
FUZZER = $(foreach part,fuzz_card judge author author_op world tamper bring_up,tests/fuzz/$(part).c)
FUZZ_CHIMNEY = $(foreach part,fuzz_chimney chimney_scene random_bytes,tests/fuzz/$(part).c)
FUZZ_COPY = $(foreach part,fuzz_copy copy_scene copy_acts random_bytes,tests/fuzz/$(part).c)
FUZZ_WORLD = $(foreach part,tcp_world tcp_world_handoff tcp_peer random_bytes,tests/fuzz/$(part).c)
COPY_FILES = $(foreach room,base gen wire pci copy,$(wildcard csrc/$(room)/*.c))
TCP_FILES = $(wildcard csrc/base/*.c csrc/tcp/*.c) csrc/wire/tcp_header.c
FUZZ_SECONDS ?= 20
PREFIX ?= /usr/local
LIB = build/lib
LIB_FLAGS ?= -O3
LIB_OBJECTS = $(C_FILES:%.c=$(LIB)/objects/%.o)
LIB_HEADERS = $(wildcard csrc/include/vnic/*.h)
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
MAJOR = $(firstword $(subst ., ,$(VERSION)))

.PHONY: build lib install test lint types drift check-c tidy format asan coverage perf bars fuzz mutants replay-all nightly clean

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
	    pytest -n 2 --dist loadfile --capture=sys -p no:faulthandler -p no:cacheprovider

# Of the last `make asan`. LEFT_OUT: files that need instructions which this processor lacks.
coverage:
	$(PYTHON) .ci/source_branches.py build
	gcovr --branches --config .ci/gcovr.cfg $(foreach file,$(LEFT_OUT),--exclude '$(file)') build

perf:
	$(PYTHON) -m tests.perf --json perf.json

# The TCP engine's goodput under loss beside theory, in virtual time; 1 when a bar is missed.
bars:
	$(PYTHON) -m tests.bars

# Random hostile programs on the card, then segments and images for the TCP engine, then the chimney, then the copy
# engine, under ASan and UBSan; a card's failure is shrunk into fuzz_card.failure, the others' is left in fuzz.input.
fuzz:
	mkdir -p build
	gcc -std=c11 -D_POSIX_C_SOURCE=200809L -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	    $(INCLUDES) -Itests/fuzz $(FUZZER) $(C_FILES) -o build/fuzz_card
	build/fuzz_card --seconds $(FUZZ_SECONDS)
	for target in segment image; do \
	    gcc -std=c11 -D_POSIX_C_SOURCE=200809L -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	        $(INCLUDES) -Itests/fuzz tests/fuzz/fuzz_$$target.c $(FUZZ_WORLD) $(TCP_FILES) -o build/fuzz_$$target \
	        && build/fuzz_$$target --seconds $(FUZZ_SECONDS) || exit 1; \
	done
	gcc -std=c11 -D_POSIX_C_SOURCE=200809L -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	    $(INCLUDES) -Itests/fuzz $(FUZZ_CHIMNEY) $(C_FILES) -o build/fuzz_chimney
	build/fuzz_chimney --seconds $(FUZZ_SECONDS)
	gcc -std=c11 -D_POSIX_C_SOURCE=200809L -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined \
	    $(INCLUDES) -Itests/fuzz $(FUZZ_COPY) $(COPY_FILES) -o build/fuzz_copy
	build/fuzz_copy --seconds $(FUZZ_SECONDS)

# Seeds faults of every kind that the rules of the chimney forbid, one at a time: do the tests of the rule notice?
mutants:
	$(PYTHON) -m tests.mutants

# Every device that a test makes is recorded, and replayed after it.
replay-all:
	pytest -n 2 --dist loadfile --vnic-replay

# Needs what CI needs, and chromium; about an hour.
nightly: asan coverage replay-all
	VNIC_HYPOTHESIS=explore pytest -n 2 --dist loadfile
	$(MAKE) bars
	$(MAKE) mutants
	$(MAKE) fuzz FUZZ_SECONDS=600

clean:
	rm -rf build vnic/*.so *.egg-info
