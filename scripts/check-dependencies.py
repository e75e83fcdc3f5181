#!/usr/bin/env python3
"""Checks every crate of the lock files: an accepted licence, a registry as its source, and none that is banned.

Reads `cargo metadata` and the licences in deny.toml; prints what it refuses.
"""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Ours, and what `make test` builds besides.
MANIFESTS = ("Cargo.toml", "tests/interop/rust/Cargo.toml")
DENY = tomllib.loads((ROOT / "deny.toml").read_text())
ACCEPTED = set(DENY["licenses"]["allow"])
BANNED = {ban["name"] for ban in DENY["bans"]["deny"]}


def accepted(expression: str) -> bool:
    """Whether an SPDX expression can be satisfied with accepted licences: OR needs one side, AND needs both."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))
    position = 0

    def peek() -> str | None:
        return tokens[position] if position < len(tokens) else None

    def either() -> bool:
        nonlocal position
        result = both()
        while peek() == "OR":
            position += 1
            result = both() or result
        return result

    def both() -> bool:
        nonlocal position
        result = single()
        while peek() == "AND":
            position += 1
            result = single() and result
        return result

    def single() -> bool:
        nonlocal position
        token = tokens[position]
        position += 1
        if token == "(":
            result = either()
            position += 1
            return result
        if peek() == "WITH":
            token = f"{token} WITH {tokens[position + 1]}"
            position += 2
        return token in ACCEPTED

    return bool(tokens) and either()


def complaints(package: dict) -> list[str]:
    """What is wrong with a package of `cargo metadata`."""
    found = []
    if not accepted(package.get("license") or ""):
        found.append(f"licence {package.get('license')!r} is not accepted")
    source = package.get("source")
    if source is not None and not source.startswith("registry+"):
        found.append(f"source {source} is not a registry")
    if package["name"] in BANNED:
        found.append("is banned in deny.toml")
    return found


def packages_of(manifest: str) -> list[dict]:
    """The crates of a workspace."""
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--manifest-path", manifest]
    return json.loads(subprocess.run(command, check=True, capture_output=True, cwd=ROOT).stdout)["packages"]


def main() -> int:
    found = {package["id"]: package for manifest in MANIFESTS for package in packages_of(manifest)}
    packages = list(found.values())
    refused = [(p, why) for p in packages for why in complaints(p)]
    for package, why in refused:
        print(f"{package['name']} {package['version']}: {why}", file=sys.stderr)
    print(f"dependencies: {len(packages)} crates checked, {len(refused)} complaints")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main())
