# tiebeam: make run, make test, make help

.DEFAULT_GOAL := all

VERSION  := $(shell sed -n 's/^\#define TB_VERSION "\(.*\)"/\1/p' include/tiebeam.h)
MODE     ?= release
BUILD    := build/$(MODE)
CC       ?= cc
AR       ?= ar
V        ?= 0
Q        := $(if $(filter 1,$(V)),,@)

PKGS     := libuv libcares openssl
ERL_EI   := $(shell erl -noshell -eval 'io:put_chars(code:lib_dir(erl_interface)), halt().' 2>/dev/null)
EI_DIR   ?= $(ERL_EI)

WARN     := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes \
            -Wmissing-prototypes -Wvla -Wpointer-arith -Wwrite-strings
CPPFLAGS += -Iinclude -Ic_src -D_GNU_SOURCE \
            $(addprefix -isystem ,$(EI_DIR)/include) \
            $(shell pkg-config --cflags $(PKGS) 2>/dev/null | sed 's/-I/-isystem /g')
ifeq ($(MODE),asan)
CFLAGS   := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
            -fno-sanitize-recover=undefined
LDFLAGS  += -fsanitize=address,undefined
endif
ifeq ($(MODE),fuzz)
CC       := clang
CFLAGS   := -O1 -g -fno-omit-frame-pointer -fno-sanitize-recover=undefined \
            -fsanitize=fuzzer-no-link,address,undefined
LDFLAGS  += -fsanitize=address,undefined
endif
ifeq ($(MODE),cover)
CC       := clang
CFLAGS   := -O1 -g -fprofile-instr-generate -fcoverage-mapping
LDFLAGS  += -fprofile-instr-generate
endif
CFLAGS   ?= -O2 -g
# one set of objects, for the archive and for the shared library
PIC      := -fPIC -fno-semantic-interposition
TB_CFLAGS := -std=c17 -pedantic $(WARN) -fvisibility=hidden $(PIC) $(CFLAGS) $(WERROR)
LIBS     := $(EI_DIR)/lib/libei.a \
            $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lpthread -lm

LIB_SRC := \
    c_src/base/err.c \
    c_src/base/list.c \
    c_src/base/log.c \
    c_src/base/map.c \
    c_src/base/mem.c \
    c_src/base/wr.c \
    c_src/term/atom_table.c \
    c_src/term/build.c \
    c_src/term/check.c \
    c_src/term/expand.c \
    c_src/term/get.c \
    c_src/term/ident.c \
    c_src/term/keys.c \
    c_src/term/leaf.c \
    c_src/term/number.c \
    c_src/term/pattern.c \
    c_src/term/phash2.c \
    c_src/term/print.c \
    c_src/term/put.c \
    c_src/term/recent.c \
    c_src/term/scan.c \
    c_src/term/text.c \
    c_src/term/value_hash.c \
    c_src/dist/atom_cache.c \
    c_src/dist/control.c \
    c_src/dist/dns.c \
    c_src/dist/epmd.c \
    c_src/dist/frame.c \
    c_src/dist/handshake.c \
    c_src/net/conn.c \
    c_src/net/dial.c \
    c_src/net/epmd_client.c \
    c_src/net/net.c \
    c_src/net/resolve.c \
    c_src/net/share.c \
    c_src/net/tcp.c \
    c_src/net/tls.c \
    c_src/net/tls_context.c \
    c_src/node/call.c \
    c_src/node/connect.c \
    c_src/node/dns.c \
    c_src/node/gen.c \
    c_src/node/info.c \
    c_src/node/link.c \
    c_src/node/names.c \
    c_src/node/node.c \
    c_src/node/peer.c \
    c_src/node/peer_config.c \
    c_src/node/proc.c \
    c_src/node/route.c \
    c_src/node/rpc.c \
    c_src/node/sup.c \
    c_src/node/sys.c \
    c_src/node/watch.c \
    c_src/services/candidates.c \
    c_src/services/child_spec.c \
    c_src/services/children.c \
    c_src/services/forms.c \
    c_src/services/cluster_client.c \
    c_src/services/cluster_join.c \
    c_src/services/cluster_leader.c \
    c_src/services/cluster_members.c \
    c_src/services/confirm.c \
    c_src/services/detector.c \
    c_src/services/dialler.c \
    c_src/services/discovery.c \
    c_src/services/discovery_options.c \
    c_src/services/health.c \
    c_src/services/inquiry.c \
    c_src/services/intensity.c \
    c_src/services/mesh.c \
    c_src/services/monitor_nodes_opts.c \
    c_src/services/monitor_options.c \
    c_src/services/monitor_source.c \
    c_src/services/net_kernel.c \
    c_src/services/node_monitor.c \
    c_src/services/notifier.c \
    c_src/services/pairs.c \
    c_src/services/pg.c \
    c_src/services/pg_groups.c \
    c_src/services/pg_peers.c \
    c_src/services/pg_shows.c \
    c_src/services/pg_watches.c \
    c_src/services/placement.c \
    c_src/services/process_cluster.c \
    c_src/services/questions.c \
    c_src/services/rex.c \
    c_src/services/rounds.c \
    c_src/services/rule.c \
    c_src/services/sources.c \
    c_src/services/subscriber.c \
    c_src/services/supervisor_options.c \
    c_src/services/suspicion.c \
    c_src/services/waiting.c \
    c_src/services/watched.c

