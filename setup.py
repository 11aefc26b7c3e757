"""Builds mtia_sim/_C with CMake and ninja; everything static about the package is in pyproject.toml."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


def tool(package: str, directory_attribute: str) -> str:
    """Returns the executable that the pip package carries, or the one on PATH where the package is absent."""
    try:
        module = __import__(package)
    except ImportError:
        found = shutil.which(package)
        if found is None:
            raise SystemExit(f"setup.py needs {package}: pip install {package}") from None
        return found
    return str(Path(getattr(module, directory_attribute)) / package)


class CMakeBuild(build_ext):
    """Configures once, builds incrementally in build/, and puts the extension where setuptools wants it."""

    def build_extension(self, ext: Extension) -> None:
        cmake = tool("cmake", "CMAKE_BIN_DIR")
        directory = ROOT / "build" / "cmake"
        configure = [
            cmake,
            *("-S", str(ROOT), "-B", str(directory), "-G", "Ninja"),
            f"-DCMAKE_MAKE_PROGRAM={tool('ninja', 'BIN_DIR')}",
            f"-DCMAKE_BUILD_TYPE={os.environ.get('CMAKE_BUILD_TYPE', 'Release')}",
            f"-DPython_EXECUTABLE={sys.executable}",
        ]
        stamp = directory / "configured"
        if not stamp.exists() or stamp.read_text() != "\n".join(configure):
            subprocess.run(configure, check=True)
            stamp.write_text("\n".join(configure))
        jobs = os.environ.get("MAX_JOBS", str(os.cpu_count() or 1))
        subprocess.run([cmake, "--build", str(directory), "-j", jobs], check=True)

        built = next((directory / "extension").glob("_C.*.so"))
        target = Path(self.get_ext_fullpath(ext.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        # Renamed into place: a process that has the old file mapped keeps it.
        partial = target.with_suffix(".partial")
        shutil.copy2(built, partial)
        partial.replace(target)


kernel_packages = [f"mtia_sim_kernels.{name}" for name in find_packages("kernels")]

setup(
    packages=[*find_packages("python"), "mtia_sim_kernels", *kernel_packages],
    package_dir={"": "python", "mtia_sim_kernels": "kernels"},
    ext_modules=[Extension("mtia_sim._C", sources=[], optional=False)],
    cmdclass={"build_ext": CMakeBuild},
)
