"""
A thousand callers at once for one tenant and flow.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from acceptance.running_server import RunningServer

CALLERS = 1000


def test_without_queueing_one_of_a_thousand_is_let_in(shared_server: RunningServer) -> None:
    """
    One 200; every other caller is told that a job is running.
    """
    with ThreadPoolExecutor(40) as callers:
        answers = list(callers.map(lambda _: shared_server.submit("plain", "slow"), range(CALLERS)))

    assert Counter(answer.status_code for answer in answers) == {200: 1, 400: CALLERS - 1}
    refused = next(answer for answer in answers if answer.status_code == 400)
    assert refused.json() == {"Code": "BadRequestError", "Message": "There is a job currently running"}
    created = next(answer for answer in answers if answer.status_code == 200).json()
    shared_server.wait(created)
