"""Command line of the conformance runner: ``python -m tests.conformance SUITE --src DIR``."""

import argparse
import datetime
import importlib.metadata
import json
import os
import shlex
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.conformance import report
from tests.conformance.reasons import Result
from tests.conformance.runner import Run
from tests.conformance.suites import SUITES, Suite
from tests.source_tree import ROOT


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("suite", choices=sorted(SUITES))
    parser.add_argument("--src", type=Path, help="source tree of the suite, outside this repository; never written to")
    parser.add_argument("--select", default="", metavar="EXPR", help="cases that pytest's -k selects")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="every N-th case of each file")
    parser.add_argument(
        "--shuffle",
        type=int,
        metavar="SEED",
        help="cases of all files in random order: what has run at any time is a random sample",
    )
    parser.add_argument("--files", nargs="*", default=[], metavar="NAME", help="only these files")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--timeout", type=int, default=0, metavar="S", help="seconds a case may take")
    parser.add_argument("--memory", type=float, default=0, metavar="GIB", help="host memory that a process may take")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write results; results in it are kept and not run again"
    )
    parser.add_argument(
        "--failed", type=Path, metavar="FILE", help="run only what failed in these results, and mend them"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="run nothing: tables of these results")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables into this document")
    parser.add_argument("--operators", type=Path, metavar="FILE", help="opinfo: write this document, by operator")
    return parser.parse_args()


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package} absent"


def _commit() -> str:
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=10"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def _facts(suite: Suite, source: Path, options: argparse.Namespace) -> dict[str, str]:
    changes = [
        *([" ".join(suite.options)] if suite.options else []),
        *(f"{name}() -> {value}" for name, value in suite.returns),
    ]
    changes += [f'device "{name}" in torch calls -> mtia_sim' for name in suite.redirect]
    changes += [f"{name} -> {other}" for name, other in suite.replace]
    changes += [f"`{expression}` in the text of its files -> {other}" for expression, other in suite.renames]
    changes += [f"{suite.prepare} before its files are imported"] if suite.prepare else []
    words = [suite.name, *(() if suite.own else ("--src", f"sources/{source.name}"))]  # no folder of one machine
    for name, chosen in (
        ("select", options.select),
        ("timeout", options.timeout),
        ("memory", f"{options.memory:g}" if options.memory else ""),
    ):
        words += [f"--{name}", str(chosen)] if chosen else []
    words += ["--every", str(options.every)] if options.every > 1 else []
    words += ["--shuffle", str(options.shuffle)] if options.shuffle is not None else []
    words += ["--files", *options.files] if options.files else []
    return {
        "Command": f"`python -m tests.conformance {shlex.join(words)}`",
        "Date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "Versions": ", ".join(map(_version, ("torch", "triton", "liger-kernel", "transformers"))),
        "Chip": os.environ.get("MTIA_SIM_CHIP", "mtia300"),
        "Changed in the suite": "; ".join(changes) or "nothing",
    }


def _load(path: Path | None) -> dict[str, Any]:
    return json.loads(path.read_text()) if path is not None and path.is_file() else {"cases": {}}


def main() -> int:
    options = _arguments()
    suite = SUITES[options.suite]
    old = _load(options.report or options.failed or options.json)
    source = ROOT if suite.own else options.src or (Path(old["source"]) if "source" in old else None)
    if source is None:
        raise SystemExit(f"suite {suite.name}: --src is to name the folder of its source tree")
    run = Run(
        suite=suite,
        source=source.resolve(),
        select=options.select,
        every=options.every,
        shuffle=options.shuffle,
        files=tuple(options.files),
        jobs=options.jobs,
        timeout_s=options.timeout,
        memory_gib=options.memory,
        report=lambda line: print(line, flush=True),
    )
    results = {
        "suite": suite.name,
        "title": suite.title,
        "source": str(run.source),
        "facts": (options.report and old.get("facts")) or _facts(suite, run.source, options),
        "population": old.get("population", 0),
        "cases": old["cases"],
    }
    target = options.json or options.failed

    commit = _commit()

    def keep(cases: dict[str, Result]) -> None:
        results["cases"].update({case: {**result, "commit": commit} for case, result in cases.items()})
        if target is not None:
            part = target.with_suffix(".part")
            part.write_text(json.dumps(results, indent=0))
            part.replace(target)

    if not options.report:
        if options.failed:
            chosen = [
                case
                for case, result in old["cases"].items()
                if result["outcome"] == "failed" and result.get("stage") != "collection"
                if not run.files or Path(result["file"]).name in run.files
            ]
        else:
            chosen, broken = run.collect()
            results["population"] = run.population
            keep(broken)
            chosen = [case for case in chosen if case not in results["cases"]]
        run.run(chosen, keep)
    commits = Counter(result.get("commit", "unknown") for result in results["cases"].values())
    results["facts"]["Run at"] = ", ".join(f"{name} ({count} cases)" for name, count in commits.most_common())
    tables = report.tabulate(results["cases"], run.root)
    if len(results["cases"]) < results["population"] and tables.total.counted:
        results["facts"]["Sample"] = report.sample(tables, results["population"])
    print("\n".join([*report.file_table(tables), "", *report.reason_table(tables)]))
    if options.markdown:
        report.write_section(options.markdown, suite.name, report.section(results, tables))
    if options.operators:
        from tests.conformance.opinfo import summary  # it needs torch's tables of tests

        options.operators.write_text(summary.document(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
