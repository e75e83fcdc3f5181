#!/usr/bin/env python3
"""Runs every fuzz target for a while, two at a time, and prints what each came to.

    scripts/fuzz.py PROGRAM [--seconds 20] [--jobs 2] [--target NAME]...

What a target finds new is kept in target/fuzz/corpus/NAME, and what breaks it in target/fuzz/crashes. Run one input again with
    FUZZ_TARGET=NAME PROGRAM FILE
"""

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
SEEDS = ROOT / "fuzz/seeds"
WORK = ROOT / "target/fuzz"


def run(program: str, target: str, seconds: int) -> tuple[str, int, str]:
    """Runs one target; returns its name, its exit code and what it said."""
    corpus, crashes = WORK / "corpus" / target, WORK / "crashes"
    corpus.mkdir(parents=True, exist_ok=True)
    crashes.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        "-max_len=4096",
        "-timeout=10",
        "-rss_limit_mb=1024",
        "-print_final_stats=1",
        f"-artifact_prefix={crashes / target}-",
    ]
    done = subprocess.run(
        [program, *options, corpus, SEEDS / target],
        env=os.environ | {"FUZZ_TARGET": target},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return target, done.returncode, done.stdout


def summary(output: str) -> str:
    """Executions, places reached, inputs that reach something of their own."""
    executions = re.findall(r"number_of_executed_units: (\d+)", output)
    progress = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", output)
    coverage, features, inputs = progress[-1] if progress else ("?", "?", "?")
    runs = executions[-1] if executions else "?"
    return f"{runs:>10} {coverage:>9} {features:>9} {inputs:>7}"


def main() -> int:
    """Runs what the arguments say; 1 if anything broke."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("program")
    parser.add_argument("--seconds", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--target", action="append", help="only this one; may be repeated")
    arguments = parser.parse_args()
    targets = arguments.target or sorted(seeds.name for seeds in SEEDS.iterdir())
    broken = 0
    print(f"{'target':<14} {'runs':>10} {'coverage':>9} {'features':>9} {'inputs':>7}", flush=True)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        jobs = [pool.submit(run, arguments.program, target, arguments.seconds) for target in targets]
        for job in jobs:
            target, code, output = job.result()
            print(f"{target:<14} {summary(output)}{'' if code == 0 else '  BROKEN'}", flush=True)
            if code != 0:
                broken += 1
                print("\n".join(output.splitlines()[-60:]), flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