DAEMON_SRC := \
    c_src/services/answers.c \
    c_src/services/batches.c \
    c_src/services/closing.c \
    c_src/services/cluster_seat.c \
    c_src/services/commands.c \
    c_src/services/homes.c \
    c_src/services/host_events.c \
    c_src/services/hosts.c \
    c_src/services/host_confirm.c \
    c_src/services/host_filter.c \
    c_src/services/instances.c \
    c_src/services/lives.c \
    c_src/services/moves.c \
    c_src/services/places.c \
    c_src/services/locate.c \
    c_src/services/pace.c \
    c_src/services/reconfigure.c \
    c_src/services/requests.c \
    c_src/services/shows.c \
    c_src/services/supervisor.c \
    c_src/services/tiebeam.c \
    c_src/services/tombstones.c \
    c_src/services/set.c \
    c_src/services/view.c \
    c_src/services/works.c \
    c_src/daemon/cli.c \
    c_src/daemon/client.c \
    c_src/daemon/cluster_section.c \
    c_src/daemon/config.c \
    c_src/daemon/cookie.c \
    c_src/daemon/discovery_section.c \
    c_src/daemon/events.c \
    c_src/daemon/expand.c \
    c_src/daemon/help.c \
    c_src/daemon/logger.c \
    c_src/daemon/main.c \
    c_src/daemon/monitor_section.c \
    c_src/daemon/nodename.c \
    c_src/daemon/notify.c \
    c_src/daemon/options.c \
    c_src/daemon/parent.c \
    c_src/daemon/pg_section.c \
    c_src/daemon/reader.c \
    c_src/daemon/run.c \
    c_src/daemon/sections.c \
    c_src/daemon/settings.c \
    c_src/daemon/settings_table.c \
    c_src/daemon/status.c \
    c_src/daemon/supervisor_section.c \
    c_src/daemon/supervisor_verbs.c \
    c_src/daemon/teller.c \
    c_src/daemon/tls_options.c \
    c_src/daemon/transport.c \
    c_src/daemon/value.c \
    c_src/daemon/verbs.c \
    c_src/daemon/words.c

UNIT_TESTS := \
    test/base/test_list.c \
    test/base/test_log.c \
    test/base/test_map.c \
    test/base/test_wr.c \
    test/term/test_build.c \
    test/term/test_check.c \
    test/term/test_get_put.c \
    test/term/test_ident.c \
    test/term/test_keys.c \
    test/term/test_no_memory.c \
    test/term/test_pattern.c \
    test/term/test_phash2.c \
    test/term/test_print.c \
    test/term/test_text.c \
    test/dist/test_atom_cache.c \
    test/dist/test_control.c \
    test/dist/test_dns.c \
    test/dist/test_epmd.c \
    test/dist/test_frame.c \
    test/dist/test_handshake.c \
    test/dist/test_no_memory.c \
    test/net/test_no_memory.c \
    test/node/test_mail.c \
    test/node/test_proc.c \
    test/services/test_child_spec.c \
    test/services/test_children.c \
    test/services/test_supervision.c \
    test/services/test_suspicion.c \
    test/daemon/test_options.c

