# tiebeam: make run, make test, make help

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
CFLAGS   ?= -O2 -g
TB_CFLAGS := -std=c17 -pedantic $(WARN) -fvisibility=hidden $(CFLAGS) $(WERROR)
LIBS     := $(EI_DIR)/lib/libei.a \
            $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lpthread -lm

ifeq ($(MODE),asan)
CFLAGS   := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined \
            -fno-sanitize-recover=undefined
LDFLAGS  += -fsanitize=address,undefined
endif

LIB_SRC := \
    c_src/base/err.c \
    c_src/base/list.c \
    c_src/base/log.c \
    c_src/base/map.c \
    c_src/base/mem.c \
    c_src/base/wr.c \
    c_src/term/check.c \
    c_src/term/get.c \
    c_src/term/ident.c \
    c_src/term/leaf.c \
    c_src/term/number.c \
    c_src/term/pattern.c \
    c_src/term/phash2.c \
    c_src/term/print.c \
    c_src/term/put.c \
    c_src/term/scan.c \
    c_src/term/text.c \
    c_src/dist/control.c \
    c_src/dist/epmd.c \
    c_src/dist/frame.c \
    c_src/dist/handshake.c \
    c_src/net/conn.c \
    c_src/net/epmd_client.c \
    c_src/net/resolve.c \
    c_src/net/tcp.c \
    c_src/node/call.c \
    c_src/node/gen.c \
    c_src/node/names.c \
    c_src/node/node.c \
    c_src/node/peer.c \
    c_src/node/proc.c \
    c_src/node/route.c \
    c_src/node/rpc.c \
    c_src/node/sup.c \
    c_src/node/sys.c \
    c_src/node/watch.c

DAEMON_SRC := \
    c_src/services/discovery.c \
    c_src/services/net_kernel.c \
    c_src/services/rex.c \
    c_src/services/tiebeam.c \
    c_src/daemon/cli.c \
    c_src/daemon/client.c \
    c_src/daemon/config.c \
    c_src/daemon/cookie.c \
    c_src/daemon/expand.c \
    c_src/daemon/help.c \
    c_src/daemon/logger.c \
    c_src/daemon/main.c \
    c_src/daemon/nodename.c \
    c_src/daemon/notify.c \
    c_src/daemon/options.c \
    c_src/daemon/run.c \
    c_src/daemon/schema.c \
    c_src/daemon/sections.c \
    c_src/daemon/settings.c \
    c_src/daemon/settings_table.c \
    c_src/daemon/status.c \
    c_src/daemon/value.c \
    c_src/daemon/verbs.c \
    c_src/daemon/words.c

UNIT_TESTS := \
    test/term/test_phash2.c \
    test/dist/test_epmd.c \
    test/dist/test_frame.c \
    test/dist/test_handshake.c \
    test/daemon/test_options.c

LIB        := $(BUILD)/libtiebeam.a
BIN        := $(BUILD)/tiebeam
LIB_OBJ    := $(LIB_SRC:%.c=$(BUILD)/%.o)
DAEMON_OBJ := $(DAEMON_SRC:%.c=$(BUILD)/%.o)
TEST_BIN   := $(UNIT_TESTS:%.c=$(BUILD)/%)

all: $(LIB) $(BIN)

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC   $<"
	$(Q)$(CC) $(CPPFLAGS) $(TB_CFLAGS) -MMD -MP -c -o $@ $<

$(LIB): $(LIB_OBJ)
	@echo "  AR   $@"
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(BIN): $(DAEMON_OBJ) $(LIB)
	@echo "  LD   $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $(DAEMON_OBJ) $(LIB) $(LIBS)

-include $(LIB_OBJ:.o=.d) $(DAEMON_OBJ:.o=.d)
