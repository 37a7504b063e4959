"""docs/performance.md: the parts that the benchmarks write, each between two comments."""
import pathlib

PAGE = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "performance.md"


def write(name, text, by=None):
    """by: the program, without its suffix; as the part is called if left out."""
    left, right = f"<!-- {name}: written by tests/bench/{by or name}.py -->", f"<!-- {name}: end -->"
    before, found, rest = PAGE.read_text(encoding="utf-8").partition(left)
    _, ended, after = rest.partition(right)
    if not found or not ended:
        raise SystemExit(f"{PAGE} has no part for {name}")
    PAGE.write_text(f"{before}{left}\n\n{text}\n\n{right}{after}", encoding="utf-8")
