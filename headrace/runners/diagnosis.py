"""
Why a step failed: one sentence, who can mend it, and the evidence.

The order of witnesses, the best first (the first that says anything is believed):

    1. a limit that the supervisor enforced
    2. ETL: errors.txt, verbatim
    3. a tap's or target's newest hg-tap-exception-*.json
    4. the last line of the last Python traceback on stderr
    5. the last line at level ERROR or CRITICAL
    6. the last line that is not empty
    7. the exit code or the signal

The child to ask is the one that failed first by time, unless its end is a consequence: a tap that met a broken pipe died because its reader had
gone, so the reader is asked, and if that left without an error, the early leaving is the cause.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from headrace.runners.command import Exit, LimitExceeded
from headrace.runners.redaction import Redactor

Blame = Literal["customer", "developer", "operator"]

SENTENCE_CHARACTERS = 500

INVALID_CREDENTIALS = "InvalidCredentialsError"
"""What connectors and scripts of hotglue's SDKs raise when an account refuses (package hotglue_etl_exceptions)."""

TRACE_HEADING = "Traceback (most recent call last):"
CHAINED = (
    "During handling of the above exception, another exception occurred:",
    "The above exception was the direct cause of the following exception:",
)
TRACE_LINE = re.compile(r'^(Traceback \(most recent call last\):|\s*File ".+", line \d+)')
EXCEPTION_NAME = re.compile(r"(?:\w+\.)*(?P<name>[A-Za-z_]\w*)(?::|$)")
BROKEN_PIPE = re.compile(r"BrokenPipeError|Broken pipe|\bEPIPE\b", re.IGNORECASE)
LEVEL = r"ERROR|CRITICAL|FATAL"
LEVEL_KEY = r'"level(?:name)?":\s*"(?:error|critical|fatal)"'
MESSAGE_KEY = r'"(?:event|message|msg)":\s*"(?P<message>(?:[^"\\]|\\.)*)"'
LEVEL_FORMATS = (
    re.compile(rf"{LEVEL_KEY}.*?{MESSAGE_KEY}", re.IGNORECASE),  # JSON, either way round
    re.compile(rf"{MESSAGE_KEY}.*?{LEVEL_KEY}", re.IGNORECASE),
    re.compile(
        r'\blevel=(?:error|critical|fatal)\b.*?\b(?:msg|message|event)="?(?P<message>[^"]*)', re.IGNORECASE
    ),  # logfmt
    re.compile(rf"^(?:{LEVEL}):[\w.\-]+:(?P<message>.*)$"),  # logging.basicConfig: ERROR:root:message
    re.compile(
        rf"^(?P<before>.{{0,120}}?)\[?\b(?:{LEVEL})\b\]?[\s|:\-]*(?P<message>.*)$"
    ),  # 2026-01-01 10:00:00 | ERROR | tap | message
    re.compile(
        r"^(?P<before>.{0,60}?)\[(?:error|critical|fatal)\s*\]\s*(?P<message>.*)$"
    ),  # structlog: [error    ] message
    re.compile(r"^(?:error|fatal):\s*(?P<message>.*)$", re.IGNORECASE),  # git, command line tools
)
LOWER_LEVEL = re.compile(r"\b(DEBUG|INFO|NOTICE|WARN(ING)?)\b")
LOGGER_NAME = re.compile(r"^[\w.\-]+\s+[|\-]\s+")
ERROR_WORDS = ("rror", "ERROR", "xception", "Traceback", "RITICAL", "ritical", "FATAL", "atal", "roken pipe")

CUSTOMER = re.compile(
    r"InvalidCredentials|invalid_(grant|client|token)|unauthori[sz]ed|\b401\b|authentication (failed|error)|login failed|access denied"
    r"|(invalid|wrong|expired|revoked|bad) (credentials?|password|(api |access |refresh )?(key|token))|(token|key|password) (is |has )?(been )?(expired|revoked|invalid)",
    re.IGNORECASE,
)
OPERATOR = re.compile(
    r"No space left|Disk quota|MemoryError|Cannot allocate memory|Too many open files|Connection refused|Name or service not known"
    r"|Temporary failure in name resolution|Network is unreachable|command not found|Read-only file system",
    re.IGNORECASE,
)
OPERATOR_SIGNALS = frozenset({signal.SIGKILL, signal.SIGBUS, signal.SIGXFSZ, signal.SIGXCPU})


