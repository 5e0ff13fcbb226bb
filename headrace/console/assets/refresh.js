// Asking again and again, for as long as somebody looks, and calmly while the server is away.

import { ApiError } from "./api.js";

const FIRST_PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15_000;

/**
 * What a page is told of the server, by whoever asks it.
 * @typedef {Object} Weather
 * @property {(error: ApiError, pauseMs: number) => void} trouble
 * @property {() => void} fine
 * @property {(error: ApiError) => void} refused what no second try mends
 * @property {EventTarget} wakes says `again` when somebody does not want to wait
 */

/**
 * Do *work* now, and again after as many milliseconds as it says; null ends it. Failures that pass are tried again, ever more slowly.
 * @param {() => Promise<number | null>} work @param {AbortSignal} signal ends it too @param {Weather} weather
 */
export async function keepFresh(work, signal, weather) {
  let failures = 0;
  while (!signal.aborted) {
    /** @type {number | null} */
    let pause = null;
    try {
      pause = await work();
      if (signal.aborted) return;
      failures = 0;
      weather.fine();
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ApiError)) throw error;
      if (!error.passing) {
        weather.refused(error);
        return;
      }
      pause = Math.min(FIRST_PAUSE_MS * 2 ** failures, LONGEST_PAUSE_MS);
      failures += 1;
      weather.trouble(error, pause);
    }
    if (pause === null) return;
    await rest(pause, signal, weather.wakes);
    await visible(signal);
  }
}

/** @param {number} ms @param {AbortSignal} signal @param {EventTarget} wakes @returns {Promise<void>} */
function rest(ms, signal, wakes) {
  return new Promise((done) => {
    const end = () => {
      clearTimeout(timer);
      wakes.removeEventListener("again", end);
      signal.removeEventListener("abort", end);
      done();
    };
    const timer = setTimeout(end, ms);
    wakes.addEventListener("again", end);
    signal.addEventListener("abort", end);
  });
}

/** Wait until somebody looks at the page. @param {AbortSignal} signal @returns {Promise<void>} */
function visible(signal) {
  return new Promise((done) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      done();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
    look();
  });
}
