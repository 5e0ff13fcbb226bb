// The few things that pages do with elements. Text is only ever set as text: nothing here makes markup of a string.

/**
 * Make an element with a class and a text.
 * @param {string} tag @param {string} [className] @param {string | number} [text]
 */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== "") element.textContent = String(text);
  return element;
}

/** @param {string} href a place of ours, `#/…` @param {string} text @param {string} [className] */
export function link(href, text, className = "") {
  const element = /** @type {HTMLAnchorElement} */ (make("a", className, text));
  element.href = href;
  return element;
}

/** Clone the one element of a template. @param {string} id @returns {HTMLElement} */
export function template(id) {
  const found = /** @type {HTMLTemplateElement} */ (document.getElementById(id));
  return /** @type {HTMLElement} */ (/** @type {Element} */ (found.content.firstElementChild).cloneNode(true));
}

/** Find a part of a page by its name. @param {ParentNode} root @param {string} name @returns {any} */
export function part(root, name) {
  const found = root.querySelector(`[data-part="${name}"]`);
  if (!found) throw new Error(`there is no part ${name}`);
  return found;
}

/** Set a text, unless it is there: what somebody has selected stays selected. @param {Element} element @param {string | number} text */
export function setText(element, text) {
  if (element.textContent !== String(text)) element.textContent = String(text);
}

/** Show one of two buttons; whoever was at the other is now at this one. @param {HTMLElement} shown @param {HTMLElement} hidden */
export function showOne(shown, hidden) {
  const focused = document.activeElement === hidden;
  shown.hidden = false;
  hidden.hidden = true;
  if (focused) shown.focus();
}

/** @param {Element} element @param {...(Node | string)} children */
export function fill(element, ...children) {
  element.replaceChildren(...children);
}

/**
 * Let the children of *parent* be one row for each thing, in their order. A row that is there stays the same element, so that focus,
 * selection and scroll position survive.
 * @template T
 * @param {Element} parent @param {T[]} things @param {(thing: T) => string} keyOf
 * @param {() => HTMLElement} makeRow @param {(row: HTMLElement, thing: T) => void} fillRow
 */
export function keepRows(parent, things, keyOf, makeRow, fillRow) {
  const known = new Map(Array.from(parent.children, (row) => [/** @type {HTMLElement} */ (row).dataset.key, row]));
  /** @type {Element | null} */
  let next = parent.firstElementChild;
  for (const thing of things) {
    const key = keyOf(thing);
    const row = /** @type {HTMLElement} */ (known.get(key) ?? makeRow());
    known.delete(key);
    row.dataset.key = key;
    fillRow(row, thing);
    if (row === next) next = row.nextElementSibling;
    else parent.insertBefore(row, next);
  }
  for (const gone of known.values()) gone.remove();
}

/**
 * A table of what one list holds.
 * @param {string[]} columns a name that begins with `#` is of numbers
 * @param {(string | Node)[][]} rows @param {string} nothing what is said when there are none
 */
export function listing(columns, rows, nothing) {
  const root = template("listing");
  const numeric = columns.map((name) => name.startsWith("#"));
  for (const name of columns) {
    const head = make("th", name.startsWith("#") ? "number" : "", name.replace("#", ""));
    head.setAttribute("scope", "col");
    part(root, "head").append(head);
  }
  for (const cells of rows) {
    const row = make("tr");
    cells.forEach((cell, index) => {
      const box = make("td", numeric[index] ? "number" : "");
      box.append(cell);
      row.append(box);
    });
    part(root, "rows").append(row);
  }
  part(root, "empty").textContent = nothing;
  part(root, "empty").hidden = rows.length > 0;
  /** @type {HTMLElement} */ (root.querySelector(".scroll")).hidden = rows.length === 0;
  return root;
}
