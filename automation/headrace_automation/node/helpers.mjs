// What a function in TypeScript or JavaScript may ask of the server while it runs; asking.py says the same to Python.
//
// Projects import it as `headrace-automation`; `@intuned/runtime` is another name of it, so that projects written for Intuned need no other
// package. One call runs in one process, so its state is this module's.

import fs from "node:fs";
import readline from "node:readline";

const REPORTS = 3;
const ANSWERS = 5;
const BETWEEN_EXTENSIONS_MILLISECONDS = 100;

const kept = new Map();
const waiting = [];
let answers = null;
let asked = { ids: {} };
let extendedAt = -Infinity;

export const attributes = {};

export class NonRetryableError extends Error {
  name = "NonRetryableError";
}

export function begin(call) {
  asked = call;
}

export function say(kind, facts = {}) {
  const line = Buffer.from(JSON.stringify({ kind, ...facts }) + "\n");
  for (let written = 0; written < line.length; ) written += fs.writeSync(REPORTS, line, written);
}

export function extendPayload(...items) {
  for (const item of items.flat(Infinity)) {
    const api = item?.api ?? item?.apiName;
    if (typeof api !== "string" || !api) throw new TypeError("An item of extendPayload needs `api`, the name of the function to call.");
    say("append", { api, parameters: item.parameters ?? {} });
  }
  extendTimeout();
}

export function extendTimeout() {
  const now = performance.now();
  if (now - extendedAt < BETWEEN_EXTENSIONS_MILLISECONDS) return;
  extendedAt = now;
  say("extend");
}

export const attemptStore = {
  get: (key, otherwise) => (kept.has(key) ? kept.get(key) : otherwise),
  set: (key, value) => void kept.set(key, value),
};

export const persistentStore = {
  get: async (key) => (await ask("get", { key: checked(key) })).value ?? null,
  set: async (key, value) => void (await ask("set", { key: checked(key), value: JSON.stringify(value ?? null) })),
};

export async function getAuthSessionParameters() {
  if (!asked.session_parameters) throw new Error("This call has no auth session.");
  return asked.session_parameters;
}

export function runInfo() {
  const { run_id, job_id, job_run_id, attempt, auth_session_id } = asked.ids;
  return { runId: run_id, jobId: job_id, jobRunId: job_run_id, attempt, authSessionId: auth_session_id, proxy: asked.proxy };
}

export function setAttribute(key, value) {
  attributes[key] = value;
}

export function deleteAttribute(key) {
  delete attributes[key];
}

function checked(key) {
  if (!key || /[:#]/.test(key)) throw new TypeError(`${key} is no key: give at least one character, and neither : nor #.`);
  return key;
}

// Answers come in the order of the questions.
function ask(kind, facts) {
  if (!answers) {
    answers = readline.createInterface({ input: fs.createReadStream(null, { fd: ANSWERS }) });
    answers.on("line", (line) => waiting.shift()?.(JSON.parse(line)));
  }
  return new Promise((resolve, reject) => {
    waiting.push((answer) => ("error" in answer ? reject(new Error(answer.error)) : resolve(answer)));
    say(kind, facts);
  });
}
