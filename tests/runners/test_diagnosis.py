"""
The cause of death: one sentence, who can mend it, the evidence.
"""

import signal
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from headrace.runners.command import Exit, LimitExceeded
from headrace.runners.diagnosis import diagnose, level_message, looks_like_an_error
from headrace.runners.redaction import Redactor

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TRACEBACK = """Traceback (most recent call last):
  File "etl.py", line 9, in <module>
    parse({"id": 1})
KeyError: 'total'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "etl.py", line 11, in <module>
    raise ValueError("order 1 has no total")
ValueError: order 1 has no total"""
BROKEN = 'Traceback (most recent call last):\n  File "tap.py", line 1\n    x\nBrokenPipeError: [Errno 32] Broken pipe'


@dataclass
class Line:
    stream: str
    text: str


def ended(name="tap", code=None, by=None, order=1):
    return Exit(name, code, by, order, NOON)


def said(text, stream="tap.stderr"):
    return [Line(stream, line) for line in text.splitlines()]


def test_nothing_failed_has_no_cause():
    """
    Green children and silence give no diagnosis.
    """
    assert diagnose("sync", [ended(code=0)], said("ERROR but went on")) is None


def test_memory_limit_is_the_cause():
    """
    A limit of ours stands above all that the child said.
    """
    limit = LimitExceeded("memory", 2 << 30, (2 << 30) + (5 << 20), "etl")
    cause = diagnose(
        "etl",
        [ended("etl", by=signal.SIGKILL)],
        said(TRACEBACK, "etl.stderr"),
        limit=limit,
        peak_memory_bytes=2152726528,
    )

    assert cause.sentence == "out of memory: limit 2 GB, peak 2.0 GB at stage ETL"
    assert (cause.who, cause.child) == ("operator", "etl")
    assert (cause.evidence.signal, cause.evidence.peak_memory_bytes) == ("SIGKILL", 2152726528)


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [
        (LimitExceeded("no-progress", 600, 601, "sync"), "no output for 10 m at stage sync"),
        (LimitExceeded("wall", 7200, 7200, "sync"), "took too long: limit 2 h at stage sync"),
        (LimitExceeded("processes", 64, 70, "sync"), "too many processes: limit 64, seen 70 at stage sync"),
        (LimitExceeded("cpu", 60, 60.5, "etl"), "too much CPU time: limit 60 s, used 60.5 s at stage ETL"),
        (
            LimitExceeded("memory", 512 << 20, 600 << 20, "sync"),
            "out of memory: limit 512 MB, peak 600.0 MB at stage sync",
        ),
    ],
)
def test_each_limit_has_its_sentence(limit, sentence):
    """
    Limit and measure stand in one line, in units for people.
    """
    assert diagnose("sync", [], [], limit=limit).sentence == sentence


def test_errors_txt_is_taken_as_it_is():
    """
    What an ETL script wrote for people goes before what it printed.
    """
    cause = diagnose(
        "etl",
        [ended("etl", 1)],
        said(TRACEBACK, "etl.stderr"),
        errors_text="ERROR: The price list is empty. Cause: KeyError('price')\n",
    )

    assert cause.sentence == "ERROR: The price list is empty. Cause: KeyError('price')"
    assert cause.evidence.last_error_line == "ValueError: order 1 has no total"


def test_the_newest_exception_file_speaks_for_the_tap():
    """
    The message of the file counts, its name if there is none; bad credentials are the customer's to mend.
    """
    files = [
        {"exception_name": "Old", "exception_message": "old"},
        {"exception_name": "InvalidCredentialsError", "exception_message": "Refresh token expired"},
    ]
    cause = diagnose("sync", [ended(code=1)], said(TRACEBACK), exceptions=files)

    assert (cause.sentence, cause.who) == ("Refresh token expired", "customer")
    assert (
        diagnose(
            "sync", [ended(code=1)], [], exceptions=[{"exception_name": "Odd", "exception_message": None}]
        ).sentence
        == "Odd"
    )


def test_refused_credentials_count_through_the_exception_that_replaced_them():
    """
    Only in the chain of what stopped the child: what it got over before is nobody's fault.
    """
    refused = TRACEBACK.replace("KeyError", "hotglue_etl_exceptions.InvalidCredentialsError")
    later = f'{refused}\nretrying\nTraceback (most recent call last):\n  File "etl.py", line 1\n    x\nTypeError: no'

    def exception(text):
        return diagnose("etl", [ended("etl", 1)], said(text, "etl.stderr")).evidence.exception

    assert exception(refused) == "InvalidCredentialsError"
    assert exception(later) == "TypeError"
    assert exception(TRACEBACK) == "ValueError"


def test_the_last_line_of_the_last_traceback_counts():
    """
    A chained traceback's final exception is the cause, whatever is printed around it.
    """
    cause = diagnose("etl", [ended("etl", 1)], said(f"ERROR earlier\n{TRACEBACK}\ncleaning up", "etl.stderr"))

    assert (cause.sentence, cause.who) == ("ValueError: order 1 has no total", "developer")
    assert cause.evidence.exit_code == 1


