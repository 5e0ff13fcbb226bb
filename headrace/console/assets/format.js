// Values in words: states, durations, sizes, times. Pure, but for the viewer's language and time zone.

/** @type {Record<string, [string, string, string]>} a mark, a word, a class */
const STATES = {
  scheduled: ["↻", "Will be tried again", "wait"],
  retryable: ["↻", "Will be tried again", "wait"],
  waiting: ["○", "Waiting", "wait"],
  pending: ["○", "Pending", "still"],
  admitted: ["◔", "Starting", "live"],
  running: ["●", "Running", "live"],
  paused: ["‖", "Paused", "wait"],
  completed: ["✓", "Completed", "good"],
  failed: ["✕", "Failed", "bad"],
  cancelled: ["–", "Cancelled", "still"],
  skipped: ["–", "Skipped", "still"],
};

const KINDS = /** @type {Record<string, string>} */ ({ hotglue: "Flow", matatika: "Pipeline", intuned: "Batch" });

const WHO = /** @type {Record<string, string>} */ ({
  customer: "The customer: reconnect an account or grant a permission",
  developer: "The developer of the connector, script or definition",
  operator: "The operator of this server",
});

export const FINAL = new Set(["completed", "failed", "cancelled"]);
export const UNFINISHED = ["scheduled", "waiting", "admitted", "running", "paused"];

/** @param {string} state @returns {[string, string, string]} */
export const stateWords = (state) => STATES[state] ?? ["", state, "still"];

/** @param {string} dialect */
export const kindOf = (dialect) => KINDS[dialect] ?? dialect;

/** Who can mend it; empty for nobody. @param {string} who */
export const whoWords = (who) => WHO[who] ?? "";

/** What a job is of: its definition, or its name where the definition is a mere id. @param {{definition: string, name: string}} job */
export function titleOf(job) {
  const opaque = /^[0-9a-f]{8}-[0-9a-f-]{27}$/.test(job.definition) || job.definition.startsWith("workspace:");
  return (opaque && job.name) || job.definition;
}

/** A length of time, in two units at most. @param {number} ms */
export function duration(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${Math.floor(seconds % 60)} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** How long ago, or in how long. @param {number} ms since then */
export function ago(ms) {
  const away = Math.abs(ms);
  const ahead = ms < 0;
  const units = /** @type {[number, string][]} */ ([[86_400_000, "d"], [3_600_000, "h"], [60_000, "min"], [1000, "s"]]);
  if (away < 5000) return ahead ? "in a moment" : "just now";
  for (const [size, unit] of units) {
    if (away >= size) {
      const many = Math.floor(away / size);
      return ahead ? `in ${many} ${unit}` : `${many} ${unit} ago`;
    }
  }
  return "";
}

/** @param {number} bytes */
export function byteCount(bytes) {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${bytes} bytes` : `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`;
}

/** @param {number} many */
export const count = (many) => many.toLocaleString();

/** @param {number} many @param {string} one @param {string} [more] */
export const counted = (many, one, more = `${one}s`) => `${count(many)} ${many === 1 ? one : more}`;

const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "full", timeStyle: "long" });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const DAY = new Intl.DateTimeFormat(undefined, { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hour12: false });

/** The exact instant, in the viewer's zone and in UTC. @param {string} iso */
export const exact = (iso) => `${EXACT.format(new Date(iso))}\n${iso}`;

/** @param {string} iso */
export const clock = (iso) => CLOCK.format(new Date(iso));

/** @param {string} iso */
export const day = (iso) => DAY.format(new Date(iso));

/** A name such as `peak_memory_bytes`, and its value, for people. @param {string} name @param {unknown} value @returns {[string, string]} */
export function evidence(name, value) {
  const words = name.replace(/_(bytes|seconds)$/, "").replaceAll("_", " ");
  if (name.endsWith("_bytes") && typeof value === "number") return [words, byteCount(value)];
  if (name.endsWith("_seconds") && typeof value === "number") return [words, duration(value * 1000)];
  return [words, typeof value === "object" ? JSON.stringify(value) : String(value)];
}

/** What a step did, in a few words. @param {Record<string, any>} output */
export function didWords(output) {
  const counts = Object.values(output.record_count ?? {}).map(Number);
  if (counts.length) {
    const total = counts.reduce((sum, one) => sum + one, 0);
    return `${counted(total, "record")}${counts.length > 1 ? ` in ${counts.length} streams` : ""}`;
  }
  /** @type {Record<string, number>} */
  const totals = {};
  for (const told of Object.values(output.export_summary ?? {})) {
    for (const [what, many] of Object.entries(told ?? {})) {
      if (typeof many === "number") totals[what] = (totals[what] ?? 0) + many;
    }
  }
  return Object.entries(totals).filter(([, many]) => many).map(([what, many]) => `${count(many)} ${what}`).join(", ");
}

/** Text without the escapes by which programs colour their terminals. @param {string} text */
export const plain = (text) => text.replace(/\x1b(?:\[[0-?]*[ -/]*[@-~]|[@-_])/g, "");
