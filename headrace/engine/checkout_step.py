"""
The step that brings a workspace's Meltano project into the file store: out of its git repository, or a new one where it has none.

The project's digest and commit stand in the step's output; who reads the job's end puts them in force.
"""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from headrace.core.errors import DefinitionError
from headrace.core.outcome import Cause, Failed, Succeeded
from headrace.core.plan import Checkout
from headrace.engine.command_desk import Desk
from headrace.runners.git import Credentials, GitRules, clone_command, clone_environment, require_git
from headrace.runners.git_refusals import refusal_in
from headrace.runners.stage import Stage
from headrace.services.stored_projects import StoredProjects
from headrace.store.meltano_folder import commit_of


async def checkout(step: Checkout, desk: Desk, projects: StoredProjects, rules: GitRules) -> Succeeded | Failed:
    """
    Clone and store a project; nothing of the clone is left in the job's folder.

    Raises:
        DefinitionError: the repository has no such directory, or is too large to be copied to each job.
        SpawnError: there is no git on this machine.
    """
    if not step.url:
        desk.book.write("The workspace has no repository: a new project was made.", stage=step.name)
        return Succeeded({"digest": await projects.keep_new(), "exit_code": 0})
    require_git()
    clone, private = desk.root.folder / "clone", desk.root.work / "git"
    try:
        await asyncio.to_thread(shutil.rmtree, clone, ignore_errors=True)  # what a worker that died has left
        failed = await _clone(step, desk, rules, clone, private)
        return failed or await _kept(step, desk, projects, clone)
    finally:
        for folder in (clone, private):
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


async def _clone(step: Checkout, desk: Desk, rules: GitRules, clone: Path, private: Path) -> Failed | None:
    sealed: dict[str, Any] = desk.work.sealed.get(step.sealed, {}) if step.sealed else {}
    credentials = Credentials(
        user=str(sealed.get("token") or sealed.get("user") or ""),
        password=str(sealed.get("password") or ""),
        ssh_key=str(sealed.get("ssh_key") or ""),
    )
    variables = await asyncio.to_thread(clone_environment, rules, credentials, private)
    async with desk.stage(step.name, step.limits) as stage:
        child = await stage.start("git", clone_command(step.url, step.branch, clone), variables=variables)
        ended = await child.wait()
        if ended.succeeded and stage.children.exceeded is None:
            return None
        return _explained(stage, await stage.diagnose([ended]))


def _explained(stage: Stage, failed: Failed) -> Failed:
    """
    Put what git or ssh said of the cause in place of their last words; a limit that was exceeded stays the cause.
    """
    found = refusal_in(line.text for line in stage.book.tail(stage.name))
    if found is None or stage.children.exceeded is not None:
        return failed
    refusal, line = found
    cause = Cause(
        stage=stage.name,
        sentence=refusal.sentence,
        who=refusal.who,
        instruction=refusal.instruction,
        evidence={**failed.cause.evidence, "last_error_line": line},
    )
    return replace(failed, cause=cause)


async def _kept(step: Checkout, desk: Desk, projects: StoredProjects, clone: Path) -> Succeeded:
    folder = clone / step.directory
    if not folder.is_dir() or not folder.resolve().is_relative_to(clone.resolve()):
        raise DefinitionError(
            f"The repository has no directory {step.directory}.", "Correct the workspace's repositoryDirectory."
        )
    commit = await asyncio.to_thread(commit_of, clone)
    digest = await projects.keep(folder, workspace_id=desk.work.job.workspace_id)
    desk.book.write(f"Commit {commit} is stored.", stage=step.name)
    return Succeeded({"digest": digest, "commit": commit, "exit_code": 0})
