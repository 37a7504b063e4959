/* test_prefix_learnt.c: what is learnt of tasks behind their conversation: gains, forms, contexts,
 * and that it survives a restart. */
#include "support/fake_loop.c"

#include "support/check.h"

#include "lull/path/server/prefix.h"

#include <string.h>

static const wall_t NOW = {1700000000000000};
static const usec_t DAY = 86400 * USEC_PER_S;

struct fixture {
    struct loop *loop;
    struct figures *figures;
    struct servers *servers;
    struct upstream_settings up;
    struct server_model *model;
};

static char name[] = "default", url[] = "http://127.0.0.1:1";

static void begin(struct fixture *f)
{
    *f = (struct fixture){.loop = loop_create(), .figures = figures_create()};
    f->servers = servers_create(f->loop, NULL, f->figures);
    f->up = (struct upstream_settings){.name = name, .url = url};
    servers_bind(f->servers, &f->up, 1);
    f->model = server_model(server_of(f->servers, &f->up), SPAN("m"));
}

static void end(struct fixture *f)
{
    servers_destroy(f->servers);
    figures_destroy(f->figures);
    loop_destroy(f->loop);
}

static void call(struct fixture *f, enum prefix_when when, int64_t in, int64_t cached, wall_t now)
{
    const struct prefix_call c = {.kind = KIND_TAGS,
                                  .behind = true,
                                  .when = when,
                                  .conversation = 600,
                                  .tokens_in = in,
                                  .cached = cached,
                                  .prompt_time = -1};
    prefix_note(f->model, &c, now);
}

static enum prefix_reason look(const struct fixture *f, enum prefix_when when, wall_t now)
{
    return prefix_look(f->model, KIND_TAGS, when, PREFIX_AUTO, now);
}

static void each_state_of_the_cache_is_learnt_by_itself(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    assert_int_equal(look(&f, PREFIX_FIRST, NOW), PREFIX_REASON_NONE);
    call(&f, PREFIX_FIRST, 900, 300, NOW);
    call(&f, PREFIX_AFTER_OWN, 900, 299, NOW);
    assert_int_equal(look(&f, PREFIX_AFTER_OWN, NOW), PREFIX_REASON_NONE);
    assert_false(prefix_goes_back(f.model));
    call(&f, PREFIX_AFTER_OWN, 900, 0, NOW);
    assert_int_equal(look(&f, PREFIX_AFTER_OWN, NOW), PREFIX_REASON_NO_GAIN);
    assert_int_equal(look(&f, PREFIX_FIRST, NOW), PREFIX_REASON_NONE);
    assert_int_equal(look(&f, PREFIX_AFTER_OTHERS, NOW), PREFIX_REASON_NONE);
    assert_int_equal(prefix_look(f.model, KIND_TAGS, PREFIX_AFTER_OWN, PREFIX_CHAT, NOW),
                     PREFIX_REASON_NONE);
    /* a day later one call tries */
    wall_t later = {NOW.us + DAY};
    assert_int_equal(look(&f, PREFIX_AFTER_OWN, (wall_t){later.us - 1}), PREFIX_REASON_NO_GAIN);
    assert_int_equal(look(&f, PREFIX_AFTER_OWN, later), PREFIX_REASON_NONE);
    call(&f, PREFIX_AFTER_OWN, 900, 0, later);
    assert_int_equal(look(&f, PREFIX_AFTER_OWN, later), PREFIX_REASON_NO_GAIN);
    later.us += DAY;
    call(&f, PREFIX_AFTER_OWN, 900, 600, later);
    assert_true(prefix_goes_back(f.model));
    /* what waits is bound as long as one state is worth it */
    assert_int_equal(prefix_may(f.model, KIND_TAGS, PREFIX_AUTO, later), PREFIX_REASON_NONE);
    call(&f, PREFIX_AFTER_OWN, 900, 0, later);
    assert_int_equal(look(&f, PREFIX_AFTER_OWN, later), PREFIX_REASON_NONE);
    end(&f);
}

