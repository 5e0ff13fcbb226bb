"""
What `headrace doctor` finds in the automation projects of a project folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from headrace.core.errors import DefinitionError
from headrace.dialects.intuned.code_jobs import read_resources
from headrace.store.automation_projects import project_folders, read_automation_project
from headrace.store.project_files import files_of_automations


def automation_problems(folder: Path) -> tuple[int, Sequence[DefinitionError]]:
    """
    Count the automation projects of a project folder, and list what is wrong in them.
    """
    problems: list[DefinitionError] = []
    projects = project_folders(folder)
    for each in projects:
        try:
            project = read_automation_project(each)
            files_of_automations(each)
        except DefinitionError as problem:
            problems.append(problem)
        else:
            problems += read_resources(project).problems
    return len(projects), problems
