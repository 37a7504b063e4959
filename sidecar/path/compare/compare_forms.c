/* compare_forms.c: the two forms of a stored request, one after the other:
 *
 *   as asked ──▶ the conversation is read, as its chat has done when a task comes ──▶ behind it
 *
 * The conversation is looked for when the request's turn comes, so that one is held at a time.
 */
#include "path/compare/compare_priv.h"

#include "lull/path/dialect/warmup.h"

enum { INSTRUCTION_MAX = 512 * 1024, WHY_MAX = 1024 };

void compare_forms_release(struct compare_run *run)
{
    transcript_unref(run->forms.behind.transcript);
    run->forms.behind = (struct flight_behind){.wanted = false};
    run->forms.reads = false;
    buf_free(&run->forms.instruction);
}

const char *compare_forms_wrong(const struct compare_run *run, const struct flight_end *end)
{
    bool behind = run->forms.on && run->asked == &run->candidates[FORM_BEHIND];
    return behind && !end->asked_behind ? "it could not be asked behind its conversation" : NULL;
}

/* ---- the conversation ---- */

/* Looks for the conversation of the current request; why it is left out, or NONE. */
static enum prefix_reason find(struct compare_run *run)
{
    struct compare_forms *f = &run->forms;
    if (run->item->upstream < 0) {
        return PREFIX_REASON_ELSEWHERE;
    }
    const struct upstream_settings *to = &run->settings->upstreams[run->item->upstream];
    const struct flight_spec spec = {.settings = run->settings,
                                     .kind = run->kind,
                                     .policy = &run->policy,
                                     .upstream = run->item->upstream,
                                     .endpoint = run->item->endpoint,
                                     .target = endpoint_task_path(run->item->endpoint, to),
                                     .body = run->item->body,
                                     .model = run->item->model,
                                     .scope = span_of(run->item->scope)};
    engine_find_behind(run->owner->engine, &spec, &f->behind);
    buf_init(&f->instruction, INSTRUCTION_MAX);
    if (f->behind.transcript != NULL &&
        buf_append_span(&f->instruction, f->behind.instruction) != ERR_OK) {
        return PREFIX_REASON_CONTEXT;
    }
    f->behind.instruction = buf_span(&f->instruction);
    return f->behind.why;
}

/* None was held: says of how many, and why not. */
static void refuse(struct compare_run *run)
{
    struct buf text = {.max = WHY_MAX};
    const char *before = "";
    buf_text(&text, "lull can ask none of the %zu stored requests behind its conversation (",
             run->items.count);
    for (size_t i = 0; i < PREFIX_REASON_COUNT; i++) {
        if (run->forms.prefix_not[i] > 0) {
            buf_text(&text, "%s%s %zu", before, prefix_reason_name((enum prefix_reason)i),
                     run->forms.prefix_not[i]);
            before = ", ";
        }
    }
    buf_text(&text, ")");
    require_ok(buf_append_char(&text, '\0'));
    const struct compare_refusal refusal = {.why = text.data};
    compare_refuse(run, &refusal);
    buf_free(&text);
}

/* Moves to the next request. false: none is left, or it is left out. */
static bool advance(struct compare_run *run)
{
    compare_forms_release(run);
    if (run->at_item == run->items.count) {
        if (run->finished == 0) {
            refuse(run);
        } else {
            compare_run_end(run, NULL);
        }
        return false;
    }
    run->item = &run->items.list[run->at_item++];
    run->upstream = run->item->upstream;
    enum prefix_reason why = find(run);
    if (why != PREFIX_REASON_NONE) {
        run->forms.prefix_not[why]++;
        run->planned -= FORMS;
        loop_timer_start(run->timer, 0);
    }
    return why == PREFIX_REASON_NONE;
}

/* ---- calls ---- */

static void on_read(void *ctx, struct flight_end *end)
{
    struct compare_run *run = ctx;
    (void)end; /* what the next call says is what counts */
    run->forms.reads = false;
    loop_timer_start(run->timer, 0);
}

/* Nothing is added to the chat's request: its prompt stays laid out as it was. */
static struct kind_policy policy_of_chat(const struct compare_run *run)
{
    static char none[] = "";
    struct kind_policy p = run->policy;
    p.max_tokens = UNSET;
    p.temperature = none;
    p.think = THINK_AS_ASKED;
    p.json_schema = false;
    p.keep_alive = MATCH_AS_ASKED;
    p.num_ctx = MATCH_AS_ASKED;
    p.extra = none;
    return p;
}

/* Has the conversation read. false: its request cannot be made. */
static bool read_conversation(struct compare_run *run)
{
    const struct transcript *t = run->forms.behind.transcript;
    struct kind_policy policy = policy_of_chat(run);
    struct buf body = {.max = t->body.len + 6 * t->reply.len + 4096};
    struct flight_spec spec = {.policy = &policy, .model = run->item->model};
    bool made = dialect_warmup_request(t->body, t->place.endpoint, t->reply, &body) == ERR_OK;
    spec.body = buf_span(&body);
    if (made) {
        compare_submit(run, &spec, on_read);
    }
    buf_free(&body);
    return made;
}

static void ask(struct compare_run *run, enum compare_form form)
{
    struct flight_spec spec = {.body = run->item->body,
                               .model = run->item->model,
                               .may_stream = compare_may_stream(run->item)};
    if (form == FORM_BEHIND) {
        spec.behind = run->forms.behind;
    }
    compare_submit(run, &spec, compare_on_end);
}

void compare_forms_next(struct compare_run *run)
{
    if (run->at_candidate == FORM_AS_ASKED && !advance(run)) {
        return;
    }
    if (run->at_candidate == FORM_BEHIND && run->forms.reads && read_conversation(run)) {
        return;
    }
    enum compare_form form = (enum compare_form)run->at_candidate;
    run->asked = &run->candidates[form];
    run->forms.reads = form == FORM_AS_ASKED;
    run->at_candidate = (run->at_candidate + 1) % FORMS;
    ask(run, form);
}
