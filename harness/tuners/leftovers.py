"""What runs left elsewhere: jobs that go on without us, deployments that bill, rows that were uploaded.

python -m harness.tuners.leftovers [PROJECT]              say what there is
python -m harness.tuners.leftovers [PROJECT] --cancel     cancel the jobs that are still running
python -m harness.tuners.leftovers [PROJECT] --delete     delete deployments and uploaded rows
"""

from __future__ import annotations

import argparse
import asyncio
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from harness.errors import HarnessError
from harness.paths import project_of
from harness.tuners import deployments, hosted_files, hosted_jobs
from harness.tuners.hosted_files import State
from harness.tuners.service import Pace, Service


@dataclass(frozen=True)
class Left:
    """A hosted job of which this project has no model yet. `id` is empty when a kill came before it was known."""

    id: str
    folder: Path
    state: State

    def __str__(self) -> str:
        where = f"{self.state.api} job {self.id or '(its id is not known yet)'} on {self.state.model}"
        return f"{where} goes on at {self.state.url}, and is billed"


def pending(home: Path) -> list[Left]:
    """The hosted jobs that were submitted and neither collected nor ended.

    Args:
        home: the project's `.harness`.
    """
    found: list[Left] = []
    for file in sorted(home.glob(f"tuned/*/{hosted_files.STATE}")):
        state = hosted_files.load(file.parent)
        if state is None or state.ended or (file.parent / "tuned.json").exists():
            continue
        if state.job or state.creating:
            found.append(Left(state.job or "", file.parent, state))
    return found


def told(left: list[Left]) -> str:
    """What to say after Ctrl-C: what goes on, how to go on with it, how to cancel it; empty where nothing does."""
    if not left:
        return ""
    project = left[0].folder.parents[2]
    at = "" if project == project_of(Path().resolve()) else f"{shlex.quote(str(project))} "
    lines = [f"the {job}" for job in left]
    lines.append("    go on: run the same command again; the job is found and not paid twice")
    lines.append(f"    stop: `python -m harness.tuners.leftovers {at}--cancel`; `--on-interrupt cancel` does it")
    return "\n".join(lines)


async def cancel(left: list[Left], pace: Pace | None = None) -> list[str]:
    """Cancel jobs; returns a sentence each. One that cannot be cancelled is said, not raised."""
    said: list[str] = []
    pace = pace or Pace(patience=60.0)
    for job in left:
        id, name = job.id, f"{job.state.api} job {job.id or f'on {job.state.model}'}"
        try:
            async with Service(job.state.endpoint, pace) as service:
                if not id:  # we were stopped while it was made: the service may still be at it
                    await asyncio.sleep(pace.first)
                    id = await hosted_jobs.seek(service, job.folder.name, job.state)
                status = await hosted_jobs.cancel(service, id) if id else "none was made"
        except HarnessError as error:
            said.append(f"{name} could not be cancelled: {error.problems[0]}")
            continue
        said.append(f"{name}: {status}")
        if status in ("cancelled", "failed"):
            ended = msgspec.structs.replace(job.state, job=id, creating=False, ended=status)
            hosted_files.save(job.folder, ended)
    return said


async def delete(home: Path, pace: Pace | None = None) -> list[str]:
    """Delete deployments of dead runs and all uploaded rows of jobs that ended; returns what was said."""
    said = await deployments.sweep(home, pace)
    running = {left.folder for left in pending(home)}
    for file in sorted(home.glob(f"tuned/*/{hosted_files.STATE}")):
        state = hosted_files.load(file.parent)
        if state is None or file.parent in running or not (state.train_file or state.valid_file):
            continue
        try:
            async with Service(state.endpoint, pace or Pace(patience=60.0)) as service:
                hosted_files.save(file.parent, await hosted_jobs.delete_files(service, state))
            said.append(f"deleted the uploads of {file.parent.name}")
        except HarnessError as error:
            said.append(f"the uploads of {file.parent.name} could not be deleted: {error.problems[0]}")
    return said


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m harness.tuners.leftovers")
    parser.add_argument("project", type=Path, nargs="?", default=Path())
    parser.add_argument("--cancel", action="store_true")
    parser.add_argument("--delete", action="store_true")
    args = parser.parse_args()
    home = project_of(args.project.resolve()) / ".harness"
    left = pending(home)
    lines = [str(job) for job in left]
    if args.cancel:
        lines = asyncio.run(cancel(left))
    if args.delete:
        lines += asyncio.run(delete(home))
    elif not args.cancel:
        lines += [f"deployment {d.name} of {d.model}: {deployments.HOURLY}" for d in deployments.live(home)]
    print("\n".join(lines) or "nothing is left", file=sys.stdout)  # noqa: T201


if __name__ == "__main__":
    main()
