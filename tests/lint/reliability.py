#!/usr/bin/env python3
"""Every test and every mutant that docs/reliability.md and SECURITY.md name is there."""
import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "mutants"))
import rules  # noqa: E402

PAGES = ("docs/reliability.md", "SECURITY.md")
TEST = re.compile(r"`((?:unit|scenario|integration|fuzz|packaging)\.[a-z_.]+)(?:: ([a-z_0-9]+))?`")


def sources(test):
    """The files of a ctest entry."""
    group, _, rest = test.partition(".")
    name = rest.rpartition(".")[2]
    places = {"unit": f"tests/unit/{rest.partition('.')[0]}/{name}.c", "scenario": f"tests/scenario/{name}.c",
              "fuzz": f"tests/fuzz/{name}.c", "integration": f"tests/integration/test_{name}.py",
              "packaging": f"tests/packaging/test_{name}.py"}
    found = [p for p in [os.path.join(ROOT, places[group])] if os.path.exists(p)]
    return found or [p for p in glob.glob(os.path.join(ROOT, "tests", "*", "*.cmake"))
                     if f"NAME {test} " in open(p, encoding="utf-8").read()]


def problems(page, text):
    names = {m.name.partition(": ")[2] for m in rules.MUTANTS}
    mutants = False  # the table has a column of mutants
    for number, line in enumerate(text.splitlines(), 1):
        for test, function in TEST.findall(line):
            files = sources(test)
            if not files:
                yield f"{page}:{number}: there is no test {test}"
            elif function and not any(re.search(rf"\b{function}\b", open(f, encoding="utf-8").read()) for f in files):
                yield f"{page}:{number}: {test} has no {function}"
        mutants = line.endswith("| mutant |") or (mutants and line.startswith("|"))
        if line.startswith("| ") and mutants and not line.endswith("| mutant |"):
            named = re.findall(r'"([^"]+)"', line.rpartition("` | ")[2])
            if not named and "` | none: " not in line:
                yield f"{page}:{number}: names no mutant, and not why"
            for mutant in named:
                if mutant not in names:
                    yield f'{page}:{number}: there is no mutant "{mutant}"'


def main():
    found = []
    for page in PAGES:
        with open(os.path.join(ROOT, page), encoding="utf-8") as f:
            found += problems(page, f.read())
    print("\n".join(found))
    print(f"reliability: {len(found)} findings")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