static void without_figures_three_calls_are_tried(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(look(&f, PREFIX_FIRST, NOW), PREFIX_REASON_NONE);
        call(&f, PREFIX_FIRST, 900, -1, NOW);
    }
    assert_int_equal(look(&f, PREFIX_FIRST, NOW), PREFIX_REASON_NO_FIGURES);
    end(&f);
}

static void forms(struct fixture *f, bool behind, unsigned count, unsigned wrong)
{
    for (unsigned i = 0; i < count; i++) {
        const struct prefix_call c = {.kind = KIND_TAGS,
                                      .behind = behind,
                                      .conversation = 600,
                                      .wrong_form = i * wrong / count != (i + 1) * wrong / count,
                                      .tokens_in = 900,
                                      .cached = 600,
                                      .prompt_time = -1};
        prefix_note(f->model, &c, NOW);
    }
}

static void worse_forms_switch_a_kind_off(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    forms(&f, false, 50, 5);
    forms(&f, true, 50, 7); /* 14 % against 10 % */
    assert_int_equal(look(&f, PREFIX_FIRST, NOW), PREFIX_REASON_NONE);
    end(&f);
    begin(&f);
    forms(&f, false, 50, 5);
    forms(&f, true, 19, 4); /* 21 %, of too few */
    assert_int_equal(look(&f, PREFIX_FIRST, NOW), PREFIX_REASON_NONE);
    forms(&f, true, 1, 0); /* 20 % of 20 */
    assert_int_equal(look(&f, PREFIX_FIRST, NOW), PREFIX_REASON_FORM);
    assert_int_equal(prefix_look(f.model, KIND_TITLE, PREFIX_FIRST, PREFIX_AUTO, NOW),
                     PREFIX_REASON_NONE);
    wall_t later = {NOW.us + DAY};
    assert_int_equal(look(&f, PREFIX_FIRST, later), PREFIX_REASON_NONE);
    call(&f, PREFIX_FIRST, 900, 600, later);
    assert_int_equal(look(&f, PREFIX_FIRST, later), PREFIX_REASON_NONE);
    end(&f);
}

static void a_model_that_is_as_bad_as_asked_is_not_held_against_it(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    forms(&f, true, 2, 2);
    assert_int_equal(look(&f, PREFIX_FIRST, NOW), PREFIX_REASON_FORM);
    forms(&f, false, 1, 1);
    assert_int_equal(look(&f, PREFIX_FIRST, NOW), PREFIX_REASON_FORM);
    forms(&f, false, 1, 1);
    assert_int_equal(look(&f, PREFIX_FIRST, NOW), PREFIX_REASON_NONE);
    forms(&f, true, 2, 2);
    assert_int_equal(look(&f, PREFIX_FIRST, NOW), PREFIX_REASON_NONE);
    end(&f);
}

static void a_context_is_stated_or_shown(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    static const struct {
        int64_t shown, stated, context;
    } cases[] = {{0, 0, 2048},     {0, 8192, 8192}, {2048, 0, 2048}, {2049, 0, 4096},
                 {4096, 0, 4096},  {4097, 0, 8192}, {100, 0, 8192},  {6090, 4096, 4096},
                 {8193, 0, 12288}, {-1, 0, 12288}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        prefix_note_size(f.model, cases[i].shown);
        assert_int_equal(prefix_context(f.model, cases[i].stated), cases[i].context);
    }
    end(&f);
}

static struct prefix_place at(uint64_t conversation)
{
    return (struct prefix_place){conversation, 1, 3000};
}

static void go_on(struct fixture *f, int64_t cached)
{
    const struct prefix_call chat = {
        .conversation = 600, .tokens_in = 700, .cached = cached, .prompt_time = -1};
    prefix_note_chat(f->model, &chat, NOW);
}