# tb_host_beam and tb_host_beam_len: the module, for those who push it
HOST_OBJ   := $(BUILD)/host_beam.o
LIB        := $(BUILD)/libtiebeam.a
# before 1.0 a second figure that rises may break its users
SONAME     := libtiebeam.so.$(basename $(VERSION))
SO         := $(BUILD)/libtiebeam.so.$(VERSION)
BIN        := $(BUILD)/tiebeam
LIB_OBJ    := $(LIB_SRC:%.c=$(BUILD)/%.o)
DAEMON_OBJ := $(DAEMON_SRC:%.c=$(BUILD)/%.o) $(HOST_OBJ)
TEST_OBJ   := $(BUILD)/test/tb_test.o
TEST_BIN   := $(UNIT_TESTS:%.c=$(BUILD)/%)
EXAMPLE    := $(BUILD)/examples/echo
PROBE      := $(BUILD)/test/interop/probe
MOCK       := $(BUILD)/test/interop/mock
RELEASES   ?= bullseye trixie sid
WIRE       := $(BUILD)/test/interop/wire
SUITES_USE := $(BIN) $(EXAMPLE) $(PROBE) $(MOCK) $(WIRE) $(BUILD)/host/tiebeam_host.beam
BENCH      := $(BUILD)/test/bench/bench_server $(BUILD)/test/bench/bench_crowd
FUZZERS    := cache check config control dns epmd frame handshake pattern text
# what reads bytes or text that somebody else wrote
PARSERS    := $(addprefix c_src/term/,check.c expand.c keys.c value_hash.c get.c print.c phash2.c pattern.c \
                  text.c leaf.c number.c scan.c) \
              $(addprefix c_src/dist/,handshake.c frame.c atom_cache.c control.c dns.c epmd.c)
