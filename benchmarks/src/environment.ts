/** What the figures were measured on: without it a table of times means nothing. */
import { spawnSync } from "node:child_process";
import { cpus, loadavg, totalmem } from "node:os";
import { bestKernelVariant } from "@sparseloom/core";

/** The machine and the versions behind a report. */
export interface Environment {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  /** Processes that wanted a core in the last minute; more than a few and the machine was not ours alone. */
  readonly load: number;
  readonly node: string;
  readonly v8: string;
  /** ISO 8601, UTC. */
  readonly date: string;
  /** The fastest kernel variant of this machine, as in a run's config.json. */
  readonly kernels: string;
  /** Short hash of the source, "+" when it was changed since; undefined outside a git checkout. */
  readonly commit: string | undefined;
}

/** Looks at this machine. */
export function readEnvironment(): Environment {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? "unknown",
    cores: processors.length,
    memoryGiB: Math.round((totalmem() / 2 ** 30) * 10) / 10,
    load: Math.round(10 * loadavg()[0]!) / 10,
    node: process.version,
    v8: process.versions.v8,
    date: new Date().toISOString(),
    kernels: bestKernelVariant(),
    commit: readCommit(),
  };
}

/** The checkout's commit. Undefined where there is no git or no checkout, which is nobody's mistake. */
function readCommit(): string | undefined {
  const git = (...words: string[]) => spawnSync("git", words, { cwd: import.meta.dirname, encoding: "utf8" });
  const head = git("rev-parse", "--short", "HEAD");
  if (head.status !== 0) return undefined;
  return head.stdout.trim() + (git("status", "--porcelain").stdout === "" ? "" : "+");
}

/** The environment as lines of text. */
export function formatEnvironment(environment: Environment): string {
  const { cpu, cores, memoryGiB, load, node, v8, date, kernels, commit } = environment;
  return [
    `cpu      ${cpu}, ${cores} cores, ${memoryGiB} GiB; load ${load} at the end`,
    `node     ${node} (V8 ${v8})`,
    `kernels  ${kernels}`,
    `commit   ${commit ?? "not a git checkout"}`,
    `date     ${date}`,
  ].join("\n");
}
