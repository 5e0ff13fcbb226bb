// A job's log: its end first, live, by stage, searched; a hundred thousand lines do no harm.

import { make, part, template } from "./dom.js";
import { clock, count, exact, FINAL, plain } from "./format.js";
import { keepFresh } from "./refresh.js";
import { saved } from "./saving.js";

/** @typedef {import("./api.js").Line} Line */

const FIRST_LINES = 2000;
const PAGE = 5000;
const MOST_LINES = 20_000; // kept and shown; those before are in the download
const BLOCK_LINES = 200; // laid out together, and only when they come into view
const LINES_PER_FRAME = 1000;
const LIVE_MS = 700;
const SEARCH_MS = 200;
const LOUD = /\b(ERROR|CRITICAL|FATAL)\b|^Traceback |^\w*(Error|Exception): /;

/** @type {import("./job_page.js").Panel} */
export function logPanel(stage) {
  const { api, job, query, signal, weather } = stage;
  const panel = template("log");
  const item = query.get("item");
  const path = item === null ? `jobs/${job().id}/logs` : `jobs/${job().id}/items/${encodeURIComponent(item)}/logs`;
  const name = `${job().public_id}${item === null ? "" : `-item-${item}`}.log`;
  const view = new LogView(panel, { stage: query.get("stage") ?? "", signal });
  let after = -1;

  if (item !== null) {
    part(panel, "whose").hidden = false;
    part(panel, "whose").textContent = `The log of item ${item}. `;
  }
  part(panel, "earlier").addEventListener("click", async () => {
    const first = view.firstNumber;
    const from = Math.max(0, first - 1 - PAGE);
    const { lines } = await api.get(path, { after: from, limit: Math.min(PAGE, first - 1 - from) }, signal);
    view.putBefore(lines);
  });
  part(panel, "download").addEventListener("click", () => saved(() => wholeLog(api, path), name));
  keepFresh(async () => {
    // The state first: what was written until the end is then still read.
    const final = FINAL.has(job().state);
    const answer = await api.get(path, after < 0 ? { last: FIRST_LINES, limit: FIRST_LINES } : { after, limit: PAGE }, signal);
    after = answer.next;
    view.add(answer.lines);
    const more = answer.lines.length >= PAGE;
    const ended = final && !more;
    view.tell(ended);
    if (more) return 0;
    return ended ? null : LIVE_MS;
  }, signal, weather);
  return panel;
}

/** Read a whole log as text. @param {import("./api.js").Api} api @param {string} path */
async function wholeLog(api, path) {
  const pages = [];
  let after = 0;
  for (;;) {
    const { lines } = await api.get(path, { after, limit: 10_000 });
    if (!lines.length) return new Blob(pages);
    pages.push(lines.map((/** @type {Line} */ line) => `${line.at} ${line.stage} ${line.text}\n`).join(""));
    after = lines.at(-1).number;
  }
}

/** The lines that there are, and those of them that are shown. */
class LogView {
  /** @type {Line[]} */
  #lines = [];
  /** @type {Line[]} lines that wait for a frame to be drawn in */
  #waiting = [];
  #drawing = false;
  #filter = { stage: "", text: "" };
  /** @type {Set<string>} */
  #stages = new Set();
  /** Whether nothing more is written to it. */
  ended = false;
  #shown = 0;

  /** @param {HTMLElement} panel @param {{stage: string, signal: AbortSignal}} options */
  constructor(panel, { stage, signal }) {
    this.panel = panel;
    this.signal = signal;
    this.box = /** @type {HTMLElement} */ (part(panel, "box"));
    this.body = /** @type {HTMLElement} */ (part(panel, "lines"));
    this.follow = /** @type {HTMLInputElement} */ (part(panel, "follow"));
    this.#filter.stage = stage;
    if (stage) this.#offer(stage);
    part(panel, "stage").value = stage;
    this.#bind();
  }

  get firstNumber() {
    return this.#lines[0]?.number ?? 1;
  }

  /** @param {Line[]} lines newer than all that are there */
  add(lines) {
    if (!lines.length) return;
    for (const line of lines) this.#offer(line.stage);
    this.#lines.push(...lines);
    const over = this.#lines.length - MOST_LINES;
    if (over > 0) this.#lines.splice(0, over);
    this.#waiting.push(...lines.filter((line) => this.#fits(line)));
    this.#draw();
    this.#edge();
  }