C_FILES     = $(LIB_SRC) $(DAEMON_SRC) $(UNIT_TESTS) $(wildcard test/*.c test/*/*.c test/*/*.h test/*.h c_src/*/*.h include/*.h)

PREFIX     ?= /usr/local
BINDIR     ?= $(PREFIX)/bin
LIBDIR     ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
DOCDIR     ?= $(PREFIX)/share/doc/tiebeam
# where an OTP of that prefix looks; others find it through ERL_LIBS
ERLANGLIB  ?= $(LIBDIR)/erlang/lib/tiebeam-$(VERSION)
INSTALL    ?= install
JOBS       := $(shell nproc)
INSTALL_DIRS = $(BINDIR) $(LIBDIR)/pkgconfig $(INCLUDEDIR) $(DOCDIR)/examples \
               $(ERLANGLIB)/ebin $(ERLANGLIB)/src
INSTALL_DOCS = README.md CHANGELOG.md LICENSE priv/tiebeam.config.example priv/examples/echo.c

BUILD_PKGS := gcc make pkg-config libc6-dev erlang-base erlang-dev \
              libuv1-dev libc-ares-dev libssl-dev uthash-dev
TEST_PKGS  := iproute2 util-linux dnsmasq-base erlang-eunit erlang-crypto erlang-tools elixir rebar3 libcmocka-dev g++
COVER_PKGS := clang llvm libclang-rt-14-dev
LINT_PKGS  := clang clang-format clang-tidy libclang-rt-14-dev erlang-dialyzer

all: $(LIB) $(SO) priv/bin/tiebeam $(EXAMPLE) ## build the library and the daemon

run: ## install what is missing, build, and join the nodes of this host
	@sh test/deps.sh $(BUILD_PKGS)
	@$(MAKE) --no-print-directory -s -j$(JOBS) all
	@exec priv/bin/tiebeam $(ARGS)

test: ## install what is missing, build, and run all tests
	@sh test/deps.sh $(BUILD_PKGS) $(TEST_PKGS)
	@$(MAKE) --no-print-directory -j$(JOBS) all built
	@sh test/all.sh $(MAKE) $(BUILD)

# What the tests need: made at the same time, used one after the other.
built: $(SUITES_USE) $(TEST_BIN) $(FUZZERS:%=$(BUILD)/corpus/%)

unit: $(TEST_BIN) ## the unit tests alone
	@sh test/unit.sh $(TEST_BIN)

interop: $(SUITES_USE) ## the tests against real erl and elixir nodes
	@TIEBEAM_BIN=$(BIN) ECHO_BIN=$(EXAMPLE) PROBE_BIN=$(PROBE) MOCK_BIN=$(MOCK) WIRE_BIN=$(WIRE) HOST_BEAM=$(CURDIR)/$(BUILD)/host/tiebeam_host.beam \
	    BUILD=$(BUILD)/interop \
	    sh test/interop/run.sh $(SUITES)

installed: all $(PROBE) ## install into a scratch directory, and use what is there
	@PROBE_BIN=$(PROBE) LDFLAGS='$(LDFLAGS)' CC='$(CC)' sh test/install/run.sh $(MAKE) $(BUILD)

templates: sidecar $(BIN) ## releases by mix and rebar3 that cluster through their sidecars
	@sh test/templates/build.sh build/templates
	@TB_TEMPLATES=$(CURDIR)/build/templates $(MAKE) --no-print-directory interop SUITES=tb_release_tests

releases: $(BUILD)/releases/tiebeam $(BUILD)/host/tiebeam_host.beam ## from other OTP releases, in chroots: RELEASES="bullseye trixie sid"
	@HOST_BEAM=$(CURDIR)/$(BUILD)/host/tiebeam_host.beam sh test/releases/run.sh $< $(RELEASES)

hostile: ## peers that want no good; writes priv/doc/hostile.md
	@TB_HOSTILE_TABLE=$(CURDIR)/$(BUILD)/hostile.rows \
	    $(MAKE) --no-print-directory interop SUITES=tb_hostile_tests
	@mkdir -p priv/doc
	@cat test/interop/hostile.md $(BUILD)/hostile.rows >priv/doc/hostile.md

interop-doc: $(BIN) $(EXAMPLE) $(PROBE) ## every transport and release, into priv/doc/interop.md
	@sh test/interop/doc.sh $(MAKE)

model: ## the wire between a supervisor and its hosts, checked by spin; T=60 seconds each, LONG=1
	@sh test/deps.sh spin gcc
	@BUILD=build/model T=$(or $(T),60) LONG=$(LONG) sh test/model/run.sh

live: $(BUILD)/test/term/live_terms ## terms compared with a live erl
	@LIVE_TERMS=$< escript test/term/live.escript

corpus: $(FUZZERS:%=$(BUILD)/corpus/%) ## the fuzzers' corpora as unit tests
	@for f in $(FUZZERS); do \
	    $(BUILD)/corpus/$$f test/fuzz/corpus/$$f || echo "FAILED $$f"; done | \
	    awk '/passed,/ { p += $$1; next } /^FAILED/ { n++ } { print } \
	         END { printf "%d passed, %d failed\n", p, n; exit n > 0 }'

bench: $(BIN) $(BENCH) ## figures beside those of a BEAM; ROUNDS=5, ONLY=text of a row
	@TIEBEAM_BIN=$(BIN) SERVER_BIN=$(BUILD)/test/bench/bench_server \
	    CROWD_BIN=$(BUILD)/test/bench/bench_crowd BUILD=$(BUILD)/bench \
	    ROUNDS=$(ROUNDS) ONLY="$(ONLY)" OUT="$(OUT)" \
	    sh test/bench/run.sh

bench-doc: ## the same into priv/doc/bench.md
	@$(MAKE) --no-print-directory bench OUT=priv/doc/bench.md

sanitize: ## unit tests and suites with ASan and UBSan
	@$(MAKE) --no-print-directory MODE=asan -j$(JOBS) built
	@$(MAKE) --no-print-directory MODE=asan unit corpus interop

long: $(BIN) ## the life, race and memory suites at their full length
	@TB_RESTARTS=1000 TB_CYCLES=1000 TB_RACES=200000 TB_STARTS=100000 \
	    $(MAKE) --no-print-directory interop SUITES="tb_life_tests tb_race_tests tb_monitor_tests tb_memory_tests"
	@$(MAKE) --no-print-directory chaos

chaos: $(BIN) ## supervisors while tiebeam, hosts and links go: 100 kills, 10,000 children, 10,000 calls, 20 cuts
	@TB_KILLS=100 TB_MANY=10000 TB_CALLS=10000 TB_MACHINES=20 TB_ROLLED=3000 \
	    $(MAKE) --no-print-directory interop SUITES=tb_chaos_tests
	@TB_ROUNDS=20 TB_SPLIT_HOSTS=5 TB_SPLIT_CHILDREN=300 TB_ONLY="at random" \
	    $(MAKE) --no-print-directory interop SUITES=tb_partition_tests

false-alarms: $(BIN) $(WIRE) ## an hour of bad links, busy nodes, 100 MB messages: nobody may be down; S=3600 BUSY=2 (percent)
	@TB_QUIET_S=$(or $(S),3600) TB_QUIET_NODES=20 TB_QUIET_MB=100 \
	    TB_QUIET_BUSY=$(or $(BUSY),2) TB_QUIET_EVERY_MS=5000 TB_ONLY="no false alarm" \
	    $(MAKE) --no-print-directory interop SUITES=tb_detect_tests

# A program of Erlang in a network namespace of its own.
NETNS_ERL = mkdir -p $(BUILD)/interop && erlc -pa $(BUILD)/interop -o $(BUILD)/interop erl/src/*.erl test/interop/tb_*.erl && \
            TIEBEAM_BIN=$(BIN) WIRE_BIN=$(WIRE) ERL_EPMD_PORT=4399 unshare -n \
            erl -noinput -pa $(BUILD)/interop -kernel logger_level critical

detection: $(BIN) $(WIRE) ## how soon silence is noticed, into priv/doc/detection.md; ROUNDS=3
	@export TB_ROUNDS=$(or $(ROUNDS),3); $(NETNS_ERL) -run tb_detect_table main >$(BUILD)/detection.md
	@mkdir -p priv/doc && cat $(BUILD)/detection.md test/interop/detection.md >priv/doc/detection.md

record-rtt: $(BIN) $(WIRE) ## record test/data/rtt anew, for the tests of the detector
	@export TB_RTT=$(CURDIR)/test/data/rtt; $(NETNS_ERL) -run tb_rtt_record main

fuzz: ## each fuzzer for T seconds (default 60)
	@sh test/deps.sh $(BUILD_PKGS) $(LINT_PKGS)
	@$(MAKE) --no-print-directory -s MODE=fuzz -j$(JOBS) fuzzers
	@sh test/fuzz/run.sh $(or $(T),60) $(FUZZERS)

fuzzers: $(FUZZERS:%=$(BUILD)/fuzzers/%)

coverage: ## which lines of the parsers the corpora and the unit tests reach
	@sh test/deps.sh $(BUILD_PKGS) $(TEST_PKGS) $(COVER_PKGS)
	@$(MAKE) --no-print-directory -s MODE=cover coverage-run

coverage-run: $(FUZZERS:%=$(BUILD)/corpus/%) $(TEST_BIN)
	@sh test/fuzz/coverage.sh $(BUILD) '$(FUZZERS)' '$(TEST_BIN)' $(PARSERS) | tee priv/doc/coverage.md

check: test lint dialyzer sanitize ## what CI runs, but for warnings as errors

lint: ## formatting, include direction, banned calls, clang-tidy; NODES=225000, how deep
	@sh test/deps.sh $(BUILD_PKGS) $(LINT_PKGS)
	@NODES=$(NODES) sh test/lint/lint.sh '$(CPPFLAGS)' $(sort $(C_FILES))

PLT := build/otp.plt
$(PLT):
	@mkdir -p $(@D)
	@dialyzer --quiet --build_plt --output_plt $@ --apps erts kernel stdlib; [ -e $@ ]

dialyzer: $(BUILD)/ebin/tiebeam.app $(PLT) ## the types of the modules in erl/
	@dialyzer --no_check_plt --plt $(PLT) -Wunknown -Wunmatched_returns -Werror_handling \
	    $(BUILD)/ebin/*.beam

format: ## rewrite the sources in the house style
	clang-format -i $(sort $(C_FILES))

install: all $(BUILD)/tiebeam.pc $(BUILD)/ebin/tiebeam.app ## all of it; PREFIX=/usr/local DESTDIR= LIBDIR= SHARED=no
	$(Q)$(INSTALL) -d $(addprefix $(DESTDIR),$(INSTALL_DIRS))
	$(Q)$(INSTALL) -m 755 $(BIN) $(DESTDIR)$(BINDIR)/
	$(Q)$(INSTALL) -m 644 $(LIB) $(DESTDIR)$(LIBDIR)/
	$(Q)$(INSTALL) -m 644 include/tiebeam.h $(DESTDIR)$(INCLUDEDIR)/
	$(Q)$(INSTALL) -m 644 $(BUILD)/tiebeam.pc $(DESTDIR)$(LIBDIR)/pkgconfig/
	$(Q)$(INSTALL) -m 644 $(BUILD)/ebin/*.beam $(BUILD)/ebin/tiebeam.app $(DESTDIR)$(ERLANGLIB)/ebin/
	$(Q)$(INSTALL) -m 644 erl/src/*.erl $(DESTDIR)$(ERLANGLIB)/src/
	$(Q)$(INSTALL) -m 644 $(filter-out %.c,$(INSTALL_DOCS)) $(DESTDIR)$(DOCDIR)/
	$(Q)$(INSTALL) -m 644 $(filter %.c,$(INSTALL_DOCS)) $(DESTDIR)$(DOCDIR)/examples/
ifneq ($(SHARED),no)
	$(Q)$(INSTALL) -m 644 $(SO) $(DESTDIR)$(LIBDIR)/
	$(Q)cp -P $(BUILD)/$(SONAME) $(BUILD)/libtiebeam.so $(DESTDIR)$(LIBDIR)/
	$(Q)[ -n "$(DESTDIR)" ] || [ "$$(id -u)" != 0 ] || ldconfig
endif
	@echo "installed in $(DESTDIR)$(PREFIX)"

uninstall: ## remove what install put there; the same variables
	$(Q)rm -f $(addprefix $(DESTDIR),$(BINDIR)/tiebeam $(INCLUDEDIR)/tiebeam.h \
	    $(addprefix $(LIBDIR)/,libtiebeam.a $(notdir $(SO)) $(SONAME) libtiebeam.so pkgconfig/tiebeam.pc))
	$(Q)rm -f $(addprefix $(DESTDIR)$(DOCDIR)/,$(INSTALL_DOCS:priv/%=%))
	$(Q)rm -f $(addprefix $(DESTDIR)$(ERLANGLIB)/,ebin/tiebeam* src/tiebeam*)
	$(Q)rmdir $(addprefix $(DESTDIR),$(DOCDIR)/examples $(DOCDIR) \
	    $(ERLANGLIB)/ebin $(ERLANGLIB)/src $(ERLANGLIB)) 2>/dev/null || true

clean: ## remove all that was built
	rm -rf build priv/bin erl/priv/bin

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1 \2/p' Makefile | awk '{n=$$1; $$1=""; printf "  make %-10s%s\n", n, $$0}'

$(BUILD)/tiebeam.pc: priv/tiebeam.pc.in FORCE
	@mkdir -p $(@D)
	$(Q)sed -e 's,@PREFIX@,$(PREFIX),' -e 's,@VERSION@,$(VERSION),' -e 's,@PKGS@,$(PKGS),' \
	    -e 's,@LIBDIR@,$(LIBDIR:$(PREFIX)/%=$${prefix}/%),' -e 's,@EI_DIR@,$(EI_DIR),' \
	    -e 's,@INCLUDEDIR@,$(INCLUDEDIR:$(PREFIX)/%=$${prefix}/%),' $< >$@

$(BUILD)/ebin/tiebeam.app: erl/src/tiebeam.app.src $(wildcard erl/src/*.erl)
	@mkdir -p $(@D)
	@echo "  ERLC erl/src"
	$(Q)erlc +debug_info +deterministic -o $(@D) $(filter %.erl,$^)
	$(Q)cp $< $@

priv/bin/tiebeam: $(BIN)
	@mkdir -p $(@D)
	$(Q)cp $< $@

sidecar: erl/priv/bin/tiebeam ## the daemon where erl/, as a dependency, finds it

# One that runs is not written over.
erl/priv/bin/tiebeam: $(BIN)
	@mkdir -p $(@D)
	$(Q)cp $< $@.new && mv $@.new $@

# Other flags, other objects.
$(BUILD)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CC) $(CPPFLAGS) $(TB_CFLAGS)' | cmp -s - $@ || echo '$(CC) $(CPPFLAGS) $(TB_CFLAGS)' >$@

$(BUILD)/%.o: %.c $(BUILD)/flags
	@mkdir -p $(@D)
	@echo "  CC   $<"
	$(Q)$(CC) $(CPPFLAGS) -Itest $(TB_CFLAGS) -MMD -MP -c -o $@ $<

$(LIB): $(LIB_OBJ)
	@echo "  AR   $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# What tiebeam.h declares is all that it exports: not libei either.
$(SO): $(LIB_OBJ)
	@echo "  LD   $@"
	$(Q)$(CC) $(LDFLAGS) -shared -Wl,-soname,$(SONAME) -Wl,--exclude-libs,ALL \
	    -Wl,-Bsymbolic-functions,--as-needed,-z,defs -o $@ $^ $(LIBS)
	$(Q)ln -sf $(@F) $(BUILD)/$(SONAME) && ln -sf $(SONAME) $(BUILD)/libtiebeam.so

$(BIN): $(DAEMON_OBJ) $(LIB)
	@echo "  LD   $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

# With its loader and libraries beside it, for systems that have older ones.
$(BUILD)/releases/tiebeam: $(DAEMON_OBJ) $(LIB)
	@mkdir -p $(@D)
	@echo "  LD   $@"
	$(Q)$(CC) $(LDFLAGS) -Wl,--dynamic-linker=/mnt/tiebeam/ld.so -Wl,--disable-new-dtags \
	    -Wl,-rpath,/mnt/tiebeam -o $@ $^ $(LIBS)

# The example sees what a user's program has: the header and the library.
$(EXAMPLE): priv/examples/echo.c $(LIB)
	@mkdir -p $(@D)
	@echo "  LD   $@"
	$(Q)$(CC) -std=c17 $(WARN) $(CFLAGS) -Iinclude $(LDFLAGS) -o $@ $^ $(LIBS)

# tiebeam_host for nodes whose release does not contain it. The oldest release that
# it is for has to load it: r25 tells a newer compiler so.
$(BUILD)/host/tiebeam_host.beam: erl/src/tiebeam_host.erl
	@mkdir -p $(@D)
	@echo "  ERLC $<"
	$(Q)erlc +r25 +deterministic -o $(@D) $<

$(BUILD)/host_beam.c: $(BUILD)/host/tiebeam_host.beam
	$(Q){ echo '/* Made from erl/src/tiebeam_host.erl. */'; \
	    echo '#include <stddef.h>'; \
	    echo 'extern const unsigned char tb_host_beam[];'; \
	    echo 'extern const size_t tb_host_beam_len;'; \
	    echo 'const unsigned char tb_host_beam[] = {'; \
	    od -An -v -tx1 $< | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'; \
	    echo '};'; \
	    echo 'const size_t tb_host_beam_len = sizeof(tb_host_beam);'; } >$@.part && mv $@.part $@

