/* choices.c: which words an option can have (choices.def), and which value a word stands for. */
#include "config/config_priv.h"

static const struct {
    enum option_type type;
    int value;
    const char *word;
} choices[] = {
#define CHOICE(type, value, word) {TYPE_##type, (int)(value), word},
#include "lull/config/choices.def"
};
static const size_t choice_count = sizeof choices / sizeof choices[0];

const char *choice_word(enum option_type type, int value)
{
    for (size_t i = 0; i < choice_count; i++) {
        if (choices[i].type == type && choices[i].value == value) {
            return choices[i].word;
        }
    }
    require(false); /* choices.def has every value */
    return "";
}

bool choice_find(enum option_type type, struct span word, int *value)
{
    for (size_t i = 0; i < choice_count; i++) {
        if (choices[i].type == type && span_eq(word, span_of(choices[i].word))) {
            *value = choices[i].value;
            return true;
        }
    }
    return false;
}

void choice_list(enum option_type type, struct buf *out)
{
    const char *last = NULL; /* written once it is known whether another follows */
    size_t listed = 0;
    for (size_t i = 0; i < choice_count; i++) {
        if (choices[i].type != type) {
            continue;
        }
        if (last != NULL) {
            buf_text(out, "%s%s", listed++ == 0 ? "" : ", ", last);
        }
        last = choices[i].word;
    }
    buf_text(out, "%s%s", listed == 0 ? "" : " or ", last == NULL ? "" : last);
}
