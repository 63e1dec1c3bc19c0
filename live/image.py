"""The worker image: built on this machine out of the running interpreter, so that no registry is needed.

The image holds the interpreter, the standard library (of its compiled modules only those that the worker loads),
the shared libraries these need, and the worker: about 40 MB, built in a few seconds. Its tag is a hash of all that,
so an image that is there already is the right one. Where this machine's interpreter cannot run on the engine
(another operating system or processor), the image is made from `python:3.11-slim`, which the engine has to pull.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import platform
import py_compile
import re
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import docker
import docker.errors
import requests

from live.errors import LiveError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


REPOSITORY = "tonnage-worker"
LABEL = "io.tonnage.image"
USER = "65534:65534"
HASH_DIGITS = 12
# An empty directory that anybody may write to: an empty volume that is mounted there takes its permissions over.
VOLUME_HOME = "/opt/tonnage-volume"
VOLUME_MODE = 0o1777
BASE_IMAGE = "python:3.11-slim"

_WORKER = Path(__file__).parent / "worker"
_WORKER_HOME = "opt/tonnage"
_INTERPRETER = "usr/bin/python3"
_LIBRARIES = "usr/lib/tonnage"
_FLAGS = ("-S", "-E", "-s", "-c")
# Not `-m worker`: the machinery behind -m costs each container 0.7 MB and 5 ms of CPU.
_PROGRAM = "from worker.supervisor import main; main()"

# Parts of the standard library that the worker never needs.
_LEFT_OUT = frozenset(
    {
        "__pycache__",
        "dist-packages",
        "ensurepip",
        "idle_test",
        "idlelib",
        "lib2to3",
        "pydoc_data",
        "site-packages",
        "test",
        "tests",
        "tkinter",
        "turtledemo",
    }
)

# `libz.so.1 => /lib/libz.so.1 (0x..)`, or the loader: `/lib64/ld-linux-x86-64.so.2 (0x..)`.
_LIBRARY = re.compile(r"\s+(\S+) => (/\S+) \(0x|\s+(/\S+) \(0x")

# The C library gives memory above this size back at once, where it would keep up to 32 MB after the first large line.
_MALLOC_BYTES_RETURNED = 65536

_MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}


class ImageError(LiveError):
    """The worker image could not be built; the text is one line that says why."""


@dataclass(frozen=True)
class Recipe:
    """What an image is built from: the Dockerfile, the files by their path in the image, and which are loaded."""

    dockerfile: str
    files: dict[str, Path]
    loaded: frozenset[Path] = frozenset()

    @property
    def tag(self) -> str:
        """The image's name: a hash over the Dockerfile and every file's path, mode and content."""
        digest = hashlib.sha256(f"{self.dockerfile}\n{VOLUME_HOME} {VOLUME_MODE:o}".encode())
        for name, path in sorted(self.files.items()):
            digest.update(f"\n{name} {_mode(path):o} ".encode())
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return f"{REPOSITORY}:{digest.hexdigest()[:HASH_DIGITS]}"

    def context(self) -> bytes:
        """The build context as a tar."""
        with tempfile.TemporaryDirectory() as scratch:
            return _tar(self.dockerfile, self.files | self._byte_code(Path(scratch)))

    def _byte_code(self, scratch: Path) -> dict[str, Path]:
        """The byte code of what the worker imports, which a read-only container could not keep for itself.

        It counts as valid whatever the source's date is. The rest of the library is there for crashes only.
        """
        made = {}
        for name in sorted(name for name, path in self.files.items() if path.suffix == ".py" and path in self.loaded):
            cached = importlib.util.cache_from_source(name)
            made[cached] = scratch / cached.replace("/", "-")
            py_compile.compile(
                str(self.files[name]),
                str(made[cached]),
                f"/{name}",
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
        return made


def worker_image(client: docker.DockerClient) -> str:
    """The name of the worker image, which is built if the engine does not have it; `ImageError` if it cannot be."""
    try:
        recipe = own_recipe() if runs_here(client) else base_recipe()
        tag = recipe.tag
        if not _has(client, tag):
            _build(client, recipe, tag)
    except (docker.errors.DockerException, requests.RequestException, subprocess.SubprocessError, OSError) as error:
        msg = f"the worker image cannot be built: {' '.join(str(error).split())}"
        raise ImageError(msg) from error
    return tag


def runs_here(client: docker.DockerClient) -> bool:
    """Whether the engine can run this machine's interpreter: Linux on both sides, on the same processor."""
    engine = client.version()
    machine = _MACHINES.get(platform.machine().lower())
    return sys.platform == "linux" and engine.get("Os") == "linux" and engine.get("Arch") == machine