$(HOST_OBJ): $(BUILD)/host_beam.c $(BUILD)/flags
	@echo "  CC   $<"
	$(Q)$(CC) $(CPPFLAGS) $(TB_CFLAGS) -c -o $@ $<

$(WIRE): $(WIRE).o
	@echo "  LD   $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^

$(PROBE) $(MOCK) $(BENCH): %: %.o $(LIB)
	@echo "  LD   $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS)

DAEMON_PARTS := $(filter-out %/main.o,$(DAEMON_OBJ))
$(BUILD)/test/daemon/%: $(BUILD)/test/daemon/%.o $(DAEMON_PARTS) $(TEST_OBJ) $(LIB)
	@echo "  LD   $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

$(BUILD)/test/node/%: $(BUILD)/test/node/%.o $(DAEMON_PARTS) $(TEST_OBJ) $(LIB)
	@echo "  LD   $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

$(BUILD)/test/%: $(BUILD)/test/%.o $(TEST_OBJ) $(LIB)
	@echo "  LD   $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $^ $(LIBS) -lcmocka

$(BUILD)/corpus/%: $(BUILD)/test/fuzz/run_corpus.o $(BUILD)/test/fuzz/fuzz_%.o $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter-out $(LIB),$^) $(LIB) $(LIBS)

$(BUILD)/fuzzers/%: $(BUILD)/test/fuzz/fuzz_%.o $(LIB)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS) -fsanitize=fuzzer -o $@ $(filter-out $(LIB),$^) $(LIB) $(LIBS)

$(BUILD)/corpus/config $(BUILD)/fuzzers/config: $(DAEMON_PARTS)

FORCE:
.PHONY: FORCE built model sidecar templates detection record-rtt false-alarms all install uninstall installed run test unit interop bench bench-doc dialyzer hostile releases interop-doc live corpus sanitize long chaos fuzz fuzzers coverage coverage-run check lint format clean help
.SECONDARY:
-include $(shell find build -path build/releases -prune -o -name '*.d' -print 2>/dev/null)
