"""
Logs of children: every line numbered and safe, nothing unbounded, nobody held up.
"""

import asyncio
import os
from datetime import UTC, datetime
from urllib.parse import quote

import pytest
from child_kit import KeptLog, fake, job_log, open_fds
from hotglue_rows import row

from headrace.core.errors import StoreUnavailableError
from headrace.runners.line_splitter import LineSplitter
from headrace.runners.logs import JobLog, LogLimits
from headrace.runners.process import DEVNULL, ShimPool
from headrace.runners.redaction import Redactor

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def sink():
    return KeptLog()


async def logged(sink: KeptLog, *pieces: bytes, secrets: tuple[str, ...] = (), **limits: float) -> list[str]:
    """
    Write each piece to a pipe and let it be read before the next.
    """
    reading, writing = os.pipe()
    async with job_log(sink, *secrets, limits=LogLimits(**limits)) as kept:
        seen = asyncio.Event()
        kept.drain(reading, stage="sync", stream="tap.stderr")
        (drain,) = kept._drains
        take = drain._take
        drain._take = lambda piece: (take(piece), seen.set())
        for piece in pieces:
            seen.clear()
            os.write(writing, piece)
            await asyncio.wait_for(seen.wait(), 60)
        os.close(writing)
    return sink.texts


async def test_lines_are_numbered_in_one_order(sink):
    """
    A line has its number in the job, the time, the stage and the stream; our own lines too.
    """
    async with job_log(sink, clock=lambda: NOON) as kept:
        kept.write("started\ntap-x 1.0", stage="sync")
        reading, writing = os.pipe()
        os.write(writing, b"one\ntwo\n")
        os.close(writing)
        kept.drain(reading, stage="sync", stream="tap.stderr")

    assert [(line.number, line.at, line.stage, line.stream, line.text) for line in sink.lines] == [
        (1, NOON, "sync", "headrace", "started"),
        (2, NOON, "sync", "headrace", "tap-x 1.0"),
        (3, NOON, "sync", "tap.stderr", "one"),
        (4, NOON, "sync", "tap.stderr", "two"),
    ]


async def test_lines_are_joined_over_reads(sink):
    """
    A line counts once, however many reads it came in, also when nothing ends it.
    """
    assert await logged(sink, b"on", b"e\ntw", b"o", b"\nthr\xc3", b"\xa9e") == ["one", "two", "thrée"]


async def test_every_kind_of_line_end_ends_a_line(sink):
    """
    A progress bar's carriage returns end lines; a pair in two reads ends one.
    """
    assert await logged(sink, b"a\r\nb\rc\r", b"\nd\r", b"e\n\nf\r") == ["a", "b", "c", "d", "e", "", "f"]


async def test_invalid_utf8_is_replaced(sink):
    """
    Bytes that are no text never end a log.
    """
    assert await logged(sink, b"a\xff\xfeb\x00c\n") == ["a��b\0c"]


@row("drill 34")
async def test_a_secret_in_two_reads_is_hidden(sink):
    """
    Lines are redacted whole, so a read that ends within a secret shows none of it.
    """
    assert await logged(sink, b"token=s3cr3t-", b"t0ken!\n", secrets=("s3cr3t-t0ken",)) == ["token=***!"]


async def test_a_real_child_cannot_print_its_secret(sink, tmp_path):
    """
    Whole, in two writes, URL-encoded and in base64: nothing of it is kept.
    """
    secret = "s3cr3t-t0ken/with+signs"
    async with ShimPool(0) as pool, job_log(sink, secret) as kept, pool.lease() as step:
        tap = await step.spawn(fake("tap.py", "print-secret", cwd=tmp_path, config={"secret": secret}, stdout=DEVNULL))
        kept.drain(tap.take_pipe("stderr"), stage="sync", stream="tap.stderr")
        await tap.wait()

    assert len(sink.texts) == 5
    assert all("***" in text for text in sink.texts)
    assert not any(
        form in "\n".join(sink.texts) for form in (secret, quote(secret), quote(secret, safe=""), "czNjcjN0")
    )


async def test_a_long_line_is_cut_with_its_size(sink):
    """
    A line of any length costs bounded memory and says how long it was; what follows is read as before.
    """
    texts = await logged(sink, *[b"x" * 60_000] * 10, b"end\nnext\n", line_characters=1000)

    assert texts == ["x" * 1000 + "… [cut, 600,003 bytes]", "next"]


