/* describe.c: what the generator makes, in figures; and the check that it still makes what it made
 * when the seeds were chosen.
 *
 * usage: typing_traces [--digests | --keys PEOPLE MATCH LATENCY MINUTES]
 *   nothing: a table of intervals, pauses, corrections and suggestions per trace; exits 1 when a
 *   digest differs. --digests: rows for seeds.c. --keys: one trace as JSON lines, one key each.
 */
#include "bench/typing/prng.h"
#include "bench/typing/seeds.h"
#include "bench/typing/suggest.h"

#include "lull/config/figures.h"

#include <stdio.h>
#include <stdlib.h>

struct numbers {
    usec_t *gaps;
    size_t count;
    size_t kinds[KEY_SEND + 1];
    size_t pauses; /* of a second and more */
    size_t off_path, right, empty, texts;
};

static int by_size(const void *a, const void *b)
{
    usec_t x = *(const usec_t *)a;
    usec_t y = *(const usec_t *)b;
    return (x > y) - (x < y);
}

static void look_at(struct numbers *n, const struct paths *paths, const struct cast *cast,
                    const struct key *key, unsigned match)
{
    char out[SUGGESTION_MAX];
    n->kinds[key->kind]++;
    if (key->kind != KEY_TEXT && key->kind != KEY_BACKSPACE && key->kind != KEY_PASTE) {
        return;
    }
    size_t len = suggest(paths, cast->messages[key->message].context, key->before, match, out);
    struct span rest = SPAN_NONE;
    if (key->goal.ptr != NULL) {
        rest = span_make(key->goal.ptr + key->before.len, key->goal.len - key->before.len);
    }
    n->texts++;
    n->off_path += key->goal.ptr == NULL ? 1 : 0;
    n->empty += len == 0 ? 1 : 0;
    n->right +=
        len > 0 && (span_starts(rest, span_make(out, len)) ||
                    (rest.len > 0 && rest.ptr[0] == ' ' &&
                     span_starts(span_make(rest.ptr + 1, rest.len - 1), span_make(out, len))))
            ? 1
            : 0;
}

static void describe(const struct seed *s, const struct cast *cast, const struct paths *paths)
{
    struct numbers n = {0};
    size_t keys = 0;
    for (size_t i = 0; i < cast->person_count; i++) {
        keys += cast->persons[i].count;
    }
    n.gaps = mem_new((keys + 1) * sizeof *n.gaps);
    for (size_t i = 0; i < cast->person_count; i++) {
        for (size_t k = 0; k < cast->persons[i].count; k++) {
            const struct key *key = &cast->persons[i].keys[k];
            look_at(&n, paths, cast, key, match_rates[s->match]);
            if (k > 0 && key[-1].kind != KEY_SEND && key[-1].tab == key->tab) {
                n.gaps[n.count++] = key->at - key[-1].at;
                n.pauses += n.gaps[n.count - 1] >= USEC_PER_S ? 1 : 0;
            }
        }
    }
    qsort(n.gaps, n.count, sizeof *n.gaps, by_size);
    printf("%-9s %3u%% %5.1fs %6zu %5lld %5lld %6zu %5zu %5zu %5zu %5zu %5zu %5zu %6.1f%% %6.1f%% "
           "%5.1f%%\n",
           people_name(s->people), match_rates[s->match], (double)latencies[s->latency] / 1e6, keys,
           (long long)(n.gaps[figure_rank(n.count, 50) - 1] / 1000),
           (long long)(n.gaps[figure_rank(n.count, 90) - 1] / 1000), n.pauses, n.kinds[KEY_SEND],
           n.kinds[KEY_BACKSPACE], n.kinds[KEY_PASTE], n.kinds[KEY_TAP], n.kinds[KEY_MOVE],
           n.kinds[KEY_CLICK], 100.0 * (double)n.off_path / (double)n.texts,
           100.0 * (double)n.right / (double)n.texts, 100.0 * (double)n.empty / (double)n.texts);
    free(n.gaps);
}

