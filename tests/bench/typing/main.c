/* main.c: bench_typing: which runs, by how many processes, and what is printed. Each run is a
 * process's own business; its figures come back through shared memory.
 */
#include "bench/typing/report.h"

#include "lull/base/err.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const char USAGE[] =
    "usage: bench_typing [options]\n"
    "  --quick            two casts, two match rates, two latencies, 5 minutes\n"
    "  --minutes N        length of each trace (1 to 15; 15)\n"
    "  --client NAME      editor or every-key          (all)\n"
    "  --people NAME      solo, tabs, strangers, shared (all)\n"
    "  --match N          0, 30 or 60                   (all)\n"
    "  --latency S        0.3, 1 or 5                   (all)\n"
    "  --policy NAME      may be given several times    (all)\n"
    "  --csv FILE         every figure of every run\n"
    "  --totals           no table for each cell\n"
    "  --jobs N           processes (as many as there are processors)\n";

struct options {
    bool quick, totals;
    unsigned minutes;
    long jobs;
    const char *client, *people, *match, *latency, *csv;
    bool policies[POLICIES_MAX], chosen;
};

enum { JOBS_MAX = 256 };

struct shared {
    atomic_size_t next;
    size_t current[JOBS_MAX]; /* what each process is at; SIZE_MAX: nothing */
    struct grid grid;
};

static void usage(int status)
{
    fputs(USAGE, status == 0 ? stdout : stderr);
    exit(status);
}

static void choose_policy(struct options *o, const char *name)
{
    size_t p = policy_find(name);
    if (p == SIZE_MAX) {
        fprintf(stderr, "no policy %s\n", name);
        exit(2);
    }
    o->policies[p] = true;
    o->chosen = true;
}

static struct options read_options(char **argv)
{
    struct options o = {.minutes = TRACE_MINUTES, .jobs = sysconf(_SC_NPROCESSORS_ONLN)};
    struct {
        const char *name, **value;
    } texts[] = {{"--client", &o.client},
                 {"--people", &o.people},
                 {"--match", &o.match},
                 {"--latency", &o.latency},
                 {"--csv", &o.csv}};
    for (argv++; *argv != NULL; argv++) {
        bool known = true;
        if (strcmp(*argv, "--quick") == 0) {
            o.quick = true;
            o.minutes = o.minutes < 5 ? o.minutes : 5;
            continue;
        }
        if (strcmp(*argv, "--totals") == 0) {
            o.totals = true;
            continue;
        }
        if (strcmp(*argv, "--help") == 0 || strcmp(*argv, "-h") == 0) {
            usage(0);
        }
        if (argv[1] == NULL) {
            usage(2);
        }
        if (strcmp(*argv, "--minutes") == 0) {
            o.minutes = (unsigned)strtoul(argv[1], NULL, 10);
        } else if (strcmp(*argv, "--jobs") == 0) {
            o.jobs = strtol(argv[1], NULL, 10);
        } else if (strcmp(*argv, "--policy") == 0) {
            choose_policy(&o, argv[1]);
        } else {
            known = false;
        }
        for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
            if (strcmp(*argv, texts[i].name) == 0) {
                *texts[i].value = argv[1];
                known = true;
            }
        }
        if (!known) {
            usage(2);
        }
        argv++;
    }
    if (o.minutes < 1 || o.minutes > TRACE_MINUTES || o.jobs < 1 || o.jobs > JOBS_MAX) {
        usage(2);
    }
    return o;
}

static bool is(const char *wanted, const char *name)
{
    return wanted == NULL || strcmp(wanted, name) == 0;
}

static bool cell_chosen(const struct options *o, size_t i)
{
    struct cell c = cell_at(i);
    char match[16], latency[16];
    snprintf(match, sizeof match, "%u", match_rates[c.seed->match]);
    snprintf(latency, sizeof latency, "%g", (double)latencies[c.seed->latency] / 1e6);
    bool quick = (c.seed->people == PEOPLE_SOLO || c.seed->people == PEOPLE_STRANGERS) &&
                 c.seed->match != 1 && c.seed->latency != 2;
    return (!o->quick || quick) && is(o->client, client_name(c.client)) &&
           is(o->people, people_name(c.seed->people)) && is(o->match, match) &&
           is(o->latency, latency);
}

