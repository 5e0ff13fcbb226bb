"""
`headrace pause` and `resume`: a job that calls functions, held and let go on.
"""

from __future__ import annotations

from headrace.cli.jobs import JobId, tell_job
from headrace.cli.options import Home, Json, Key, Url


def pause(job_id: JobId, url: Url = None, key: Key = None, home: Home = None, as_json: Json = False) -> None:
    """
    Start no more items of a job that calls functions.

    Those that run go on to their end; nothing is lost, and `headrace resume` goes on where it was.
    """
    _ask("pause", job_id, url, key, home, as_json=as_json)


def resume(job_id: JobId, url: Url = None, key: Key = None, home: Home = None, as_json: Json = False) -> None:
    """
    Let a paused job go on where it was.
    """
    _ask("resume", job_id, url, key, home, as_json=as_json)


def _ask(word: str, job_id: str, url: Url, key: Key, home: Home, *, as_json: bool) -> None:
    from headrace.cli.job_view import pause_text, short_id
    from headrace.cli.output import say_json, to_people

    found = tell_job(word, job_id, url, key, home)
    if as_json:
        say_json(found)
    elif to_people():
        print(f"Job {short_id(found)}: {pause_text(found) or 'goes on where it was.'}")
    else:
        print(found["id"])
