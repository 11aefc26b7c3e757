"""Makes examples/ importable and gives the devices that the examples run on."""

import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
sys.path.insert(0, str(EXAMPLES))


@pytest.fixture(params=[pytest.param("cpu", marks=pytest.mark.slow), "mtia_sim"])
def device(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with real text of about 200 kB."""
    import argparse
    import inspect as inspection

    path = tmp_path_factory.mktemp("text") / "sources.txt"
    path.write_text(inspection.getsource(argparse) + inspection.getsource(inspection))
    return path


@pytest.fixture
def caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"
