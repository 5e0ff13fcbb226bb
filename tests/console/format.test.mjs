// Values in words; run by test_pages.py.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, byteCount, didWords, duration, evidence, plain, titleOf } from "./format.js";

test("a duration has two units at most", () => {
  const wanted = { 0: "0 ms", 153: "153 ms", 2700: "2.7 s", 59_999: "59 s", 60_000: "1 min 0 s", 3_725_000: "1 h 2 min", 200_000_000: "2 d 7 h" };
  for (const [ms, words] of Object.entries(wanted)) assert.equal(duration(Number(ms)), words);
  assert.equal(duration(-5), "0 ms", "a clock that is behind the server's");
});

test("a moment is told from now", () => {
  assert.deepEqual([0, 61_000, -7_300_000, 90_000_000].map(ago), ["just now", "1 min ago", "in 2 h", "1 d ago"]);
});

test("bytes are told in the unit that fits", () => {
  assert.deepEqual([0, 1023, 1536, 70 * 2 ** 20].map(byteCount), ["0 bytes", "1023 bytes", "1.5 KiB", "70 MiB"]);
});

test("evidence is named and told by its unit", () => {
  assert.deepEqual(evidence("peak_memory_bytes", 2 ** 20), ["peak memory", "1.0 MiB"]);
  assert.deepEqual(evidence("limit_seconds", 90), ["limit", "1 min 30 s"]);
  assert.deepEqual(evidence("exit_code", 3), ["exit code", "3"]);
});

test("what a step did is added up", () => {
  assert.equal(didWords({ record_count: { a: 1, b: 2000 } }).replace(/\D000/, ",000"), "2,001 records in 2 streams");
  assert.equal(didWords({ export_summary: { a: { success: 3, fail: 0 }, b: { success: 1, fail: 2 } } }), "4 success, 2 fail");
  assert.equal(didWords({}), "");
});

test("a job is called what people call it", () => {
  assert.equal(titleOf({ definition: "flights", name: "flights-1" }), "flights");
  assert.equal(titleOf({ definition: "01a20287-bdf3-778b-84b9-86bda5bac33c", name: "daily" }), "daily");
});

test("a terminal's colours are left out, and nothing else", () => {
  assert.equal(plain("\x1b[31mred\x1b[0m [31m <b>"), "red [31m <b>");
});
