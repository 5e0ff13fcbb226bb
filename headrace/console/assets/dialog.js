// Asking before something is done.

import { ApiError } from "./api.js";
import { make, part, template } from "./dom.js";

/**
 * @typedef {Object} Question
 * @property {string} title
 * @property {string} text
 * @property {string} yes what the button says
 * @property {boolean} [grave] it cannot be undone
 * @property {HTMLElement[]} [fields]
 * @property {boolean} [only] there is no other answer
 */

/**
 * Ask, and do *act* when the answer is yes. What *act* is refused stands in the dialog, which stays open for another try. What it gives
 * is called when the dialog is gone.
 * @param {Question} question @param {() => Promise<void | (() => void)>} act
 */
export function ask(question, act) {
  const dialog = /** @type {HTMLDialogElement} */ (template("dialog"));
  const yes = /** @type {HTMLButtonElement} */ (part(dialog, "yes"));
  const error = part(dialog, "error");
  part(dialog, "title").textContent = question.title;
  part(dialog, "text").textContent = question.text;
  part(dialog, "fields").append(...(question.fields ?? []));
  yes.textContent = question.yes;
  yes.classList.toggle("grave", Boolean(question.grave));
  part(dialog, "no").hidden = Boolean(question.only);
  part(dialog, "no").addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  window.addEventListener("hashchange", () => dialog.close(), { once: true });
  /** @type {HTMLFormElement} */ (dialog.querySelector("form")).addEventListener("submit", async (event) => {
    event.preventDefault();
    yes.disabled = true;
    error.hidden = true;
    try {
      const next = await act();
      dialog.close();
      next?.();
    } catch (failure) {
      error.textContent = said(failure);
      error.hidden = false;
    } finally {
      yes.disabled = false;
    }
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** What went wrong and the next move, in one line. @param {unknown} failure */
export function said(failure) {
  if (failure instanceof ApiError) return `${failure.reason} ${failure.instruction}`.trim();
  throw failure;
}

/** A labelled field. @param {string} label @param {HTMLElement} field */
export function labelled(label, field) {
  const element = make("label", "", label);
  element.append(field);
  return element;
}

/** @param {[string, string][]} options value and what is shown */
export function choice(options) {
  const field = /** @type {HTMLSelectElement} */ (make("select"));
  for (const [value, text] of options) field.add(new Option(text, value));
  return field;
}

/** A box to tick. @param {string} text @returns {[HTMLElement, HTMLInputElement]} */
export function tick(text) {
  const box = /** @type {HTMLInputElement} */ (make("input"));
  box.type = "checkbox";
  const label = make("label", "check");
  label.append(box, text);
  return [label, box];
}

/** Say something in passing. @param {string} text */
export function toast(text) {
  const box = /** @type {HTMLElement} */ (document.querySelector(".toast"));
  box.textContent = text;
  box.hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { box.hidden = true; }, 6000);
}
/** @type {ReturnType<typeof setTimeout> | undefined} */
toast.timer = undefined;
