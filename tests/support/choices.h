/* choices.h: the choices of a fuzz target: each takes a byte of its input, which it sets. */
#ifndef TESTS_SUPPORT_CHOICES_H
#define TESTS_SUPPORT_CHOICES_H

#include <stddef.h>
#include <stdint.h>

static const uint8_t *choices;
static size_t choices_left;

/* From 0 to n - 1; 0 behind the last byte. */
static unsigned pick(unsigned n)
{
    unsigned value = choices_left > 0 ? *choices : 0;
    choices += choices_left > 0 ? 1 : 0;
    choices_left -= choices_left > 0 ? 1 : 0;
    return value % n;
}

#endif
