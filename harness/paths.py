"""Where the files of a benchmark may lie: relative to the YAML, inside its project, symlinks seen through."""

from __future__ import annotations

from pathlib import Path

from harness.errors import Problem, SpecError, near


def project_of(folder: Path) -> Path:
    """The project of a folder: the nearest parent (itself too) with pyproject.toml or .git, else the folder."""
    folder = folder.resolve()
    for parent in (folder, *folder.parents):
        if (parent / "pyproject.toml").exists() or (parent / ".git").exists():
            return parent
    return folder


def shown(path: Path) -> str:
    """A path as people see it: from the working directory where it lies under it, else whole."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError, RuntimeError):  # elsewhere, or links in a circle
        return str(path)


def locate(value: str, folder: Path, project: Path, *, allow_outside: bool = False) -> Path:
    """A path of a benchmark file, resolved. It need not exist.

    Args:
        value: as written: relative to `folder`, or absolute.
        folder: the YAML's folder.
        project: what the path may not leave, after symlinks.
        allow_outside: the user named it on the command line.

    Raises:
        SpecError: it leaves the project, or is no path at all.
    """
    try:
        path = (folder / value).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # NUL, a symlink loop
        raise SpecError(Problem("not a usable path", got=repr(value)[:80], valid=str(error))) from None
    if not allow_outside and not path.is_relative_to(project):
        raise SpecError(
            Problem(
                "the path leaves the project",
                got=repr(value)[:80],
                valid=f"a path inside {shown(project)}",
                fix="copy the file into the project, or name it on the command line",
            )
        )
    return path


def siblings(path: Path) -> str:
    """A near miss among the files beside a missing one, as the next step; empty when there is none."""
    parent = path.parent
    if not parent.is_dir():
        while not parent.is_dir():
            path, parent = parent, parent.parent
        hint = near(path.name, [p.name for p in parent.iterdir() if p.is_dir()])
        return f"there is no folder {shown(path)}" + (f"; {hint}" if hint else "")
    return near(path.name, [p.name for p in parent.iterdir()])
