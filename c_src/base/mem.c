/* mem.c - checked allocation, with failures on demand for tests.
 * Owns: nothing. Thread: any; the fault counter is per thread. */
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include "tiebeam.h"

static _Thread_local struct {
    unsigned long left; /* allocations up to the one that fails; 0: none */
    bool all;           /* those behind it fail too */
    bool failed;
} fault;

static bool
set_fault(unsigned long n, bool all)
{
    bool failed = fault.failed;

    fault.left = n;
    fault.all = all;
    fault.failed = false;
    return failed;
}

bool
tb_mem_fail_after(unsigned long n)
{
    return set_fault(n, true);
}

bool
tb_mem_fail_one(unsigned long n)
{
    return set_fault(n, false);
}

static bool
should_fail(void)
{
    if (fault.left == 0)
        return fault.failed && fault.all;
    fault.failed = --fault.left == 0;
    return fault.failed;
}

/* malloc() has small blocks at hand, where calloc() searches; large ones
 * calloc() need not zero. */
static void *
zeroed(size_t bytes)
{
    void *p;

    if (bytes > 1024)
        return calloc(1, bytes);
    p = malloc(bytes ? bytes : 1);
    return p ? memset(p, 0, bytes) : NULL;
}

void *
tb_try_alloc(size_t bytes)
{
    return should_fail() ? NULL : zeroed(bytes);
}

void *
tb_try_realloc(void *p, size_t bytes)
{
    return should_fail() ? NULL : realloc(p, bytes ? bytes : 1);
}

void *
tb_alloc(size_t bytes)
{
    void *p = zeroed(bytes);

    if (!p) {
        fprintf(stderr, "tiebeam: cannot allocate %zu bytes\n", bytes);
        abort();
    }
    return p;
}

void
tb_free(void *p)
{
    free(p);
}

void
tb_mem_give_back(void)
{
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

char *
tb_strdup_n(const char *s, size_t n)
{
    char *copy = tb_alloc(n + 1);

    if (n)
        memcpy(copy, s, n);
    return copy;
}
