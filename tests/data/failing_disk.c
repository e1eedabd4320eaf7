/* Fails the Nth disk operation of the first process that loads it, under one folder, once.
 *
 * FAIL_UNDER: the folder. FAIL_MARK: file that the first process makes, so that its children are left alone.
 * FAIL_AT: which operation (0: none). FAIL_ERRNO: what to say. FAIL_LOG: where to write one line an operation.
 * FAIL_TORN: a write that fails has written half of its bytes. FAIL_KILL: the process dies there instead.
 * FAIL_JOURNAL: where to keep all that is done, with its bytes, for power_cut.py to do again in part.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static pid_t chosen;
static long count, at;
static int number, record = -1, journal = -1, no_locks, torn, killed;
static const char *under;
static size_t length;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    const char *mark = getenv("FAIL_MARK"), *file = getenv("FAIL_LOG"), *kept = getenv("FAIL_JOURNAL");
    under = getenv("FAIL_UNDER");
    if (!mark || !under) return;
    length = strlen(under);
    int made = REAL(open)(mark, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (made < 0) return;
    close(made);
    if (getenv("FAIL_AT")) at = atol(getenv("FAIL_AT"));
    number = getenv("FAIL_ERRNO") ? atoi(getenv("FAIL_ERRNO")) : EIO;
    no_locks = getenv("FAIL_LOCKS") != NULL;
    torn = getenv("FAIL_TORN") != NULL;
    killed = getenv("FAIL_KILL") != NULL;
    if (file) record = REAL(open)(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (kept) journal = REAL(open)(kept, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    chosen = getpid();
}

/* Whether this operation is the one that fails. */
static int is_turn_of(const char *what, const char *path) {
    if (getpid() != chosen || strncmp(path, under, length)) return 0;
    char line[PATH_MAX + 100];
    int size = snprintf(line, sizeof line, "%s %s\n", what, path + length);
    if (record >= 0) (void)!REAL(write)(record, line, size);
    return ++count == at;
}

/* The path of an open file; empty if there is none. */
static const char *path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    path[size < 0 ? 0 : size] = 0;
    return path;
}

static int is_turn_of_file(const char *what, int fd) {
    char path[PATH_MAX];
    return getpid() == chosen && is_turn_of(what, path_of(fd, path));
}

/* This has been done. `what` as in power_cut.py. */
static void note(char what, const char *path, long offset, const void *data, long size) {
    if (journal < 0 || getpid() != chosen || strncmp(path, under, length)) return;
    struct { long what, path, offset, size; } head = {what, strlen(path), offset, size};
    (void)!REAL(write)(journal, &head, sizeof head);
    (void)!REAL(write)(journal, path, head.path);
    if (size) (void)!REAL(write)(journal, data, size);
}

static int noted(char what, int fd, long offset, const void *data, long size, int result) {
    char path[PATH_MAX];
    if (result >= 0 && journal >= 0) note(what, path_of(fd, path), offset, data, size);
    return result;
}

static int noted_path(char what, const char *path, const char *old, int result) {
    if (result >= 0) note(what, path, 0, old, old ? strlen(old) : 0);
    return result;
}

static int fail(void) {
    if (killed) kill(getpid(), SIGKILL);
    errno = number;
    return -1;
}

ssize_t write(int fd, const void *data, size_t size) {
    if (!is_turn_of_file("write", fd)) {
        ssize_t done = REAL(write)(fd, data, size);
        if (done > 0) noted('w', fd, lseek(fd, 0, SEEK_CUR) - done, data, done, 0);
        return done;
    }
    if (torn) (void)!REAL(write)(fd, data, size / 2);
    return fail();
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    if (!is_turn_of_file("write", fd)) {
        ssize_t done = REAL(pwrite64)(fd, data, size, offset);
        if (done > 0) noted('w', fd, offset, data, done, 0);
        return done;
    }
    if (torn) (void)!REAL(pwrite64)(fd, data, size / 2, offset);
    return fail();
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }
int fsync(int fd) { return is_turn_of_file("sync", fd) ? fail() : noted('s', fd, 0, NULL, 0, REAL(fsync)(fd)); }
int fdatasync(int fd) {
    return is_turn_of_file("sync", fd) ? fail() : noted('s', fd, 0, NULL, 0, REAL(fdatasync)(fd));
}
int ftruncate64(int fd, off64_t size) {
    return is_turn_of_file("truncate", fd) ? fail() : noted('t', fd, size, NULL, 0, REAL(ftruncate64)(fd, size));
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }
int rename(const char *old, const char *new) {
    return is_turn_of("rename", new) ? fail() : noted_path('r', new, old, REAL(rename)(old, new));
}
int mkdir(const char *path, mode_t mode) {
    return is_turn_of("mkdir", path) ? fail() : noted_path('m', path, NULL, REAL(mkdir)(path, mode));
}
int unlink(const char *path) {
    return is_turn_of("unlink", path) ? fail() : noted_path('u', path, NULL, REAL(unlink)(path));
}

#define OPENING(name)                                                       \
    int name(const char *path, int flags, ...) {                            \
        va_list rest;                                                       \
        va_start(rest, flags);                                              \
        mode_t mode = va_arg(rest, mode_t);                                 \
        va_end(rest);                                                       \
        if (!(flags & O_CREAT)) return REAL(name)(path, flags, mode);       \
        if (is_turn_of("create", path)) return fail();                      \
        return noted_path('c', path, NULL, REAL(name)(path, flags, mode));  \
    }
OPENING(open)
OPENING(open64)

int flock(int fd, int what) {
    if (no_locks && getpid() == chosen) {
        errno = number;
        return -1;
    }
    return REAL(flock)(fd, what);
}