class Line(Protocol):
    """
    A line of the log; `stream` is such as `tap.stderr`.
    """

    @property
    def stream(self) -> str: ...

    @property
    def text(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    What the sentence rests on; *limit* is the kind of the one that ended the step, *exception* the name of what stopped it.
    """

    limit: str | None = None
    exception: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    last_error_line: str | None = None
    peak_memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Cause:
    """
    Why a step failed, in one sentence of at most 500 characters, and *who* can mend it.
    """

    stage: str
    sentence: str
    who: Blame
    evidence: Evidence
    child: str | None = None


def diagnose(
    stage: str,
    exits: Iterable[Exit],
    tail_lines: Iterable[Line],
    *,
    limit: LimitExceeded | None = None,
    errors_text: str | None = None,
    exceptions: Sequence[Mapping[str, Any]] = (),
    peak_memory_bytes: int | None = None,
    redactor: Redactor | None = None,
) -> Cause | None:
    """
    Say why *stage* failed, or None if nothing here speaks of a failure.

    *tail_lines* in order; *errors_text* is what errors.txt holds; *exceptions* are the hg-tap-exception-*.json of this stage as read, the newest last.
    Log lines are redacted already; what comes from files is not, so hand in the job's *redactor* with them.
    """
    ended = sorted(exits, key=lambda one: one.order)
    lines = [line for line in tail_lines if line.text.strip()]
    culprit = first_to_blame(ended, lines)
    own = lines_of(culprit, ended, lines)
    error_line = last_error(own)
    evidence = Evidence(
        limit=limit.kind if limit else None,
        exception=exception_name(exceptions, own),
        exit_code=culprit.code if culprit else None,
        signal=signal_name(culprit.signal) if culprit and culprit.signal else None,
        last_error_line=shorten(error_line) if error_line else None,
        peak_memory_bytes=peak_memory_bytes,
    )
    verdict = witness(stage, culprit, ended, own, limit=limit, errors_text=errors_text, exceptions=exceptions)
    if verdict is None:
        return None
    sentence, who = verdict
    if redactor:
        sentence = redactor.redact(sentence)
    return Cause(stage, shorten(sentence), who, evidence, culprit.name if culprit else None)


def witness(
    stage: str,
    culprit: Exit | None,
    ended: Sequence[Exit],
    own: Sequence[str],
    *,
    limit: LimitExceeded | None,
    errors_text: str | None,
    exceptions: Sequence[Mapping[str, Any]],
) -> tuple[str, Blame] | None:
    """
    Ask the witnesses in their order; see the top of this file.
    """
    if limit is not None:
        return limit_sentence(limit), "developer" if limit.kind == "no-progress" else "operator"
    if errors_text and errors_text.strip():
        return errors_text, blame(errors_text)
    if exceptions and (said := exceptions[-1].get("exception_message") or exceptions[-1].get("exception_name")):
        name = str(exceptions[-1].get("exception_name") or "")
        return str(said), blame(f"{name}: {said}")
    if culprit is None:
        return None
    if culprit.succeeded:
        return (
            f"{culprit.name} ended, without an error, before {writer_name(culprit, ended)} had written all.",
            "developer",
        )
    if said := last_exception(own) or last_level_message(own):
        return said, blame(said)
    if culprit.signal:
        return signal_sentence(culprit), "operator" if culprit.signal in OPERATOR_SIGNALS else "developer"
    if own:
        return own[-1], blame(own[-1])
    return (
        f"{culprit.name} ended with exit code {culprit.code} and said nothing.",
        "operator" if culprit.code == 127 else "developer",
    )


def first_to_blame(ended: Sequence[Exit], lines: Sequence[Line]) -> Exit | None:
    failed = [one for one in ended if not one.succeeded]
    for one in failed:
        if not met_broken_pipe(one, lines_of(one, ended, lines)):
            return one
    if not failed:
        return None
    left_early = [one for one in ended if one.succeeded and one.order <= failed[0].order]
    return left_early[0] if left_early else failed[0]


def met_broken_pipe(ended: Exit, own: Sequence[str]) -> bool:
    if ended.signal == signal.SIGPIPE or ended.code == 128 + signal.SIGPIPE:
        return True
    said = last_exception(own) or last_level_message(own) or ""
    return bool(BROKEN_PIPE.search(said))


def exception_name(exceptions: Sequence[Mapping[str, Any]], own: Sequence[str]) -> str | None:
    """
    Name the exception that stopped a child: of its exception file, else of its last traceback; without modules.

    `gluestick.exception` raises another exception in place of the one it is given, so refused credentials anywhere in the chain count.
    """
    told = exceptions[-1].get("exception_name") if exceptions else None
    line = str(told) if told else last_exception(own)
    if not told and INVALID_CREDENTIALS in map(_name, last_chain(own)):
        return INVALID_CREDENTIALS
    return _name(line) if line else None


def _name(line: str) -> str | None:
    found = EXCEPTION_NAME.match(line)
    return found["name"] if found else None


def lines_of(child: Exit | None, ended: Sequence[Exit], lines: Sequence[Line]) -> list[str]:
    """
    Give what *child* said; if it is alone, everything.
    """
    if child is None or len(ended) == 1:
        return [line.text for line in lines]
    return [line.text for line in lines if line.stream.partition(".")[0] == child.name]


def writer_name(reader: Exit, ended: Sequence[Exit]) -> str:
    return next((one.name for one in ended if one is not reader), "its writer")


def last_error(own: Sequence[str]) -> str | None:
    return (
        last_exception(own)
        or next((text for text in reversed(own) if level_message(text) is not None), None)
        or (own[-1] if own else None)
    )


def last_exception(own: Sequence[str]) -> str | None:
    """
    Find the final line of the last Python traceback, a SyntaxError's included, which comes without a heading.
    """
    for at in range(len(own) - 1, -1, -1):
        if TRACE_LINE.match(own[at]):
            return next((text for text in own[at + 1 :] if not text[0].isspace() and not TRACE_LINE.match(text)), None)
    return None


def last_chain(own: Sequence[str]) -> list[str]:
    """
    Give the final lines of the last traceback and of those that led to it, the first cause first.
    """
    chain: list[str] = []
    tracing = chained = False
    for text in (text for text in own if text.strip()):
        if text.startswith(TRACE_HEADING):
            chain, tracing, chained = chain if chained else [], True, False
        elif text.startswith(CHAINED):
            chained = True
        elif tracing and not text[0].isspace():
            chain.append(text)
            tracing = False
    return chain


def last_level_message(own: Sequence[str]) -> str | None:
    for text in reversed(own):
        if (message := level_message(text)) is not None:
            return message
    return None


def level_message(text: str) -> str | None:
    """
    Give what a line at level ERROR or above says, without time, level and logger; None for any other line.
    """
    for form in LEVEL_FORMATS:
        if found := form.search(text):
            if LOWER_LEVEL.search(found.groupdict().get("before") or ""):
                return None
            message = LOGGER_NAME.sub("", found["message"]).strip()
            return message or text.strip()
    return None


def looks_like_an_error(text: str) -> bool:
    """
    Say, quickly and generously, whether a line is worth keeping for a diagnosis.
    """
    return any(word in text for word in ERROR_WORDS)


def blame(said: str) -> Blame:
    if CUSTOMER.search(said):
        return "customer"
    return "operator" if OPERATOR.search(said) else "developer"


def limit_sentence(exceeded: LimitExceeded) -> str:
    where = f"at stage {'ETL' if exceeded.stage == 'etl' else exceeded.stage or 'unknown'}"
    match exceeded.kind:
        case "memory":
            return f"out of memory: limit {size(exceeded.limit, '.4g')}, peak {size(exceeded.peak, '.1f')} {where}"
        case "processes":
            return f"too many processes: limit {exceeded.limit:.0f}, seen {exceeded.peak:.0f} {where}"
        case "cpu":
            return f"too much CPU time: limit {duration(exceeded.limit)}, used {duration(exceeded.peak)} {where}"
        case "wall":
            return f"took too long: limit {duration(exceeded.limit)} {where}"
        case "no-progress":
            return f"no output for {duration(exceeded.limit)} {where}"


def signal_sentence(ended: Exit) -> str:
    name = signal_name(ended.signal or 0)
    if ended.signal == signal.SIGKILL:
        return f"{ended.name} was killed by {name}, by no limit of this job: the machine may have run out of memory."
    return f"{ended.name} was ended by {name}."


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def size(size_bytes: float, form: str) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size_bytes < 1024:
            return f"{size_bytes:{form}} {unit}"
        size_bytes /= 1024
    return f"{size_bytes:{form}} GB"


def duration(seconds: float) -> str:
    if seconds >= 7200:
        return f"{seconds / 3600:.4g} h"
    return f"{seconds / 60:.4g} m" if seconds >= 120 else f"{seconds:.4g} s"


def shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SENTENCE_CHARACTERS else f"{text[: SENTENCE_CHARACTERS - 1]}…"
