// What can be done with a job: hold it and let it go on, end it, run it again. What loses or starts something is asked first.

import { repeatKey } from "./api.js";
import { ask, choice, labelled, said, tick, toast } from "./dialog.js";
import { count, titleOf } from "./format.js";

/** @typedef {import("./api.js").Job} Job */

/** @param {import("./api.js").Api} api @param {Job} job @param {() => void} done */
export function askCancel(api, job, done) {
  const text = job.started_at
    ? "Its programs are asked to end, and ended when they do not. What is not finished is lost."
    : "It has not begun; it ends at once.";
  ask({ title: `Cancel ${titleOf(job)}?`, text, yes: "Cancel the job", grave: true }, async () => {
    const now = await api.post(`jobs/${job.id}/cancel`);
    toast(now.state === "cancelled" ? "The job is cancelled." : "The job is asked to end.");
    done();
  });
}

/** @param {import("./api.js").Api} api @param {Job} job @param {() => void} done */
export function askPause(api, job, done) {
  const live = job.items?.live ?? 0;
  const running = live === 1 ? "The item that runs goes on to its end" : `The ${count(live)} items that run go on to their end`;
  const started = live ? `${running}; no more are started` : "No items are started";
  const text = `${started} until it is resumed, and nothing is lost. While it is paused, no other job of the same batch can run.`;
  ask({ title: `Pause ${titleOf(job)}?`, text, yes: "Pause the job" }, async () => {
    const now = await api.post(`jobs/${job.id}/pause`);
    toast(now.items?.live ? "The job pauses when what runs has ended." : "The job is paused.");
    done();
  });
}

/** @param {import("./api.js").Api} api @param {Job} job @param {() => void} done */
export async function letGoOn(api, job, done) {
  try {
    await api.post(`jobs/${job.id}/resume`);
    toast("The job goes on where it was.");
    done();
  } catch (failure) {
    toast(said(failure));
  }
}

/** @param {import("./api.js").Api} api @param {Job} job */
export function askRerun(api, job) {
  /** @type {[string, string][]} */
  const stages = job.steps.map((step) => [step.name, `${step.name} and what follows`]);
  const from = choice([["", "The whole job"], ...stages.slice(1)]);
  const [queueLabel, queue] = tick("Wait in line if another job of it has not ended");
  const key = repeatKey();
  const text = job.items
    ? "Items that failed or were cancelled run again, in a new job."
    : "A new job by the same plan, with what is linked now. Stages before the chosen one are taken over as they were.";
  const fields = stages.length > 1 ? [labelled("Run", from), queueLabel] : [queueLabel];
  ask({ title: `Run ${titleOf(job)} again?`, text, yes: "Run again", fields }, async () => {
    const made = await api.post(`jobs/${job.id}/rerun`, { from: from.value || null, queue: queue.checked }, key);
    location.hash = `#/jobs/${made.id}`;
  });
}
