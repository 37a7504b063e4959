/* test_loop.c: base/loop.h on libevent. */
#include "loop_checks.h"
