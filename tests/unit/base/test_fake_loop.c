/* test_fake_loop.c: base/loop.h in virtual time. */
#include "support/fake_loop.c"

#include "loop_checks.h"
