/* A parser as many old libraries are: it answers in one buffer, whoever asks. */
#include <string.h>
#include <unistd.h>

static char buffer[64];

const char *parse(const char *text) {
    strncpy(buffer, text, sizeof buffer - 1);
    usleep(2000);
    return buffer;
}