/* The traces must be those that the seeds stood for when they were chosen. */
static void check_traces(const struct corpus *corpus)
{
    for (size_t i = 0; i < SEEDS; i++) {
        struct cast *cast = cast_create(corpus, seeds[i].people, seeds[i].seed, TRACE_MINUTES);
        struct paths *paths = paths_create(cast);
        if (cast_digest(cast) != seeds[i].trace ||
            suggest_digest(paths, cast, match_rates[seeds[i].match]) != seeds[i].suggestions) {
            fprintf(stderr, "the traces are not those of the seeds: see typing_traces\n");
            exit(1);
        }
        paths_free(paths);
        cast_free(cast);
    }
}

static void work(const struct options *o, const struct run_setup *setup, struct shared *shared,
                 size_t *current)
{
    for (;;) {
        size_t i = atomic_fetch_add(&shared->next, 1);
        *current = SIZE_MAX;
        if (i >= CELLS * policy_count) {
            return;
        }
        size_t c = i / policy_count;
        size_t p = i % policy_count;
        struct cell cell = cell_at(c);
        if (o->policies[p] && cell_chosen(o, c)) {
            *current = i;
            shared->grid.results[c][p] = run_policy(setup, &cell, &policies[p]);
            if (isatty(STDERR_FILENO)) {
                (void)!write(STDERR_FILENO, ".", 1);
            }
        }
    }
}

/* Whether it ended well; says what it was at when it did not. */
static bool ended_well(pid_t pid, const size_t *current)
{
    int status = 0;
    require(waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        return true;
    }
    if (*current < CELLS * policy_count) {
        char name[64];
        report_cell_name(*current / policy_count, name, sizeof name);
        printf("a run has failed: %s, %s\n", name, policies[*current % policy_count].name);
    }
    return false;
}

static bool run_all(const struct options *o, const struct run_setup *setup, struct shared *shared)
{
    bool good = true;
    pid_t pids[JOBS_MAX];
    for (long j = 0; j < o->jobs; j++) {
        pids[j] = fork();
        require(pids[j] >= 0);
        if (pids[j] == 0) {
            work(o, setup, shared, &shared->current[j]);
            wire_free(setup->wire);
            corpus_free(setup->corpus);
            exit(0);
        }
    }
    for (long j = 0; j < o->jobs; j++) {
        good = ended_well(pids[j], &shared->current[j]) && good;
    }
    return good;
}

static void choose_possible(struct options *o)
{
    for (size_t p = 0; p < policy_count; p++) {
        bool wanted = !o->chosen || o->policies[p];
        o->policies[p] = wanted && policy_possible(&policies[p]);
        if (wanted && !o->policies[p]) {
            printf("left out, this daemon cannot do it: %s\n", policies[p].name);
        }
    }
}

static bool write_csv(const struct grid *grid, const char *path)
{
    FILE *out = fopen(path, "w");
    if (out == NULL) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    report_csv(grid, out);
    return fclose(out) == 0;
}

int main(int argc, char **argv)
{
    (void)argc;
    struct options o = read_options(argv);
    struct rlimit files;
    struct run_setup setup = {
        .corpus = corpus_read(LULL_SOURCE_DIR "/tests/bench/typing/corpus.txt"),
        .wire = wire_create(LULL_SOURCE_DIR "/tests/fixtures/requests/open-webui.jsonl"),
        .minutes = o.minutes};
    check_traces(setup.corpus);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* both ends of each connection are here */
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    choose_possible(&o);
    fflush(stdout);
    struct shared *shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    require(shared != MAP_FAILED);
    bool good = run_all(&o, &setup, shared);
    if (isatty(STDERR_FILENO)) {
        fputc('\n', stderr);
    }
    if (!o.totals) {
        report_cells(&shared->grid);
    }
    report_totals(&shared->grid);
    good = report_check(&shared->grid) && good;
    if (!o.chosen && report_targets(&shared->grid) > 0) {
        printf("not all targets are met\n");
    }
    if (o.csv != NULL) {
        good = write_csv(&shared->grid, o.csv) && good;
    }
    if (!good) {
        printf("these figures are not complete\n");
    }
    munmap(shared, sizeof *shared);
    wire_free(setup.wire);
    corpus_free(setup.corpus);
    return good ? 0 : 1;
}
