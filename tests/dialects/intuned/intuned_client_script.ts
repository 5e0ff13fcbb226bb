// Every operation of Intuned's published TypeScript client, against this server; bundled with the client, and run, by Node.
//
// Arguments: base URL, key. Prints one JSON object; exits above 0 when the client refuses an answer.

import { IntunedClient } from "@intuned/client";

const [baseUrl, key] = process.argv.slice(2);
const PROJECT = "demo";
const SHOP = "shop";
const DEADLINE_MILLISECONDS = 120_000;
const seen: Record<string, any> = {};

const client = (apiKey: string) => new IntunedClient({ apiKey, workspaceId: "demo", serverURL: baseUrl });
const { jobs, run, authSessions } = client(key).project;

// Polls: all that this client offers.
async function wait(poll: () => Promise<any>, done: (found: any) => boolean): Promise<any> {
  const until = Date.now() + DEADLINE_MILLISECONDS;
  for (;;) {
    const found = await poll();
    if (done(found) || Date.now() > until) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function refusal(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "";
  } catch (error: any) {
    return `${error.statusCode ?? error.httpMeta?.response?.status ?? ""} ${error.data$?.code ?? error.code ?? error.name}`;
  }
}

const over = (found: any) => !["pending", "started", "in_progress", "PENDING"].includes(found.status);
const body: any = {
  payload: [
    { apiName: "good", parameters: { n: 1 } },
    { apiName: "bad", parameters: {}, retry: { maximumAttempts: 1 } },
  ],
  configuration: { maxConcurrentRequests: 2, retry: { maximumAttempts: 2 } },
};

seen.create = await jobs.create(PROJECT, {
  ...body,
  id: "client-job",
  schedule: { intervals: [{ every: "1h" }], calendars: [{ hour: 9, dayOfWeek: ["MONDAY", { start: "TUESDAY", end: "FRIDAY" }] }] },
  sink: { type: "webhook", url: "http://127.0.0.1:1025/x", headers: { a: "b" }, skipOnFail: true },
  proxy: "http://user:pass@127.0.0.1:3128",
} as any);
await jobs.create(PROJECT, {
  ...body,
  id: "bucket-job",
  sink: { type: "s3", bucket: "b", accessKeyId: "id", secretAccessKey: "secret", region: "eu" },
} as any);
seen.all = (await jobs.all(PROJECT)).map((job: any) => [job.id, job.state, job.proxy?.version ?? null, job.sink?.type]);
const one: any = await jobs.one(PROJECT, "client-job");
seen.one = [one.id, one.proxy, one.sink.type, one.nextRunTime ?? one.next_run_time ? "scheduled" : "never"];
seen.update = await jobs.update(PROJECT, "client-job", body);
seen.pause = await jobs.pause(PROJECT, "client-job");
seen.triggerPaused = await refusal(jobs.trigger(PROJECT, "client-job"));
seen.resume = await jobs.resume(PROJECT, "client-job");
const { jobRunId }: any = await jobs.trigger(PROJECT, "client-job");
const ended: any = await wait(
  () => jobs.runs.one(PROJECT, "client-job", jobRunId),
  (found) => over(found.jobRun),
);
seen.jobRun = [ended.jobRun.status, ended.jobRun.payloads, ended.results.format];
const runs: any = await jobs.runs.all({
  projectName: PROJECT, jobId: "client-job", pageSize: "10", pageNumber: "0", sortBy: "start_time,desc/status,asc",
} as any);
seen.runs = [runs.totalCount, runs.jobRuns.length];
seen.terminate = await jobs.runs.terminate(PROJECT, "client-job", jobRunId);
for (const api of ["good", "bad"]) {
  const started: any = await run.start(PROJECT, { api, parameters: {}, retry: { maximumAttempts: 1 } } as any);
  const result: any = await wait(() => run.result(PROJECT, started.runId), over);
  seen[api] = [started.status, result.status, result.result ?? null, result.error?.code ?? null];
}
seen.unknownJob = await refusal(jobs.one(PROJECT, "nothing"));
await jobs.delete(PROJECT, "client-job");
seen.afterDelete = await refusal(jobs.one(PROJECT, "client-job"));
seen.wrongKey = await refusal(client("wrong").project.jobs.all(PROJECT));

const parameters = { user: "ada", password: "pass-word-of-ada" };
const made: any = await authSessions.create.start(SHOP, { id: "ada", parameters } as any);
const operation = async (poll: (id: string) => Promise<any>, id: string) => (await wait(() => poll(id), over)).status;
seen.sessionMade = [made.status, await operation((id) => authSessions.create.result(SHOP, id), made.operationId)];
const changed: any = await authSessions.update.start(SHOP, "ada", { parameters } as any);
seen.sessionUpdated = [changed.status, await operation((id) => authSessions.update.result(SHOP, "ada", id), changed.operationId)];
const looked: any = await authSessions.validate.start(SHOP, "ada", {} as any);
seen.sessionValid = [looked.status, await operation((id) => authSessions.validate.result(SHOP, "ada", id), looked.operationId)];
seen.sessions = await authSessions.all(SHOP);
seen.session = await authSessions.one(SHOP, "ada");
await authSessions.delete(SHOP, "ada");
seen.sessionsLeft = await authSessions.all(SHOP);
console.log(JSON.stringify(seen));
