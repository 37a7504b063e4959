/* kinds.c: the tables behind kinds.h. */
#include "lull/config/kinds.h"

#include "lull/base/err.h"

static const struct kind_info kinds[] = {
#define KIND(id, name, header, cls, cached, ttl, stale, shape, member, empty)                      \
    [KIND_##id] = {name,   header, KIND_CLASS_##cls, cached, ttl, stale, KIND_SHAPE_##shape,       \
                   member, empty},
#include "lull/config/kinds.def"
};

static const char *const names[] = {
#define OUTCOME(id, name, without_call, help) [OUTCOME_##id] = name,
#include "lull/config/outcomes.def"
};

static const char *const helps[] = {
#define OUTCOME(id, name, without_call, help) [OUTCOME_##id] = help,
#include "lull/config/outcomes.def"
};

const struct kind_info *kind_info(enum kind_id id)
{
    require((size_t)id < sizeof kinds / sizeof kinds[0]);
    return &kinds[id];
}

const char *outcome_name(enum outcome o)
{
    require((size_t)o < sizeof names / sizeof names[0]);
    return names[o];
}

const char *outcome_help(enum outcome o)
{
    require((size_t)o < sizeof helps / sizeof helps[0]);
    return helps[o];
}

static const char *const reasons[] = {
    "",
#define PREFIX_REASON(id, name, help) name,
#include "lull/config/prefix_reasons.def"
#undef PREFIX_REASON
};

const char *prefix_reason_name(enum prefix_reason r)
{
    require((size_t)r < sizeof reasons / sizeof reasons[0]);
    return reasons[r];
}
