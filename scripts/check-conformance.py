#!/usr/bin/env python3
"""Checks docs/conformance-a2a.md: every test that it names exists, every requirement has one or says why not, and every
test of tests/interop/a2a/test_conformance.py is named.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "conformance-a2a.md"
# What the page calls the folders.
FOLDERS = {
    "a2a": "tests/interop/a2a",
    "bindings": "crates/mesh-host/tests/bindings",
    "it": "crates/mesh-host/tests/it",
    "core": "crates/mesh-core/src",
    "card": "crates/mesh-card/src",
    "host": "crates/mesh-host/src",
}
TEST = re.compile(r"`(\w+)/([\w/.-]+)::(\w+)`")
DEFINITION = re.compile(r"^\s*(?:async )?(?:def|fn) (\w+)\(", re.MULTILINE)


def tests_of(file: Path) -> set[str]:
    """The functions that a file defines; none if it is not there."""
    return set(DEFINITION.findall(file.read_text())) if file.is_file() else set()


def complaints(page: str) -> list[str]:
    """What is wrong with the page."""
    found = []
    for number, line in enumerate(page.splitlines(), start=1):
        for folder, file, test in TEST.findall(line):
            path = ROOT / FOLDERS.get(folder, folder) / file
            if test not in tests_of(path):
                found.append(f"line {number}: {path.relative_to(ROOT)} has no `{test}`")
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| ") and cells[0] != "§":
            shown = cells[-1]
            if not TEST.search(shown) and not shown.startswith(("does not apply: ", "not covered: ")):
                found.append(f"line {number}: neither a test nor `does not apply:` nor `not covered:`")
    own = ROOT / FOLDERS["a2a"] / "test_conformance.py"
    named = {test for _, file, test in TEST.findall(page) if file == own.name}
    unnamed = {test for test in tests_of(own) if test.startswith("test_")} - named
    return found + [f"{own.name}: `{test}` is not named" for test in sorted(unnamed)]


def main() -> int:
    page = PAGE.read_text()
    found = complaints(page)
    for complaint in found:
        print(f"{PAGE.name}: {complaint}", file=sys.stderr)
    rows = [line for line in page.splitlines() if line.startswith("| ") and not line.startswith("| §")]
    print(
        f"conformance: {len(rows)} requirements, {len(set(TEST.findall(page)))} tests, {len(found)} complaints"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
