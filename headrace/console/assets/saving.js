// Saving what the API gives as a file: the key goes in a header, so no plain link will do.

import { said, toast } from "./dialog.js";
import { make } from "./dom.js";

/** @param {Blob} content @param {string} name its last part is the file's */
export function save(content, name) {
  // Whatever it is, the browser is not to show it with this page's rights.
  const url = URL.createObjectURL(new Blob([content], { type: "application/octet-stream" }));
  const link = /** @type {HTMLAnchorElement} */ (make("a"));
  link.href = url;
  link.download = name.split("/").at(-1) || "file";
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Make something and save it; say in passing what went wrong. @param {() => Promise<Blob>} read @param {string} name */
export async function saved(read, name) {
  try {
    save(await read(), name);
  } catch (failure) {
    toast(said(failure));
  }
}