static void print_keys(const struct cast *cast, const struct paths *paths, unsigned match)
{
    static const char *const kinds[] = {"text", "backspace", "paste", "move",
                                        "tap",  "click",     "send"};
    for (size_t i = 0; i < cast->person_count; i++) {
        for (size_t k = 0; k < cast->persons[i].count; k++) {
            const struct key *key = &cast->persons[i].keys[k];
            const struct message *m = &cast->messages[key->message];
            char out[SUGGESTION_MAX];
            size_t len = suggest(paths, m->context, key->before, match, out);
            const struct span parts[] = {key->before, span_make(out, len),
                                         cast->contexts[m->context], m->text};
            static const char *const names[] = {"before", "suggestion", "history", "message"};
            printf("{\"person\":%zu,\"tab\":%u,\"at\":%lld,\"kind\":\"%s\",\"at_end\":%s,"
                   "\"takes\":%s",
                   i, key->tab, (long long)key->at, kinds[key->kind],
                   key->at_end ? "true" : "false", key->takes ? "true" : "false");
            for (size_t j = 0; j < 4; j++) {
                struct buf text = {.max = 65536};
                enum err e = buf_append_json(&text, parts[j]);
                require(e == ERR_OK);
                printf(",\"%s\":\"%.*s\"", names[j], (int)text.len, text.len > 0 ? text.data : "");
                buf_free(&text);
            }
            printf("}\n");
        }
    }
}

static int one_trace(const struct corpus *corpus, char **arguments)
{
    for (size_t i = 0; i < SEEDS; i++) {
        const struct seed *s = &seeds[i];
        char latency[32];
        snprintf(latency, sizeof latency, "%g", (double)latencies[s->latency] / 1e6);
        if (strcmp(people_name(s->people), arguments[0]) == 0 &&
            (unsigned)strtoul(arguments[1], NULL, 10) == match_rates[s->match] &&
            strcmp(latency, arguments[2]) == 0) {
            struct cast *cast =
                cast_create(corpus, s->people, s->seed, (unsigned)strtoul(arguments[3], NULL, 10));
            struct paths *paths = paths_create(cast);
            print_keys(cast, paths, match_rates[s->match]);
            paths_free(paths);
            cast_free(cast);
            return 0;
        }
    }
    fprintf(stderr, "no such trace\n");
    return 2;
}

int main(int argc, char **argv)
{
    struct corpus *corpus = corpus_read(LULL_SOURCE_DIR "/tests/bench/typing/corpus.txt");
    bool digests = argc == 2 && strcmp(argv[1], "--digests") == 0;
    int status = 0;
    if (argc == 6 && strcmp(argv[1], "--keys") == 0) {
        status = one_trace(corpus, argv + 2);
        corpus_free(corpus);
        return status;
    }
    if (!digests) {
        printf("%-9s %4s %6s %6s %5s %5s %6s %5s %5s %5s %5s %5s %5s %7s %7s %6s\n", "people",
               "rate", "model", "keys", "p50", "p90", "pauses", "sent", "back", "paste", "taps",
               "moves", "click", "astray", "right", "empty");
    }
    for (size_t i = 0; i < SEEDS; i++) {
        const struct seed *s = &seeds[i];
        struct cast *cast = cast_create(corpus, s->people, s->seed, TRACE_MINUTES);
        struct paths *paths = paths_create(cast);
        uint64_t trace = cast_digest(cast);
        uint64_t suggestions = suggest_digest(paths, cast, match_rates[s->match]);
        if (digests) {
            static const char *const names[] = {"SOLO", "TABS", "STRANGERS", "SHARED"};
            printf("    {PEOPLE_%s, %zu, %zu, %llu, 0x%016llX, 0x%016llX},\n", names[s->people],
                   s->match, s->latency, (unsigned long long)s->seed, (unsigned long long)trace,
                   (unsigned long long)suggestions);
        } else {
            describe(s, cast, paths);
            if (trace != s->trace || suggestions != s->suggestions) {
                printf("  this is not the trace that the seed stood for\n");
                status = 1;
            }
        }
        paths_free(paths);
        cast_free(cast);
    }
    corpus_free(corpus);
    return status;
}
