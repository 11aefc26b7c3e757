"""Makes .venv hold what requirements-dev.txt pins: creates it, installs what is missing, leaves what is right alone."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv" / "bin" / "python"
REQUIREMENTS = ROOT / "requirements-dev.txt"
REPORT_MISSING = """
import sys
from importlib.metadata import PackageNotFoundError, version
for pin in sys.argv[1:]:
    name, _, wanted = pin.partition("==")
    try:
        found = version(name)
    except PackageNotFoundError:
        found = None
    if found is None or found.partition("+")[0] != wanted:
        print(pin)
"""


def main() -> None:
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ROOT / ".venv")], check=True)
    pins = re.findall(r"^[A-Za-z0-9_.-]+==\S+", REQUIREMENTS.read_text(), re.MULTILINE)
    report = subprocess.run(
        [str(PYTHON), "-c", REPORT_MISSING, *pins], check=True, capture_output=True, text=True, cwd=ROOT / ".venv"
    )
    missing = report.stdout.split()
    if not missing:
        return
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    # torch first and alone, so that no other package's requirement picks its version.
    torch = [pin for pin in missing if pin.startswith("torch==")]
    if torch:
        subprocess.run([*pip, *torch], check=True)
    rest = [pin for pin in missing if pin not in torch]
    if rest:
        subprocess.run([*pip, *rest], check=True)


if __name__ == "__main__":
    main()