  /** @param {Line[]} lines older than all that are there */
  putBefore(lines) {
    for (const line of lines) this.#offer(line.stage);
    this.#lines = [...lines, ...this.#lines].slice(0, MOST_LINES);
    this.follow.checked = false;
    const fitting = lines.filter((line) => this.#fits(line));
    const height = this.box.scrollHeight;
    const blocks = [];
    for (let from = 0; from < fitting.length; from += BLOCK_LINES) {
      const block = make("div", "block");
      block.append(...fitting.slice(from, from + BLOCK_LINES).map((line) => row(line, this.#filter.text)));
      blocks.push(block);
    }
    this.body.prepend(...blocks);
    this.#shown += fitting.length;
    this.box.scrollTop += this.box.scrollHeight - height;
    this.#edge();
    this.tell(null);
  }

  /** Say how much there is. @param {boolean | null} ended null leaves that as it was */
  tell(ended) {
    if (ended !== null) this.ended = ended;
    const empty = part(this.panel, "empty");
    const nothing = this.#shown + this.#waiting.length === 0;
    empty.hidden = !nothing;
    if (this.#lines.length) empty.textContent = "No line fits.";
    else empty.textContent = this.ended ? "It has written nothing." : "Nothing yet. Lines appear here as they are written.";
    const fitting = this.#shown + this.#waiting.length;
    const words = fitting === this.#lines.length ? `${count(fitting)} lines` : `${count(fitting)} of ${count(this.#lines.length)} lines`;
    part(this.panel, "status").textContent = `${words}${this.ended ? "" : ", live"}`;
  }

  #bind() {
    /** @type {ReturnType<typeof setTimeout>} */
    let typing;
    part(this.panel, "stage").addEventListener("change", (/** @type {any} */ event) => {
      this.#filter.stage = event.target.value;
      this.#again();
    });
    part(this.panel, "search").addEventListener("input", (/** @type {any} */ event) => {
      clearTimeout(typing);
      typing = setTimeout(() => {
        this.#filter.text = event.target.value.toLowerCase();
        this.#again();
      }, SEARCH_MS);
    });
    part(this.panel, "wrap").addEventListener("change", (/** @type {any} */ event) => this.box.classList.toggle("long", !event.target.checked));
    this.follow.addEventListener("change", () => this.#toEnd());
    // Blocks have their true height only once they have been in view.
    const grows = new ResizeObserver(() => this.#toEnd());
    grows.observe(this.body);
    this.signal.addEventListener("abort", () => grows.disconnect());
    this.box.addEventListener("wheel", (event) => {
      if (event.deltaY < 0) this.follow.checked = false;
    }, { passive: true });
    this.box.addEventListener("keydown", (event) => {
      if (["ArrowUp", "PageUp", "Home"].includes(event.key)) this.follow.checked = false;
      if (event.key === "End") this.follow.checked = true;
    });
  }

  /** @param {Line} line */
  #fits(line) {
    const { stage, text } = this.#filter;
    return (!stage || line.stage === stage) && (!text || line.text.toLowerCase().includes(text));
  }

  #again() {
    this.body.replaceChildren();
    this.#shown = 0;
    this.#waiting = this.#lines.filter((line) => this.#fits(line));
    this.#draw();
    this.tell(null);
  }

  /** @param {string} stage */
  #offer(stage) {
    if (this.#stages.has(stage)) return;
    this.#stages.add(stage);
    part(this.panel, "stage").add(new Option(stage, stage));
  }

  /** Draw what waits, a piece in each frame, so that the page answers meanwhile. */
  #draw() {
    if (this.#drawing || !this.#waiting.length) return;
    this.#drawing = true;
    requestAnimationFrame(() => {
      this.#drawing = false;
      if (this.signal.aborted) return;
      for (const line of this.#waiting.splice(0, LINES_PER_FRAME)) {
        this.#lastBlock().append(row(line, this.#filter.text));
        this.#shown += 1;
      }
      while (this.#shown > MOST_LINES && this.body.firstElementChild) {
        this.#shown -= this.body.firstElementChild.childElementCount;
        this.body.firstElementChild.remove();
      }
      this.#toEnd();
      this.#draw();
    });
  }

  #lastBlock() {
    let block = this.body.lastElementChild;
    if (!block || block.childElementCount >= BLOCK_LINES) {
      block = make("div", "block");
      this.body.append(block);
    }
    return block;
  }

  #toEnd() {
    if (this.follow.checked) this.box.scrollTop = this.box.scrollHeight;
  }

  /** Offer the lines before the first one, as long as there is room for them. */
  #edge() {
    const before = this.firstNumber > 1;
    const room = this.#lines.length < MOST_LINES;
    part(this.panel, "earlier").hidden = !before || !room;
    part(this.panel, "cut").hidden = !before || room;
  }
}

/** @param {Line} line @param {string} wanted lower case @returns {HTMLElement} */
function row(line, wanted) {
  const text = plain(line.text);
  const element = make("div", LOUD.test(text) ? "row loud" : "row");
  const at = make("span", "", clock(line.at));
  at.title = exact(line.at);
  const source = make("span", "", line.stage);
  source.title = line.stream;
  const words = make("code");
  const found = wanted ? text.toLowerCase().indexOf(wanted) : -1;
  if (found < 0) words.textContent = text;
  else words.append(text.slice(0, found), make("mark", "", text.slice(found, found + wanted.length)), text.slice(found + wanted.length));
  element.append(make("span", "", count(line.number)), at, source, words);
  return element;
}