def own_recipe() -> Recipe:
    """The image made of the running interpreter."""
    # In a virtual environment `sys.executable` is a link without a library beside it.
    interpreter = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    loaded = _loaded(interpreter)
    library = Path(os.__file__).parent
    home = f"usr/{sys.platlibdir}/{library.name}"
    compiled = [path for path in loaded if path.suffix == ".so"]
    files = {_INTERPRETER: interpreter}
    files |= {f"{home}/{path.relative_to(library)}": path for path in _sources(library)}
    files |= {f"{home}/lib-dynload/{path.name}": path for path in compiled}
    for name, path in shared_libraries([interpreter, *compiled]).items():
        files[name.lstrip("/") if "/" in name else f"{_LIBRARIES}/{name}"] = path
    return Recipe(_dockerfile("scratch", f"/{_INTERPRETER}"), files | _worker_files(), loaded)


def base_recipe() -> Recipe:
    """The image made of a Python image that the engine pulls."""
    interpreter = "/usr/local/bin/python3"
    compiling = f"RUN {interpreter} -m compileall -q --invalidation-mode unchecked-hash /{_WORKER_HOME}"
    return Recipe(_dockerfile(BASE_IMAGE, interpreter, compiling), _worker_files())


def shared_libraries(binaries: Iterable[Path]) -> dict[str, Path]:
    """The shared libraries that binaries load, as `ldd` names them; the loader's name is its absolute path."""
    told = subprocess.run(["ldd", *map(str, binaries)], capture_output=True, text=True, check=False).stdout
    found = {}
    for line in told.splitlines():
        named = _LIBRARY.match(line)
        if named:
            name, path, loader = named.groups()
            found[loader or name] = Path(path or loader).resolve()
    return found


def _sources(library: Path) -> Iterator[Path]:
    for folder, names, files in os.walk(library):
        names[:] = sorted(set(names) - _LEFT_OUT)
        yield from (Path(folder, name) for name in sorted(files) if name.endswith(".py"))


def _worker_files() -> dict[str, Path]:
    return {f"{_WORKER_HOME}/worker/{path.name}": path for path in sorted(_WORKER.glob("*.py"))}


def _dockerfile(base: str, interpreter: str, *more: str) -> str:
    entry = json.dumps([interpreter, *_FLAGS, _PROGRAM])
    return "\n".join(
        [
            f"FROM {base}",
            "COPY root/ /",
            *more,
            f"ENV LD_LIBRARY_PATH=/{_LIBRARIES} MALLOC_MMAP_THRESHOLD_={_MALLOC_BYTES_RETURNED}",
            f"WORKDIR /{_WORKER_HOME}",
            f"USER {USER}",
            f'LABEL {LABEL}="worker"',
            f"ENTRYPOINT {entry}",
            "",
        ]
    )


def _loaded(interpreter: Path) -> frozenset[Path]:
    """The files of all modules that are loaded once the worker is, and its health check."""
    ask = (
        "import sys, worker.supervisor, worker.health\n"
        "print(*(m.__file__ for m in sys.modules.values() if hasattr(m, '__file__')), sep='\\n')"
    )
    command = [str(interpreter), *_FLAGS, ask]
    told = subprocess.run(command, cwd=_WORKER.parent, capture_output=True, text=True, check=True).stdout
    return frozenset(Path(name).resolve() for name in told.splitlines())


def _mode(path: Path) -> int:
    return 0o755 if path.stat().st_mode & 0o111 else 0o644


def _tar(dockerfile: str, files: dict[str, Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        _add(tar, "Dockerfile", dockerfile.encode(), 0o644)
        for folder in sorted({str(parent) for name in files for parent in PurePosixPath("root", name).parents} - {"."}):
            _add_directory(tar, folder, 0o755)
        _add_directory(tar, f"root{VOLUME_HOME}", VOLUME_MODE)
        for name, path in sorted(files.items()):
            _add(tar, f"root/{name}", path.read_bytes(), _mode(path))
    return buffer.getvalue()


def _add_directory(tar: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type = tarfile.DIRTYPE
    entry.mode = mode
    tar.addfile(entry)


def _add(tar: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = mode
    tar.addfile(entry, io.BytesIO(content))


def _has(client: docker.DockerClient, tag: str) -> bool:
    try:
        client.images.get(tag)
    except docker.errors.ImageNotFound:
        return False
    return True


def _build(client: docker.DockerClient, recipe: Recipe, tag: str) -> None:
    client.images.build(
        fileobj=io.BytesIO(recipe.context()), custom_context=True, tag=tag, rm=True, forcerm=True, pull=False
    )
