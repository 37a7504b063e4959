/* loading.c: servers that load a model when they are first asked for it (Ollama, one_model).
 *
 * A call that is closed while its model is loading ends the load, and the next call for that model
 * begins it again. So a job whose model an interactive request needs too is spared until its first
 * byte, as long as nothing says that the model is there: no call for it has been answered for
 * STAYS_LOADED. With the first byte it is a job like any other, and is preempted if that request
 * is still open.
 */
#include "path/schedule/schedule_priv.h"

bool loads_for(const struct schedule_upstream *origin, const struct schedule_job *j, mono_t now)
{
    return j->row == origin && hash_key_eq(j->model, origin->interactive_model) &&
           schedule_is_loading(j, now);
}

bool schedule_is_loading(const struct schedule_job *j, mono_t now)
{
    return j->state == SCHEDULE_RUNNING && j->loads && !j->first_byte && !key_is_zero(j->model) &&
           !is_loaded(j->row, j->model, now);
}

bool schedule_first_byte(struct schedule_job *j, bool good, mono_t now)
{
    if (j->state != SCHEDULE_RUNNING || j->first_byte) {
        return false;
    }
    j->first_byte = true;
    if (good && !key_is_zero(j->model)) {
        server_model_answered(j->row->server, j->model, now);
    }
    return j->spared;
}
