/* A whole test module in C, for as many architectures as there are compilers: it checks in, works, and stops. A restart of its agent
 * ends it. Build it without a library beside it, for each machine:
 *     cc -O2 -static -o example-x86_64 example.c
 *     aarch64-linux-gnu-gcc -O2 -static -o example-aarch64 example.c
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

enum { PASS = 0, FAIL = 1, ERROR = 2, LINE_MAX_BYTES = 65536, STEPS = 100000 };

/* What STEPS steps of the generator come to, on every architecture. */
static const unsigned long long EXPECTED = 0x6cfc9548ff6cbfa1ULL;

static const char MANIFEST[] =
    "{\"name\": \"example-c\", \"version\": \"0.1.0\", \"description\": \"computes a number that is known: an example of a module in C\",\n"
    " \"stop_grace\": \"5s\", \"artifacts\": [{\"architecture\": \"x86_64\", \"path\": \"example-x86_64\"},\n"
    " {\"architecture\": \"aarch64\", \"path\": \"example-aarch64\"}]}";

static FILE *agent;
static unsigned long long iterations;

static void totals(const char *before, const char *after) {
    fprintf(agent, "%s{\"steps_count\":%llu}%s\n", before, iterations * STEPS, after);
    fflush(agent);
}

/* The test: a linear congruential generator (Knuth, MMIX) from 1 on. */
static int step(void) {
    unsigned long long x = 1;
    for (int i = 0; i < STEPS; i++) x = x * 6364136223846793005ULL + 1442695040888963407ULL;
    iterations++;
    if (x != EXPECTED) fprintf(stderr, "%#llx, and not %#llx\n", x, EXPECTED);
    return x == EXPECTED ? PASS : FAIL;
}

static void finish(int result) {
    totals(result == PASS ? "{\"type\":\"done\",\"status\":\"complete\",\"result\":\"pass\",\"reason\":\"\",\"final\":"
                          : "{\"type\":\"done\",\"status\":\"complete\",\"result\":\"fail\",\"reason\":\"a wrong number\",\"final\":",
           "}");
}

/* A word of the agent; true when it is the one that the end waits for. */
static int hear(const char *line, int *is_stopping) {
    const char *number = strstr(line, "\"n\":");
    if (strstr(line, "\"type\":\"ping\"") && number) {
        fprintf(agent, "{\"type\":\"pong\",\"n\":%llu,\"iterations\":%llu}\n", strtoull(number + 4, NULL, 10), iterations);
        fflush(agent);
    }
    if (strstr(line, "\"type\":\"abort\"")) exit(ERROR);
    if (strstr(line, "\"type\":\"stop\"")) *is_stopping = 1;
    return strstr(line, "\"type\":\"kept\"") != NULL;
}

static int connection(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *path = getenv("MUSTER_SOCKET");
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (!path || strlen(path) >= sizeof address.sun_path) exit(ERROR);
    strcpy(address.sun_path, path);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address)) exit(ERROR);
    return fd;
}

int main(int count, char **arguments) {
    static char line[LINE_MAX_BYTES];
    if (count > 1 && !strcmp(arguments[1], "describe")) return puts(MANIFEST) < 0;
    struct utsname machine;
    uname(&machine);
    printf("compiled for and running on %s\n", machine.machine);
    fflush(stdout);
    int fd = connection();
    FILE *words = fdopen(dup(fd), "r");
    agent = fdopen(fd, "w");
    if (!words || !agent) return ERROR;
    setvbuf(words, NULL, _IONBF, 0);
    fprintf(agent, "{\"type\":\"hello\",\"protocol\":1,\"run\":%s,\"dpid\":\"%s\",\"attempt\":%s,\"pid\":%d}\n{\"type\":\"ready\"}\n",
            getenv("MUSTER_RUN"), getenv("MUSTER_DPID"), getenv("MUSTER_ATTEMPT"), (int)getpid());
    fflush(agent);
    int result = PASS, is_stopping = 0, is_done = 0;
    time_t reported = time(NULL);
    for (;;) {
        struct pollfd heard = {.fd = fileno(words), .events = POLLIN};
        if (poll(&heard, 1, is_done ? -1 : 0) > 0) {
            if (!fgets(line, sizeof line, words)) return ERROR;
            if (hear(line, &is_stopping)) return result;
        } else if (!is_done && result == PASS) {
            result = step();
        }
        if (!is_done && (is_stopping || result != PASS)) {
            finish(result);
            is_done = 1;
        } else if (!is_done && time(NULL) != reported) {
            reported = time(NULL);
            totals("{\"type\":\"metric\",\"device\":\"\",\"counters\":", ",\"gauges\":{}}");
        }
    }
}