static void a_chat_that_goes_on_says_what_a_server_keeps(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    assert_int_equal(prefix_displaces(f.model, 1), 0);
    prefix_read_chat(f.model, 1, at(1));
    go_on(&f, 20);
    go_on(&f, -1); /* says nothing */
    assert_int_equal(prefix_displaces(f.model, 1), 0);
    go_on(&f, 20);
    assert_int_equal(look(&f, PREFIX_AFTER_OTHERS, NOW), PREFIX_REASON_NO_GAIN);
    assert_int_equal(prefix_displaces(f.model, 1), 3000);
    assert_int_equal(prefix_displaces(f.model, 2), 0);
    /* it is still there behind its own task, unless the server cannot go back */
    prefix_read_task(f.model, 1, at(1));
    assert_int_equal(prefix_displaces(f.model, 1), 3000);
    call(&f, PREFIX_AFTER_OWN, 900, 0, NOW);
    call(&f, PREFIX_AFTER_OWN, 900, 0, NOW);
    assert_int_equal(prefix_displaces(f.model, 1), 0);
    prefix_read_chat(f.model, 1, at(1));
    assert_int_equal(prefix_displaces(f.model, 1), 3000);
    prefix_read_task(f.model, 1, (struct prefix_place){0, 0, 0});
    assert_int_equal(prefix_displaces(f.model, 1), 0);
    prefix_read_chat(f.model, 1, at(1));
    go_on(&f, 600); /* the server was set otherwise */
    assert_int_equal(prefix_displaces(f.model, 1), 0);
    assert_int_equal(look(&f, PREFIX_AFTER_OTHERS, NOW), PREFIX_REASON_NONE);
    end(&f);
}

static void slots_are_followed(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    assert_int_equal(prefix_when_of(f.model, at(1)), PREFIX_AFTER_OTHERS);
    prefix_read_chat(f.model, 1, at(1));
    assert_int_equal(prefix_when_of(f.model, at(1)), PREFIX_FIRST);
    prefix_read_task(f.model, 1, at(1));
    assert_int_equal(prefix_when_of(f.model, at(1)), PREFIX_AFTER_OWN);
    prefix_read_chat(f.model, 1, at(1));
    assert_int_equal(prefix_when_of(f.model, at(1)), PREFIX_FIRST);
    prefix_read_task(f.model, 1, at(0));
    assert_int_equal(prefix_when_of(f.model, at(1)), PREFIX_AFTER_OTHERS);
    /* two slots: the least recent one is taken */
    prefix_read_chat(f.model, 2, at(1));
    prefix_read_chat(f.model, 2, at(2));
    assert_int_equal(prefix_when_of(f.model, at(1)), PREFIX_FIRST);
    prefix_read_task(f.model, 2, at(1));
    prefix_read_chat(f.model, 2, at(3));
    assert_int_equal(prefix_when_of(f.model, at(1)), PREFIX_AFTER_OWN);
    assert_int_equal(prefix_when_of(f.model, at(2)), PREFIX_AFTER_OTHERS);
    /* an older turn of a conversation that has gone on: the server must go back */
    assert_int_equal(prefix_when_of(f.model, at(3)), PREFIX_FIRST);
    assert_int_equal(prefix_when_of(f.model, (struct prefix_place){3, 0, 0}), PREFIX_AFTER_OWN);
    struct server *s = server_of(f.servers, &f.up);
    assert_true(prefix_is_held(s, f.model->key, 3));
    assert_false(prefix_is_held(s, f.model->key, 2));
    assert_false(prefix_is_held(s, f.model->key, 0));
    assert_false(prefix_is_held(s, (struct hash_key){1, 1}, 3));
    end(&f);
}

