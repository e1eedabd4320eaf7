/* Makes each fsync and fdatasync take SLOW_SECONDS longer: a disk of a busy server, or one behind a network.
 * SLOW_LOG: a file that gets a byte for each.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void wait_for_the_disk(void) {
    double seconds = getenv("SLOW_SECONDS") ? atof(getenv("SLOW_SECONDS")) : 0.0;
    struct timespec left = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
    while (nanosleep(&left, &left)) continue;
    int log = getenv("SLOW_LOG") ? open(getenv("SLOW_LOG"), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (log >= 0) {
        (void)!write(log, ".", 1);
        close(log);
    }
}

int fsync(int fd) {
    wait_for_the_disk();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(fd);
}

int fdatasync(int fd) {
    wait_for_the_disk();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(fd);
}
