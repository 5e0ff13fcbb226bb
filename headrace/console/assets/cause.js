// Why something ended as it did: the sentence first, then who can mend it, the next move, the evidence.

import { make } from "./dom.js";
import { evidence, whoWords } from "./format.js";

const CODE = new Set(["last_error_line", "command", "traceback"]);

/** @param {import("./api.js").Cause} cause @returns {HTMLElement[]} */
export function causeBox(cause) {
  const facts = make("dl", "evidence");
  const add = (/** @type {string} */ name, /** @type {string} */ value, code = false) => {
    if (value) facts.append(make("dt", "", name), make("dd", code ? "code" : "", value));
  };
  add("Mended by", whoWords(cause.who));
  add("Next move", cause.instruction);
  for (const [name, value] of Object.entries(cause.evidence ?? {})) {
    if (value !== null && value !== "") add(...evidence(name, value), CODE.has(name));
  }
  const found = [make("p", "sentence", cause.sentence)];
  if (cause.stage) found.unshift(make("p", "stage", `Stage ${cause.stage}`));
  if (facts.firstChild) found.push(facts);
  return found;
}