static void it_survives_a_restart(void **state)
{
    (void)state;
    struct fixture f, again, other;
    struct buf saved = {.max = 65536};
    char url_2[] = "http://127.0.0.1:2";
    begin(&f);
    uint64_t before = prefix_changes(f.servers);
    call(&f, PREFIX_FIRST, 900, 0, NOW);
    call(&f, PREFIX_FIRST, 900, 0, NOW);
    prefix_note_size(f.model, 5000);
    assert_int_not_equal(prefix_changes(f.servers), before);
    assert_int_equal(prefix_save(f.servers, &saved), ERR_OK);
    end(&f);
    begin(&again);
    for (size_t len = 0; len < saved.len; len++) { /* cut anywhere: nothing is taken */
        prefix_load(again.servers, span_make(saved.data, len));
    }
    assert_int_equal(look(&again, PREFIX_FIRST, NOW), PREFIX_REASON_NONE);
    prefix_load(again.servers, buf_span(&saved));
    assert_int_equal(look(&again, PREFIX_FIRST, NOW), PREFIX_REASON_NO_GAIN);
    assert_int_equal(prefix_context(again.model, 0), 8192);
    end(&again);
    begin(&other); /* another url is another server */
    other.up.url = url_2;
    servers_bind(other.servers, &other.up, 1);
    other.model = server_model(server_of(other.servers, &other.up), SPAN("m"));
    prefix_load(other.servers, buf_span(&saved));
    assert_int_equal(look(&other, PREFIX_FIRST, NOW), PREFIX_REASON_NONE);
    end(&other);
    buf_free(&saved);
}

/* A note of the size of ours that another layout of the struct wrote. */
static void what_this_program_could_not_have_written_is_not_taken(void **state)
{
    (void)state;
    struct fixture f, again;
    struct buf saved = {.max = 65536};
    begin(&f);
    call(&f, PREFIX_FIRST, 900, 0, NOW);
    call(&f, PREFIX_FIRST, 900, 0, NOW);
    assert_int_equal(prefix_save(f.servers, &saved), ERR_OK);
    end(&f);
    size_t learnt = saved.len - sizeof(struct prefix_learnt);
    struct prefix_learnt l;
    const struct {
        size_t at, size;
    } places[] = {
        {offsetof(struct prefix_learnt, gain[0].off), sizeof l.gain[0].off},
        {offsetof(struct prefix_learnt, gain[0].without), sizeof l.gain[0].without},
        {offsetof(struct prefix_learnt, gain[1].calls), sizeof l.gain[1].calls},
        {offsetof(struct prefix_learnt, kinds[1].asked.count), sizeof l.kinds[1].asked.count},
        {offsetof(struct prefix_learnt, kinds[1].asked.wrong), sizeof l.kinds[1].asked.wrong},
        {offsetof(struct prefix_learnt, kinds[0].off_since), sizeof l.kinds[0].off_since},
        {offsetof(struct prefix_learnt, token_us), sizeof l.token_us},
        {offsetof(struct prefix_learnt, shown), sizeof l.shown},
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        char *member = saved.data + learnt + places[i].at;
        char old[sizeof(uint64_t)];
        memcpy(old, member, places[i].size);
        memset(member, 0xFF, places[i].size);
        begin(&again);
        prefix_load(again.servers, buf_span(&saved));
        assert_int_equal(look(&again, PREFIX_FIRST, NOW), PREFIX_REASON_NONE);
        end(&again);
        memcpy(member, old, places[i].size);
    }
    begin(&again);
    prefix_load(again.servers, buf_span(&saved));
    assert_int_equal(look(&again, PREFIX_FIRST, NOW), PREFIX_REASON_NO_GAIN);
    end(&again);
    buf_free(&saved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_state_of_the_cache_is_learnt_by_itself),
        cmocka_unit_test(without_figures_three_calls_are_tried),
        cmocka_unit_test(worse_forms_switch_a_kind_off),
        cmocka_unit_test(a_model_that_is_as_bad_as_asked_is_not_held_against_it),
        cmocka_unit_test(a_context_is_stated_or_shown),
        cmocka_unit_test(a_chat_that_goes_on_says_what_a_server_keeps),
        cmocka_unit_test(slots_are_followed),
        cmocka_unit_test(it_survives_a_restart),
        cmocka_unit_test(what_this_program_could_not_have_written_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
