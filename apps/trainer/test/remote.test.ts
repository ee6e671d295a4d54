/** Training from a server: the same bits as from the file, and what happens when the object changes or is lost. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { ObjectServer } from "../../../packages/data/test/object-server.ts";
import { listCheckpoints } from "../src/run/checkpoint.ts";
import { CLI, runCli, stateBytes, temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const file = join(folder, "acts.arrow");
const STEPS = 70;
const OPTIONS = "--latents 32 --k 4 --batch 256 --epochs 6 --workers 1".split(" ");
/** More epochs than the tests wait for, with many checkpoints. */
const LONG = [...OPTIONS.with(OPTIONS.indexOf("6"), "500"), "--checkpoint-every", "5"];

let server: ObjectServer;
let url: string;
beforeAll(async () => {
  await writeSmallCorpus(file);
  server = await ObjectServer.start();
  url = `${server.origin}/acts.arrow`;
  // The command's processes inherit it.
  process.env["XDG_CACHE_HOME"] = join(folder, "cache");
});
afterAll(async () => {
  delete process.env["XDG_CACHE_HOME"];
  delete process.env["SPARSELOOM_CACHE_SIZE"];
  await server[Symbol.asyncDispose]();
});
beforeEach(async () => {
  process.env["SPARSELOOM_CACHE_SIZE"] = "0";
  server.put("/acts.arrow", await readFile(file));
  server.fault = () => undefined;
  server.requests.length = 0;
});

describe("train http://…", () => {
  it("gives the bits that the file gives, in spite of faults, also when it is resumed", async () => {
    server.fault = (_request, number) => (number % 4 === 3 ? { kind: "drop", after: 10_000 } : undefined);
    const [local, remote] = [join(folder, "local"), join(folder, "remote")];
    expect(await runCli(["train", file, ...OPTIONS, "--out", local])).toMatchObject({ status: 0 });
    const stopped = await runCli(["train", url, ...OPTIONS, "--stop-at", "20", "--out", remote]);
    expect(stopped).toMatchObject({ status: 0 });
    expect(await runCli(["train", "--resume", remote])).toMatchObject({ status: 0 });
    expect((await stateBytes(remote, STEPS)).equals(await stateBytes(local, STEPS))).toBe(true);
  });

  it("reads each block from the server once, where there is a cache", async () => {
    process.env["SPARSELOOM_CACHE_SIZE"] = "1GB";
    const out = join(folder, "cached");
    expect(await runCli(["train", url, ...OPTIONS, "--out", out])).toMatchObject({ status: 0 });
    const asked = server.requests.map(({ first, last }) => `${first}-${last}`);
    expect(asked.length).toBeGreaterThan(2);
    expect(new Set(asked).size).toBe(asked.length);
  });

  it("stops with one line when the object changes in mid-training, and keeps its checkpoints", async () => {
    const bytes = await readFile(file);
    server.fault = (_request, number) => {
      if (number === 20) server.put("/acts.arrow", bytes.with(5000, 1));
      return undefined;
    };
    const out = join(folder, "changed");
    const run = await runCli(["train", url, ...LONG, "--out", out]);
    expect(run.status).toBe(1);
    expect(run.stderr.trim().split("\n").at(-1)).toMatch(
      /^error: http:.*\/acts\.arrow: the object changed while it was in use \(.*\); start again$/,
    );
    expect(run.stderr).not.toMatch(/^\s+at /m);
    const [newest] = await listCheckpoints(out);
    expect(newest).toBeGreaterThan(0);
    // The object is back: the run goes on from an intact checkpoint.
    server.put("/acts.arrow", bytes);
    server.fault = () => undefined;
    const resumed = await runCli(["train", "--resume", out, "--stop-at", String(newest! + 1)]);
    expect(resumed).toMatchObject({ status: 0 });
  });

  it("names the checkpoint to go on from when the server fails for good", async () => {
    server.fault = (_request, number) => (number > 20 ? { kind: "status", status: 403 } : undefined);
    const out = join(folder, "lost");
    const run = await runCli(["train", url, ...LONG, "--out", out]);
    expect(run.status).toBe(1);
    expect(run.stderr.trim().split("\n").at(-1)).toMatch(
      /^error: http:.*\/acts\.arrow: the server refuses to give it \(403: Forbidden\).*; continue from step \d+ with: sparseloom train --resume .*lost$/,
    );
  });

  it("can be interrupted while it waits for the server, before the first step", async () => {
    const out = join(folder, "interrupted");
    const args = [CLI, "train", url, ...OPTIONS, "--out", out];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
    server.fault = (_request, number) => {
      if (number === 0) return undefined;
      child.kill("SIGTERM");
      return { kind: "stall" };
    };
    let stderr = "";
    child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
    expect(await new Promise((resolve) => child.on("close", resolve))).toBe(143);
    expect(stderr.trim().split("\n").at(-1)).toBe(
      "error: SIGTERM before the first step: nothing was written",
    );
    expect(existsSync(out)).toBe(false);
  });

  it("saves and leaves at once when it is interrupted in mid-training while the server is silent", async () => {
    const [local, remote] = [join(folder, "uninterrupted"), join(folder, "silent")];
    const child = spawn(process.execPath, [CLI, "train", url, ...LONG, "--out", remote], { stdio: "ignore" });
    server.fault = (_request, number) => {
      if (number < 20) return undefined;
      if (number === 20) child.kill("SIGINT");
      return { kind: "stall" };
    };
    expect(await new Promise((resolve) => child.on("close", resolve))).toBe(130);
    const newest = Math.max(...(await listCheckpoints(remote)));
    expect(newest).toBeGreaterThan(0);
    // What was saved goes on as if nothing had been.
    server.fault = () => undefined;
    const until = String(newest + 20);
    expect(await runCli(["train", "--resume", remote, "--stop-at", until])).toMatchObject({ status: 0 });
    const whole = ["train", file, ...LONG, "--out", local, "--stop-at", until];
    expect(await runCli(whole)).toMatchObject({ status: 0 });
    expect((await stateBytes(remote, newest + 20)).equals(await stateBytes(local, newest + 20))).toBe(true);
  });

  it("refuses what cannot be opened, with status 2", async () => {
    expect(await runCli(["train", `${server.origin}/none.arrow`])).toEqual({
      status: 2,
      stdout: "",
      stderr: `error: ${server.origin}/none.arrow: there is no such object (404: Not Found)\n`,
    });
  });
});
