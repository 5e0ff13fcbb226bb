// Pieces that several pages show: states, times that go on, names of jobs.

import { make, setText } from "./dom.js";
import { ago, clock, day, duration, exact, stateWords } from "./format.js";

const TICK_MS = 1000;

/** Show a state in an element: a mark for the eye, a word for everybody. @param {HTMLElement} element @param {string} state @param {string} [word] */
export function showState(element, state, word) {
  const [mark, words, kind] = stateWords(state);
  const said = word ?? words;
  if (element.dataset.shown === state + said) return;
  element.dataset.shown = state + said;
  element.className = `state ${kind}`;
  const sign = make("i", "", mark);
  sign.setAttribute("aria-hidden", "true");
  element.replaceChildren(sign, said);
}

/** @param {string} state */
export function stateBadge(state) {
  const element = make("span");
  showState(element, state);
  return element;
}

/** Show what a job is doing, and what it is asked to do. @param {HTMLElement} element @param {import("./api.js").Job} job */
export function showJobState(element, job) {
  if (job.finished_at) showState(element, job.state);
  else if (job.cancel_requested_at) showState(element, job.state, "Being cancelled");
  else if (!isHeld(job)) showState(element, job.state);
  else if (job.items?.live) showState(element, "paused", "Being paused");
  else showState(element, "paused");
}

/** Whether a job starts nothing more until it is resumed. @param {import("./api.js").Job} job */
export const isHeld = (job) => job.finished_at === null && Boolean(job.items?.pause_requested_at);

/**
 * Show a time as what somebody wants to know of it, with the exact instant on hover.
 * @param {HTMLElement} element a `time` @param {string | null} iso @param {"ago" | "clock" | "day"} form
 */
export function showTime(element, iso, form = "ago") {
  if (!iso) {
    element.textContent = "";
    return;
  }
  if (element.getAttribute("datetime") === iso) return;
  element.setAttribute("datetime", iso);
  element.title = exact(iso);
  if (form === "ago") element.dataset.ago = String(Date.parse(iso));
  setText(element, form === "ago" ? ago(Date.now() - Date.parse(iso)) : form === "clock" ? clock(iso) : day(iso));
}

/** @param {string | null} iso @param {"ago" | "clock" | "day"} [form] */
export function time(iso, form = "ago") {
  const element = make("time");
  showTime(element, iso, form);
  return element;
}

/** Show how long something took, or has taken so far. @param {HTMLElement} element @param {string | null} began @param {string | null} ended */
export function showTook(element, began, ended) {
  delete element.dataset.since;
  if (began && !ended) element.dataset.since = String(Date.parse(began));
  setText(element, began ? duration((ended ? Date.parse(ended) : Date.now()) - Date.parse(began)) : "");
}

/** Let all times on the page go on, once a second. */
export function startTicking() {
  setInterval(() => {
    if (document.hidden) return;
    const now = Date.now();
    for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-ago]"))) {
      setText(element, ago(now - Number(element.dataset.ago)));
    }
    for (const element of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-since]"))) {
      const passed = now - Number(element.dataset.since);
      setText(element, duration(passed < 1000 ? passed : Math.floor(passed / 1000) * 1000));
    }
  }, TICK_MS);
}
