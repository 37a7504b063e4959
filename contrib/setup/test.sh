#!/bin/bash
# test.sh   on a bare Debian 12 or 13: installs what the tests need, builds lull five times and runs its tests:
# gcc with -Werror (everything), clang with -Werror and the unsigned char of arm64 (all but the integration tests),
# gcc with ASan and UBSan (everything), and gcc with TSan (store, cache and what else has a thread). Then the instructions of
# a Release build beside the kept ones, and 25 of the mutants, others each hour: a test must notice each.
# The last line says how many tests passed and failed. Builds are kept in build-test/ for the next time
# (LULL_TEST_BUILD=FOLDER: elsewhere).
set -uo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/contrib/setup/packages.sh"
builds=${LULL_TEST_BUILD:-$root/build-test}
jobs=$((2 * $(nproc))) # tests: the longest ones mostly wait
passed=0
failed=0
targets=() # none: all

# build NAME CMAKE-ARGUMENT...: configures and builds the targets in build-test/NAME; counts as one test.
build() {
    local name=$1 dir=$builds/$1
    shift
    echo "== build $name"
    if cmake -S "$root" -B "$dir" -G Ninja -DLULL_WERROR=ON "$@" >"$dir.log" 2>&1 &&
        ninja -C "$dir" -j2 "${targets[@]}" >>"$dir.log" 2>&1; then
        passed=$((passed + 1))
        return 0
    fi
    grep -E -A15 'FAILED|error:|CMake Error' "$dir.log" | head -60
    echo "build $name failed; see $dir.log"
    failed=$((failed + 1))
    return 1
}

# tests NAME CTEST-ARGUMENT...: runs ctest there and adds its counts.
tests() {
    local name=$1 dir=$builds/$1 log=$builds/$1.ctest line bad total
    shift
    echo "== test $name"
    ctest --test-dir "$dir" --output-on-failure -j"$jobs" --no-tests=error "$@" >"$log" 2>&1
    line=$(grep -E '^[0-9]+% tests passed, [0-9]+ tests failed out of [0-9]+' "$log" | tail -1)
    if [ -z "$line" ]; then
        tail -20 "$log"
        failed=$((failed + 1))
        return
    fi
    read -r bad total < <(sed -E 's/.*, ([0-9]+) tests failed out of ([0-9]+).*/\1 \2/' <<<"$line")
    passed=$((passed + total - bad))
    failed=$((failed + bad))
    if [ "$bad" -gt 0 ]; then
        cat "$log"
    else
        grep -E '\*\*\*Skipped|^The following tests did not run' "$log"
        grep -E 'Total Test time' "$log"
    fi
}

# mutants N: N mutants; counts as one test.
mutants() {
    local log=$builds/mutants.log
    echo "== mutants"
    if "$root/tests/mutants/run" --sample "$1" >"$log" 2>&1; then
        passed=$((passed + 1))
    else
        grep -v '^killed' "$log"
        failed=$((failed + 1))
    fi
    tail -1 "$log"
}

need "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" || exit 1
mkdir -p "$builds"

build gcc -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=RelWithDebInfo && tests gcc
build clang -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_C_FLAGS='-Wvla -funsigned-char' &&
    tests clang -LE 'integration|lint|packaging'
build asan -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DLULL_SANITIZE=address,undefined && tests asan -LE 'lint|packaging'
build tsan -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=RelWithDebInfo -DLULL_SANITIZE=thread &&
    tests tsan -R '^unit\.(store|cache|base)\.'
targets=(lulld lullctl)
build release -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Release && tests release -R '^bench\.instructions$'
mutants 25

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
