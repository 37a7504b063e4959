#!/bin/bash
# coverage.sh [CTEST-ARGUMENT...]   builds with coverage in build-coverage/, runs the tests (all but lint
# and packaging unless arguments say otherwise), and prints lines and branches of sidecar/ per file.
# build-coverage/report/index.html shows the lines.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
. "$root/contrib/setup/packages.sh"
build=$root/build-coverage

need "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" gcovr
[ $# -gt 0 ] || set -- -LE 'lint|packaging'
cmake -S "$root" -B "$build" -G Ninja -DCMAKE_C_COMPILER=gcc -DCMAKE_BUILD_TYPE=Debug -DLULL_COVERAGE=ON >/dev/null
ninja -C "$build"
find "$build" -name '*.gcda' -delete
failed=0
ctest --test-dir "$build" -j2 --no-tests=error "$@" || failed=1
mkdir -p "$build/report"
cd "$build"
gcovr --root "$root" --filter "$root/sidecar/" --html-details report/index.html --txt report/lines.txt
gcovr --root "$root" --filter "$root/sidecar/" --branches --exclude-unreachable-branches --txt report/branches.txt
cat report/lines.txt
echo "lines:    $(tail -2 report/lines.txt | head -1)"
echo "branches: $(tail -2 report/branches.txt | head -1)"
exit "$failed"
