"""Extension modules; everything else about the project is in pyproject.toml."""

import os
import shutil
import sys
from pathlib import Path

from Cython.Build import cythonize
from extension_helpers import add_openmp_flags_if_available
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

# Bounds checks for a debugging build: XMR_BOUNDSCHECK=1 pip install -e .
BOUNDSCHECK = os.environ.get("XMR_BOUNDSCHECK", "0") == "1"

# No -march=native and no -ffast-math: wheels must run anywhere and give the same answers there.
# Without contraction into fused multiply-adds every instruction-set variant of a kernel rounds alike.
# Nothing looks at the processor's exception flags, on whose account GCC would not vectorise conditions.
WINDOWS = sys.platform == "win32"
OPTIONS = ["-O3", "-ffp-contract=off", "-fno-trapping-math"]
FLAGS = [f"/clang:{option}" for option in OPTIONS] if WINDOWS else ["-g0", *OPTIONS]


class BuildExt(build_ext):
    """Compile the extensions side by side; on Windows by clang-cl, with MSVC's headers and linker."""

    def finalize_options(self):
        super().finalize_options()
        self.parallel = self.parallel or os.cpu_count()

    def build_extensions(self):
        if self.compiler.compiler_type == "msvc":  # has no vector extensions
            clang = shutil.which("clang-cl")
            if clang is None:
                raise SystemExit("The kernels need LLVM's clang-cl on Windows, and none is on the PATH.")
            if not self.compiler.initialized:
                self.compiler.initialize(self.plat_name)
            self.compiler.cc = clang
        super().build_extensions()


HEADERS = [str(path) for path in Path("sklearn_xmr").rglob("*") if path.suffix in (".h", ".pxd")]


def make_extension(pyx):
    return Extension(
        ".".join(pyx.with_suffix("").parts),
        [str(pyx)],
        extra_compile_args=list(FLAGS),
        depends=HEADERS,
    )


extensions = [make_extension(pyx) for pyx in sorted(Path("sklearn_xmr").rglob("*.pyx"))]
# One thread on Windows: LLVM's OpenMP library ends a process that has Intel's too, as PyTorch does there.
if not WINDOWS:
    for extension in extensions:
        add_openmp_flags_if_available(extension)

setup(
    ext_modules=cythonize(
        extensions,
        build_dir="build/cython",  # generated C stays out of the package and the wheel
        compiler_directives={
            "language_level": 3,
            "boundscheck": BOUNDSCHECK,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            # kernels read arrays that nobody writes meanwhile, and keep no state between calls
            "freethreading_compatible": True,
        },
    ),
    cmdclass={"build_ext": BuildExt},
)
