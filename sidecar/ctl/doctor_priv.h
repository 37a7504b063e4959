/* doctor_priv.h: what the files of lullctl doctor share: the daemon's facts, and the findings. */
#ifndef LULL_CTL_DOCTOR_PRIV_H
#define LULL_CTL_DOCTOR_PRIV_H

#include "ctl/ctl.h"

enum { FINDINGS_MAX = 64, TEXT_MAX = 512 };

enum severity { NOTE, WARNING, ERROR };

struct finding {
    enum severity severity;
    char text[TEXT_MAX], fix[TEXT_MAX];
};

/* One run of lullctl doctor. */
struct doctor {
    const struct ctl *ctl;
    const cJSON *stats, *ready, *config, *flights, *facts;
    struct finding findings[FINDINGS_MAX];
    size_t count;
};

/* Adds a finding; fix: what to change. The returned finding's fix may be written over. */
struct finding *add_finding(struct doctor *d, enum severity severity, const char *fix,
                            const char *format, ...) PRINTF_LIKE(4, 5);
/* The value of a key in force; "" where it is not there. */
const char *value_of(const struct doctor *d, const char *key);
/* What is wrong with model servers. */
void check_servers(struct doctor *d);

/* Whether a share of so many requests says something. */
static inline bool is_many(double requests)
{
    return requests >= 20;
}

#endif