async def test_a_line_that_is_a_little_too_long_is_cut(sink):
    """
    The limit holds for lines that came whole, too.
    """
    assert await logged(sink, b"x" * 1500 + b"\nnext\n", line_characters=1000) == [
        "x" * 1000 + "… [cut, 1,500 bytes]",
        "next",
    ]


@pytest.mark.parametrize("at", range(970, 1003))
def test_a_cut_leaves_no_part_of_a_secret(at):
    """
    Wherever a secret stands at the cut, neither its beginning nor its end is kept.
    """
    secret = "0123456789abcdefghijklmnopqrstuv"
    splitter = LineSplitter(Redactor([secret]), 1000)
    longest = splitter.redactor.longest
    line = b"." * at + secret.encode() + b"." * 10_000

    texts = [
        *splitter.feed(line[: 4 * (1000 + longest) + 1]),
        *splitter.feed(line[4 * (1000 + longest) + 1 :]),
        *splitter.end(),
    ]

    assert len(texts) == 1
    assert not any(secret[start : start + 4] in texts[0] for start in range(len(secret) - 4))


@pytest.mark.parametrize("shift", range(40))
def test_a_secret_at_the_end_of_what_is_held_leaves_no_part(shift):
    """
    Redaction shortens a text, so a secret cut in two at its far end could slide into what is kept.
    """
    secret = "0123456789abcdefghijklmnopqrstuv"
    splitter = LineSplitter(Redactor([secret]), 100)
    held_bytes = 4 * (100 + splitter.redactor.longest) + 1

    texts = [
        *splitter.feed((b"." * shift + secret.encode() * 99)[:held_bytes]),
        *splitter.feed(secret.encode()),
        *splitter.end(),
    ]

    assert not any(secret[start : start + 4] in texts[0] for start in range(len(secret) - 4))


async def test_a_full_log_says_so_and_keeps_its_end(sink):
    """
    Over the size of a job lines are counted instead of kept, and the last of them, where the reason stands, are added at the end.
    """
    lines = [b"line %05d\n" % number for number in range(2000)]
    texts = await logged(
        sink, *[b"".join(lines[at : at + 500]) for at in range(0, 2000, 500)], job_bytes=6000, kept_aside_bytes=115
    )

    assert texts[0] == "line 00000"
    assert texts[499] == "line 00499"
    assert (
        texts[500]
        == "[the job's log is over its limit of 6,000 bytes (log job_bytes): from here on only the end is kept]"
    )
    assert texts[501] == "[1,490 lines dropped: the job's log is over its limit of 6,000 bytes (log job_bytes)]"
    assert texts[502:] == [f"line {number:05}" for number in range(1990, 2000)]


@row("drill 37")
async def test_a_flood_is_dropped_until_the_budget_is_back(sink):
    """
    More bytes a second than allowed become a gap with a number; nothing is lost without one.
    """
    flood = [b"".join(b"line %05d\n" % number for number in range(at, at + 500)) for at in range(0, 5000, 500)]
    texts = await logged(sink, *flood, bytes_per_second=1000, burst_bytes=11_000, kept_aside_bytes=1100)

    gaps = [text for text in texts if "lines dropped: more than 1,000 bytes a second" in text]
    dropped = sum(int(text[1:].split()[0].replace(",", "")) for text in gaps)
    assert gaps
    assert texts[-1] == "line 04999"
    assert dropped + len(texts) - len(gaps) == 5000


@row("drill 37")
async def test_a_flooding_child_is_not_held_up_and_its_last_word_is_kept(sink, tmp_path):
    """
    30 MB on stderr pass, a bounded part is kept, and the reason of the death is in it.
    """
    limits = LogLimits(bytes_per_second=1_000_000, burst_bytes=1_000_000, job_bytes=3_000_000)
    async with ShimPool(0) as pool, job_log(sink, limits=limits) as kept, pool.lease() as step:
        tap = await step.spawn(
            fake("tap.py", "stderr-flood", cwd=tmp_path, config={"bytes": 30_000_000}, stdout=DEVNULL)
        )
        kept.drain(tap.take_pipe("stderr"), stage="sync", stream="tap.stderr")
        ended = await tap.wait()

    assert ended.code == 1
    assert sink.texts[-1] == "CRITICAL the last word"
    assert any("lines dropped" in text for text in sink.texts)
    assert sum(map(len, sink.texts)) < 4_000_000


