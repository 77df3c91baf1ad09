"""The build hook that compiles the frame path with mypyc, where the build asks for it.

`HATCH_BUILD_HOOK_ENABLE_CUSTOM=true` asks; without it a wheel is pure Python. The modules stand in
pyproject.toml beside the hook. See docs/adr/0020-a-compiled-frame-path.md.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledModules(BuildHookInterface[Any]):
    """Adds extension modules to the wheel; nothing is written beside the sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, unless the wheel is an editable one, whose modules are the sources."""
        if version == "editable":
            return
        self._made = tempfile.TemporaryDirectory(prefix="direct-contact-compiled-")
        made = Path(self._made.name)
        built = _compile(self.config["modules"], Path(self.root), made)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"].update(
            {str(path): str(path.relative_to(built)) for path in built.rglob("*.so")}
        )

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Forget what the wheel has now."""
        del build_data, artifact_path
        if version != "editable":
            self._made.cleanup()


def _compile(modules: list[str], root: Path, made: Path) -> Path:
    """Compile into a folder that is laid out as the wheel is.

    Raises:
        SystemExit: mypy or the C compiler finds something wrong, or there is none.
    """
    # Only here: a build that does not ask for it has neither.
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.errors import BaseError

    os.chdir(root)
    extensions = mypycify(
        [f"--cache-dir={made / 'types'}", *modules],
        opt_level="3",
        multi_file=True,
        target_dir=str(made / "c"),
    )
    distribution = Distribution({"name": "direct-contact", "ext_modules": extensions})
    command = distribution.get_command_obj("build_ext")
    command.set_undefined_options("build")
    command.build_lib, command.build_temp = str(made / "built"), str(made / "objects")
    command.parallel = len(os.sched_getaffinity(0))
    command.ensure_finalized()
    try:
        command.run()
    except BaseError as error:
        raise SystemExit(f"the frame path could not be compiled: {error}") from error
    return made / "built"
