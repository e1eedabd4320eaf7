/* Fails the Nth disk operation of the first process that loads it, under one folder, once.
 *
 * FAIL_UNDER: the folder. FAIL_MARK: file that the first process makes, so that its children are left alone.
 * FAIL_AT: which operation (0: none). FAIL_ERRNO: what to say. FAIL_LOG: where to write one line an operation.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static pid_t chosen;
static long count, at;
static int number, record = -1, no_locks;
static const char *under;
static size_t length;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void begin(void) {
    const char *mark = getenv("FAIL_MARK"), *file = getenv("FAIL_LOG");
    under = getenv("FAIL_UNDER");
    if (!mark || !under) return;
    length = strlen(under);
    int made = REAL(open)(mark, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (made < 0) return;
    close(made);
    if (getenv("FAIL_AT")) at = atol(getenv("FAIL_AT"));
    number = getenv("FAIL_ERRNO") ? atoi(getenv("FAIL_ERRNO")) : EIO;
    no_locks = getenv("FAIL_LOCKS") != NULL;
    if (file) record = REAL(open)(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    chosen = getpid();
}

static int fails(const char *what, const char *path) {
    if (getpid() != chosen || strncmp(path, under, length)) return 0;
    char line[PATH_MAX + 100];
    int size = snprintf(line, sizeof line, "%s %s\n", what, path + length);
    if (record >= 0) (void)!REAL(write)(record, line, size);
    if (++count != at) return 0;
    errno = number;
    return 1;
}

static int fails_at(const char *what, int fd) {
    char link[64], path[PATH_MAX];
    if (getpid() != chosen) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return fails(what, path);
}

ssize_t write(int fd, const void *data, size_t size) {
    return fails_at("write", fd) ? -1 : REAL(write)(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    return fails_at("write", fd) ? -1 : REAL(pwrite)(fd, data, size, offset);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    return fails_at("write", fd) ? -1 : REAL(pwrite64)(fd, data, size, offset);
}
int fsync(int fd) { return fails_at("sync", fd) ? -1 : REAL(fsync)(fd); }
int fdatasync(int fd) { return fails_at("sync", fd) ? -1 : REAL(fdatasync)(fd); }
int ftruncate(int fd, off_t size) { return fails_at("truncate", fd) ? -1 : REAL(ftruncate)(fd, size); }
int ftruncate64(int fd, off64_t size) { return fails_at("truncate", fd) ? -1 : REAL(ftruncate64)(fd, size); }
int rename(const char *old, const char *new) { return fails("rename", new) ? -1 : REAL(rename)(old, new); }
int mkdir(const char *path, mode_t mode) { return fails("mkdir", path) ? -1 : REAL(mkdir)(path, mode); }

#define OPENING(name)                                             \
    int name(const char *path, int flags, ...) {                  \
        va_list rest;                                             \
        va_start(rest, flags);                                    \
        mode_t mode = va_arg(rest, mode_t);                       \
        va_end(rest);                                             \
        if ((flags & O_CREAT) && fails("create", path)) return -1; \
        return REAL(name)(path, flags, mode);                     \
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