async def test_a_sink_that_does_not_follow_costs_no_memory(sink):
    """
    While the store hangs lines are dropped with a number, and the child goes on.
    """
    sink.may_go_on.clear()
    reading, writing = os.pipe()
    block = b"x" * 99 + b"\n"
    async with job_log(sink, limits=LogLimits(backlog_bytes=20_000, flush_bytes=5000, kept_aside_bytes=1000)) as kept:
        kept.drain(reading, stage="sync", stream="tap.stderr")
        await asyncio.to_thread(os.write, writing, block * 600)
        for _ in range(20):
            await asyncio.to_thread(os.write, writing, block * 600)

        held = kept._pending_bytes + kept._in_hand_bytes
        sink.may_go_on.set()
        os.close(writing)

    assert held < 20_000 + 65_536 + 1000
    assert any("the log store did not follow" in text for text in sink.texts)


async def test_a_refused_batch_is_offered_again(sink, caplog):
    """
    A store that is away for a moment loses nothing.
    """
    sink.refusals = 1

    assert await logged(sink, b"one\n", b"two\n") == ["one", "two"]
    assert "refused" in caplog.text


async def test_a_store_that_stays_away_costs_lines_and_not_the_job(sink, monkeypatch, caplog):
    """
    After some tries a batch is given up and counted.
    """
    monkeypatch.setattr("headrace.runners.logs.SINK_RETRY_SECONDS", (0, 0))
    sink.refusals = 3
    async with job_log(sink) as kept:
        kept.write("one\ntwo", stage="sync")

    assert kept.lost_lines == 2
    assert caplog.records


async def test_lines_come_in_batches(sink):
    """
    Many lines are one call of the sink.
    """
    await logged(sink, b"line\n" * 1000)

    assert sum(sink.batches) == 1000
    assert len(sink.batches) <= 3


async def test_the_end_of_each_stream_is_remembered(sink):
    """
    The last lines, and errors from further back, are there for the diagnosis, by stage.
    """
    async with job_log(sink) as kept:
        kept.write(
            "ERROR the reason\n" + "\n".join(f"INFO {number}" for number in range(1000)),
            stage="sync",
            stream="tap.stderr",
        )
        kept.write("other", stage="etl", stream="etl.stderr")
        tail = kept.tail("sync")

    assert tail[0].text == "ERROR the reason"
    assert [line.text for line in tail[1:]] == [f"INFO {number}" for number in range(800, 1000)]
    assert kept.tail()[-1].text == "other"


async def test_secrets_that_come_up_later_are_hidden_from_then_on(sink):
    """
    A token that was renewed during the run joins the others.
    """
    async with job_log(sink) as kept:
        kept.learn(Redactor(["fresh-token"]))
        kept.write("got fresh-token", stage="sync")

    assert sink.texts == ["got ***"]


async def test_a_pipe_that_somebody_holds_open_does_not_hold_the_job(sink, caplog):
    """
    Leaving gives up on a pipe after a while, keeps what it has, and closes it.
    """
    before = open_fds()
    reading, writing = os.pipe()
    async with job_log(sink, patience_seconds=0.1) as kept:
        os.write(writing, b"half a line")
        kept.drain(reading, stage="sync", stream="tap.stderr")
    os.close(writing)

    assert sink.texts == ["half a line"]
    assert "held open" in caplog.text
    assert open_fds() == before


async def test_lines_wait_for_a_store_that_is_away():
    """
    A restart of the database takes longer than the tries that a sink which fails has; nothing is lost of it, and no trace is logged.
    """
    kept, asked = KeptLog(), 0

    async def sink(lines: list) -> None:
        nonlocal asked
        asked += 1
        if asked <= 5:
            raise StoreUnavailableError("The database did not answer.")
        await kept(lines)

    async with JobLog(sink, Redactor(()), clock=lambda: NOON) as book:
        book.write("one", stage="sync")

    assert kept.texts == ["one"]
    assert (asked, book.lost_lines) == (6, 0)