def test_a_syntax_error_has_no_heading():
    """
    Python prints no "Traceback" for a script that it cannot read.
    """
    text = "  File \"etl.py\", line 5\n    for row in rows\n               ^\nSyntaxError: expected ':'"

    assert diagnose("etl", [ended("etl", 1)], said(text)).sentence == "SyntaxError: expected ':'"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2026-01-01 10:00:01,000 | CRITICAL | tap-fake | the source answered 500", "the source answered 500"),
        ("2026-01-01 10:00:01,000 - tap_x.client - ERROR - no such table: orders", "no such table: orders"),
        ("ERROR:root:disk is odd", "disk is odd"),
        ("ERROR no luck", "no luck"),
        ("[ERROR] no luck", "no luck"),
        ("2026-01-01T10:00:00Z [error    ] no luck   code=3", "no luck   code=3"),
        ('{"level": "error", "event": "no luck", "code": 3}', "no luck"),
        ('{"event": "no luck", "level": "critical"}', "no luck"),
        ('time="2026" level=error msg="no luck" code=3', "no luck"),
        ('{"levelname": "ERROR", "name": "x", "message": "no \\"luck\\" today"}', 'no \\"luck\\" today'),
        ("level=ERROR msg=late", "late"),
        ("fatal: repository not found", "repository not found"),
        ("2026-01-01 10:00:00 INFO finished with 0 ERROR rows", None),
        ("INFO all is well", None),
        ("nothing of that kind", None),
    ],
)
def test_error_lines_of_common_loggers_are_understood(line, message):
    """
    Time, level and logger are taken off; a line at a lower level is none, whatever it speaks of.
    """
    assert level_message(line) == message
    assert message is None or looks_like_an_error(line)


def test_the_last_error_line_counts_before_the_last_line():
    """
    Chatter after the error does not hide it.
    """
    cause = diagnose("sync", [ended(code=1)], said("ERROR:root:first\nERROR:root:second\nINFO bye"))

    assert (cause.sentence, cause.evidence.last_error_line) == ("second", "ERROR:root:second")


def test_else_the_last_line_counts_else_the_code():
    """
    A child that says little is quoted; one that says nothing is told by its code.
    """
    assert diagnose("sync", [ended(code=2)], said("usage: tap\n\n  ")).sentence == "usage: tap"
    assert diagnose("sync", [ended(code=2)], []).sentence == "tap ended with exit code 2 and said nothing."
    assert diagnose("sync", [ended(code=127)], []).who == "operator"


def test_a_signal_is_named():
    """
    A kill that is not ours points at the machine; the last line, which knows nothing of it, is evidence only.
    """
    killed = diagnose("sync", [ended(by=signal.SIGKILL)], said("INFO page 3"))
    crashed = diagnose("sync", [ended(by=signal.SIGSEGV)], said("INFO page 3"))

    assert "SIGKILL" in killed.sentence
    assert "memory" in killed.sentence
    assert (killed.who, killed.evidence.last_error_line) == ("operator", "INFO page 3")
    assert (crashed.sentence, crashed.who) == ("tap was ended by SIGSEGV.", "developer")


@pytest.mark.parametrize("tap_end", [{"by": signal.SIGPIPE}, {"code": 1}])
@pytest.mark.parametrize("tap_order", [1, 2])
def test_a_broken_pipe_is_a_consequence(tap_end, tap_order):
    """
    The target that failed is to blame for a tap that could not write on, also when both were found dead at once.
    """
    exits = [ended("tap", order=tap_order, **tap_end), ended("target", code=4, order=1)]
    lines = [*said(BROKEN), *said("ERROR:target:column 'id' is read-only", "target.stderr")]
    cause = diagnose("sync", exits, lines)

    assert (cause.child, cause.sentence, cause.evidence.exit_code) == ("target", "column 'id' is read-only", 4)


def test_a_target_that_left_early_is_the_cause():
    """
    Exit code 0 of a target while the tap is writing is no success.
    """
    exits = [ended("target", code=0, order=1), ended("tap", code=1, order=2)]
    cause = diagnose("export", exits, said(BROKEN))

    assert cause.child == "target"
    assert cause.sentence == "target ended, without an error, before tap had written all."


def test_the_first_to_fail_is_asked():
    """
    What ended after it, by our own signal for one, is not the cause.
    """
    exits = [ended("target", by=signal.SIGTERM, order=2), ended("tap", code=3, order=1)]
    lines = [*said("CRITICAL no luck"), *said("ERROR interrupted", "target.stderr")]

    assert diagnose("sync", exits, lines).sentence == "no luck"


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("ERROR 401 Client Error: Unauthorized for url", "customer"),
        ("ERROR invalid_grant: token has been revoked", "customer"),
        ("OSError: [Errno 28] No space left on device", "operator"),
        ("ERROR connection to db failed: Connection refused", "operator"),
        ("KeyError: 'x'", "developer"),
    ],
)
def test_who_can_mend_it_is_told(text, who):
    """
    Credentials are the customer's, the machine is the operator's, the rest is the developer's.
    """
    assert diagnose("sync", [ended(code=1)], said(text)).who == who


def test_a_cause_is_one_short_sentence():
    """
    Line breaks go, and what is over 500 characters.
    """
    cause = diagnose("etl", [ended("etl", 1)], [], errors_text="first\nsecond " + "x" * 1000)

    assert cause.sentence.startswith("first second xxx")
    assert len(cause.sentence) == 500


def test_a_cause_from_a_file_is_redacted():
    """
    errors.txt and exception files did not come through the log, so their secrets go here.
    """
    cause = diagnose(
        "etl", [ended("etl", 1)], [], errors_text="ERROR: key s3cr3t-t0ken refused", redactor=Redactor(["s3cr3t-t0ken"])
    )

    assert cause.sentence == "ERROR: key *** refused"
