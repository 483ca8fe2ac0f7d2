/* run_corpus.c - feeds a fuzzer every file of the directories given, and every
 * beginning of the short ones: the corpora as tests, without clang. */
#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CUT_BELOW = 300, /* bytes */
    PATIENCE = 20    /* seconds for a file: a hang ends the program */
};

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* From memory that ends where the input does, so that ASan sees an overrun. */
static void
feed(const uint8_t *p, size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);

    if (!copy)
        abort();
    memcpy(copy, p, n);
    LLVMFuzzerTestOneInput(copy, n);
    free(copy);
}

static uint8_t *
read_file(const char *path, size_t n)
{
    FILE *f = fopen(path, "rb");
    uint8_t *p = malloc(n + 1);

    if (!f || !p || fread(p, 1, n, f) != n) {
        perror(path);
        exit(1);
    }
    fclose(f);
    return p;
}

static bool
run_file(const char *path)
{
    struct stat st;
    uint8_t *p;
    size_t n;

    if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
        return false;
    n = (size_t)st.st_size;
    p = read_file(path, n);
    alarm(PATIENCE);
    for (size_t cut = n < CUT_BELOW ? 0 : n; cut < n; cut++)
        feed(p, cut);
    feed(p, n);
    free(p);
    return true;
}

static unsigned
run_directory(const char *name)
{
    DIR *d = opendir(name);
    struct dirent *entry;
    char path[4096];
    unsigned files = 0;

    if (!d) {
        perror(name);
        exit(1);
    }
    while ((entry = readdir(d))) {
        snprintf(path, sizeof(path), "%s/%s", name, entry->d_name);
        files += run_file(path);
    }
    closedir(d);
    return files;
}

int
main(int argc, char **argv)
{
    unsigned files = 0;

    for (int i = 1; i < argc; i++)
        files += run_directory(argv[i]);
    printf("%u passed, 0 failed\n", files);
    return files == 0;
}
