/** SIGHUP, which a terminal that is closed sends: a run ends as at SIGTERM, unless it was started to outlive its terminal. */
import { spawn, type SpawnOptions } from "node:child_process";
import { existsSync, openSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { shellQuoted } from "../src/errors.ts";
import { CLI, temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const corpus = at("corpus.arrow");
beforeAll(() => writeSmallCorpus(corpus));

/** Trains in a process group, to which signals are sent once a step is logged. */
async function trainUntil(
  out: string,
  signals: readonly NodeJS.Signals[],
  { before = "", ...options }: SpawnOptions & { readonly before?: string },
): Promise<{ status: number | null; stderr: string }> {
  const flags = ["--latents", "20", "--k", "3", "--batch", "64", "--epochs", "40", "--log-every", "1"];
  const words = [process.execPath, CLI, "train", corpus, ...flags, "--workers", "1", "--out", out];
  const command = words.map(shellQuoted).join(" ");
  const child = spawn("/bin/sh", ["-c", `${before}${command}; exit $?`], {
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
    ...options,
    // What ran the tests may have been started by nohup itself.
    env: { ...process.env, _: CLI, ...options.env },
  });
  let stderr = "";
  let sent = false;
  child.stderr?.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
    if (sent || !/ step \d/.test(stderr) || child.pid === undefined) return;
    sent = true;
    for (const signal of signals) process.kill(-child.pid, signal);
  });
  const status = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { status, stderr };
}

describe("SIGHUP", () => {
  it("ends a run with a checkpoint, also where the terminal and its shell both send it", async () => {
    const out = at("hung-up");
    const { status, stderr } = await trainUntil(out, ["SIGHUP", "SIGHUP"], { before: "exec " });
    expect(stderr).toContain("SIGHUP: finishing the step and saving a checkpoint");
    expect(status).toBe(143);
    expect(existsSync(join(out, "checkpoints"))).toBe(true);
    expect(existsSync(join(out, "model"))).toBe(false);
  });

  it.each<[string, () => SpawnOptions & { readonly before?: string }]>([
    ["started by nohup, as a shell says", () => ({ before: "exec ", env: { _: "/usr/bin/nohup" } })],
    [
      "with what nohup gives instead of a terminal's input",
      () => ({ before: "exec ", stdio: [openSync(at("unreadable"), "w"), "ignore", "pipe"] }),
    ],
    ["of a script that ignores it", () => ({ before: "trap '' HUP\n" })],
  ])("does not end a run %s", async (name, options) => {
    const out = at(name);
    const { status, stderr } = await trainUntil(out, ["SIGHUP"], options());
    expect([status, stderr]).toEqual([0, expect.not.stringContaining("SIGHUP")]);
    expect(existsSync(join(out, "model"))).toBe(true);
  });
});
