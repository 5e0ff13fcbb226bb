// The core API, and what can go wrong with it.

/**
 * @typedef {Object} Cause
 * @property {string} stage
 * @property {string} sentence
 * @property {string} who
 * @property {string} instruction
 * @property {Record<string, unknown>} evidence
 *
 * @typedef {Object} Step
 * @property {number} ordinal
 * @property {string} name
 * @property {string} kind
 * @property {string} state
 * @property {string | null} started_at
 * @property {string | null} finished_at
 * @property {Cause | null} cause
 * @property {Record<string, any>} output
 *
 * @typedef {Object} FanOut
 * @property {number} total
 * @property {number} completed
 * @property {number} failed
 * @property {number} cancelled
 * @property {number} live
 * @property {string | null} pause_requested_at
 * @property {Cause | null} stop_cause
 *
 * @typedef {Object} Job
 * @property {string} id
 * @property {number} seq
 * @property {string} workspace
 * @property {string} tenant
 * @property {string} dialect
 * @property {string} definition
 * @property {string} public_id
 * @property {string} name
 * @property {string} root
 * @property {string | null} key
 * @property {string} state
 * @property {number} attempt
 * @property {number} crashes
 * @property {number} failures
 * @property {number} priority
 * @property {string} trigger
 * @property {string} started_by
 * @property {Record<string, unknown>} details
 * @property {Cause | null} cause
 * @property {string | null} rerun_of
 * @property {string} created_at
 * @property {string | null} started_at
 * @property {string | null} finished_at
 * @property {string | null} cancel_requested_at
 * @property {Step[]} steps
 * @property {FanOut | null} items
 *
 * @typedef {Object} Line
 * @property {number} number
 * @property {string} at
 * @property {string} stage
 * @property {string} stream
 * @property {string} text
 *
 * @typedef {Object} Me
 * @property {string} key_id
 * @property {string} name
 * @property {string} role
 * @property {string | null} workspace
 * @property {string[]} scopes
 *
 * @typedef {Record<string, string | number | string[] | null | undefined>} Query
 */

const TIMEOUT_MS = 30_000;

/** What the server refused, or that it did not answer: `status` is 0 then. */
export class ApiError extends Error {
  /** @param {number} status @param {string} code @param {string} reason @param {string} instruction */
  constructor(status, code, reason, instruction) {
    super(reason);
    this.status = status;
    this.code = code;
    this.reason = reason;
    this.instruction = instruction;
  }

  /** Whether the same call may succeed later. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

export class Api {
  #key;

  /** @param {string} key */
  constructor(key) {
    this.#key = key;
  }

  /** @param {string} path @param {Query} [query] @param {AbortSignal} [signal] @returns {Promise<any>} */
  async get(path, query = {}, signal) {
    return (await this.#send("GET", path + queryText(query), {}, signal)).json();
  }

  /** @param {string} path @param {unknown} [body] @param {string} [repeatKey] @returns {Promise<any>} */
  async post(path, body, repeatKey) {
    /** @type {RequestInit} */
    const init = body === undefined ? {} : { body: JSON.stringify(body) };
    init.headers = { "content-type": "application/json", ...(repeatKey ? { "idempotency-key": repeatKey } : {}) };
    return (await this.#send("POST", path, init)).json();
  }

  /** @param {string} path @returns {Promise<any>} */
  async delete(path) {
    return (await this.#send("DELETE", path, {})).json();
  }

  /** @param {string} path @param {Query} [query] @returns {Promise<Response>} */
  async raw(path, query = {}) {
    return this.#send("GET", path + queryText(query), {});
  }

  /** @param {string} method @param {string} path @param {RequestInit} init @param {AbortSignal} [signal] */
  async #send(method, path, init, signal) {
    const limits = [AbortSignal.timeout(TIMEOUT_MS), ...(signal ? [signal] : [])];
    let reply;
    try {
      reply = await fetch(new URL(`api/v1/${path}`, document.baseURI), {
        ...init,
        method,
        headers: { .../** @type {Record<string, string>} */ (init.headers ?? {}), authorization: `Bearer ${this.#key}` },
        cache: "no-store",
        credentials: "omit",
        redirect: "error",
        signal: AbortSignal.any(limits),
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError(0, "no-answer", "The server does not answer.", "Check that it runs and that this machine reaches it.");
    }
    if (reply.ok) return reply;
    throw await refusal(reply);
  }
}

/** @param {Response} reply */
async function refusal(reply) {
  const told = await reply.json().catch(() => ({}));
  const reason = told.reason || `The server answered with status ${reply.status}.`;
  return new ApiError(reply.status, told.code || "unknown", reason, told.instruction || "");
}

/** @param {Query} query */
function queryText(query) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") found.append(name, String(one));
    }
  }
  const text = found.toString();
  return text ? `?${text}` : "";
}

/** A name in a path. @param {string} name */
export const inPath = (name) => encodeURIComponent(name);

/** Names one wish, so that sending it twice does it once. */
export function repeatKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
