/** What a stopped run goes on with: the same log, the same numbers, whatever became of the session before. */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { appendFile, mkdir, rename, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { shellQuoted } from "../src/errors.ts";
import { checkTrainRequest } from "../src/options.ts";
import { readRunConfig } from "../src/run/config.ts";
import { RunLock } from "../src/run/lock.ts";
import { resume, train } from "../src/train.ts";
import { CLI, stateBytes, temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const corpus = at("corpus.arrow");
beforeAll(() => writeSmallCorpus(corpus));

/** 103 steps: neither the checkpoints nor the end fall on a line of the log. */
const OPTIONS = checkTrainRequest({
  latents: 40,
  k: 3,
  batch: 64,
  examples: 103 * 64,
  logEvery: 10,
  checkpointEvery: 25,
  workers: 2,
  seed: 1,
});

/** The lines of `metrics.jsonl` without what depends on the clock. */
function logOf(runDirectory: string): object[] {
  const text = readFileSync(join(runDirectory, "metrics.jsonl"), "utf8");
  return text
    .trim()
    .split("\n")
    .map((line) => {
      const { activationsPerSecond: _, elapsedMs: __, ...rest } = JSON.parse(line) as Record<string, number>;
      return rest;
    });
}

describe("a resumed run", () => {
  it.each(["window", "full", "none"] as const)(
    "ends with the bytes of one without a stop, by --shuffle %s in small windows",
    async (shuffle) => {
      const options = { ...OPTIONS, shuffle, windowMb: 0.01, examples: 30 * 64, checkpointEvery: 100 };
      await train([corpus], options, at(`${shuffle}-whole`));
      await train([corpus], { ...options, stopAt: 17 }, at(`${shuffle}-stopped`));
      await resume(at(`${shuffle}-stopped`), {});
      const [whole, stopped] = await Promise.all(
        ["whole", "stopped"].map((name) => stateBytes(at(`${shuffle}-${name}`), 30)),
      );
      expect(stopped).toEqual(whole);
      const { corpus: found } = await readRunConfig(at(`${shuffle}-whole`));
      expect(found.windows.shuffle).toBe(shuffle);
      // The corpus is one block; rows by themselves do without.
      expect(found.windows.windowsPerEpoch > 3).toBe(shuffle === "full");
    },
  );
});

describe("a run that is resumed under other kernels", () => {
  it("must be allowed to each time, and tells of all of them in its result and its model", async () => {
    const out = at("other-kernels");
    await train([corpus], { ...OPTIONS, stopAt: 5 }, out);
    const { kernelVariant } = await readRunConfig(out);
    const refusal = new RegExp(`made with kernels ${kernelVariant}, these are reference`);
    await expect(resume(out, { kernels: "reference" })).rejects.toThrow(refusal);
    const allowed = { kernels: "reference", allowDifferentKernels: true } as const;
    const stopped = await resume(out, { ...allowed, stopAt: 7 });
    expect(stopped.kernelVariants).toEqual([kernelVariant, "reference"]);
    await expect(resume(out, { kernels: "reference" })).rejects.toThrow(refusal);
    const { kernelVariants } = await resume(out, {});
    expect(kernelVariants).toEqual([kernelVariant, "reference"]);
    const cfg = readFileSync(join(out, "model/cfg.json"), "utf8");
    expect(JSON.parse(cfg)).toMatchObject({ metadata: { sparseloom: { kernelVariants } } });
  });
});

describe("metrics.jsonl of a resumed run", () => {
  let whole: object[];
  beforeAll(async () => {
    await train([corpus], OPTIONS, at("whole"));
    whole = logOf(at("whole"));
  });

  it("is that of a run without a stop, wherever it stopped", async () => {
    expect(whole).toHaveLength(11);
    const out = at("stopped");
    await train([corpus], { ...OPTIONS, stopAt: 37 }, out);
    expect(logOf(out).at(-1)).toMatchObject({ step: 37 });
    await resume(out, { stopAt: 58 });
    await resume(out, {});
    expect(logOf(out)).toEqual(whole);
  });

  it("is that of a run without a stop when a session went on after its last checkpoint", async () => {
    const out = at("crashed");
    await train([corpus], { ...OPTIONS, stopAt: 55 }, out);
    await rm(join(out, "checkpoints", "55"), { recursive: true });
    await appendFile(join(out, "metrics.jsonl"), '{"step":60,"examp');
    await resume(out, {});
    expect(logOf(out)).toEqual(whole);
  });

  it("has its last line when the session ended after the last checkpoint and before the result", async () => {
    const out = at("unfinished");
    const result = await train([corpus], OPTIONS, out);
    for (const name of ["result.json", "model", "metrics.jsonl"])
      await rm(join(out, name), { recursive: true });
    const again = await resume(out, {});
    expect(logOf(out)).toEqual(whole.slice(-1));
    const { fvu, l0, loss, dead, heldOut } = result;
    expect(again).toMatchObject({ fvu, l0, loss, dead, heldOut });
  });
});

describe("resume", () => {
  it("begins again when the run was killed before its first checkpoint", async () => {
    const whole = at("whole-2");
    const result = await train([corpus], OPTIONS, whole);
    const out = at("killed-early");
    await train([corpus], { ...OPTIONS, stopAt: 20 }, out);
    await rm(join(out, "checkpoints"), { recursive: true });
    const notices: string[] = [];
    await resume(out, {}, { onNotice: (line) => notices.push(line) });
    expect(notices).toEqual([`${out} has no checkpoint yet: starting from the beginning`]);
    expect(logOf(out)).toEqual(logOf(whole));
    expect(await stateBytes(out, result.steps)).toEqual(await stateBytes(whole, result.steps));
  });

  it("refuses to stop at a step that is past", async () => {
    const out = at("past");
    await train([corpus], { ...OPTIONS, stopAt: 50 }, out);
    await expect(resume(out, { stopAt: 30 })).rejects.toThrow(
      "--stop-at 30 is past: the run stands at step 50",
    );
  });

  it("leaves the checkpoint that it began at as it is when there is nothing to do", async () => {
    const out = at("nothing-to-do");
    await train([corpus], { ...OPTIONS, stopAt: 50 }, out);
    const before = statSync(join(out, "checkpoints", "50")).ino;
    const { steps, complete } = await resume(out, { stopAt: 50 });
    expect([steps, complete]).toEqual([50, false]);
    expect(statSync(join(out, "checkpoints", "50")).ino).toBe(before);
  });

  it("gives the result of a complete run that was moved under its new name", async () => {
    await train([corpus], { ...OPTIONS, examples: 640 }, at("before"));
    await rename(at("before"), at("after"));
    expect((await resume(at("after"), {})).runDirectory).toBe(at("after"));
  });

  it("reads the files that a glob named at the start, whatever it would find by then", async () => {
    // The folder's own name must not be taken for a part of the pattern.
    const data = at("[data] 1");
    await mkdir(data);
    await writeSmallCorpus(join(data, "a.arrow"));
    const out = at("globbed");
    const before = process.cwd();
    try {
      process.chdir(data);
      await train(["*.arrow"], { ...OPTIONS, stopAt: 20 }, out);
    } finally {
      process.chdir(before);
    }
    await writeSmallCorpus(join(data, "b.arrow"), 50);
    expect(await resume(out, {})).toMatchObject({ complete: true });
  });

  it("clears away what a process left that was killed while it wrote", async () => {
    const out = at("leftovers");
    await train([corpus], { ...OPTIONS, stopAt: 30 }, out);
    await mkdir(join(out, "checkpoints", "37.partial"));
    await writeFile(join(out, "checkpoints", "37.partial", "state.safetensors"), "half");
    await writeFile(join(out, "lock"), '{"pid": 12');
    await resume(out, { stopAt: 31 });
    expect(readdirSync(join(out, "checkpoints")).toSorted()).toEqual(["25", "30", "31"]);
    expect(readdirSync(out)).not.toContain("lock");
  });
});

describe("a run directory", () => {
  it("is written by one process at a time", async () => {
    const out = at("shared");
    await train([corpus], { ...OPTIONS, stopAt: 5 }, out);
    const second = Promise.withResolvers<unknown>();
    const first = resume(out, {}, { onStart: () => second.resolve(resume(out, {})) });
    await expect(second.promise).rejects.toThrow(
      `${out} is being written by process ${process.pid}: wait for it to end, or give another directory`,
    );
    expect(await first).toMatchObject({ complete: true, steps: 103 });
  });

  it("is taken over from a process that is gone, which would notice before its next checkpoint", async () => {
    const out = at("taken-over");
    await mkdir(out);
    const gone = { pid: 2 ** 22 + 1, host: hostname(), started: "1", token: "theirs" };
    await writeFile(join(out, "lock"), JSON.stringify(gone));
    await using lock = await RunLock.acquire(out);
    await expect(lock.check()).resolves.toBeUndefined();
    await writeFile(join(out, "lock"), JSON.stringify(gone));
    await expect(lock.check()).rejects.toThrow(/another process has taken over the run directory/);
  });

  it("is taken over from another machine, whose processes cannot be seen, with a notice", async () => {
    const out = at("other-machine");
    await train([corpus], { ...OPTIONS, stopAt: 5 }, out);
    const theirs = { pid: 7, host: "elsewhere", started: "1", token: "theirs" };
    await writeFile(join(out, "lock"), JSON.stringify(theirs));
    const notices: string[] = [];
    await resume(out, { stopAt: 6 }, { onNotice: (line) => notices.push(line) });
    expect(notices).toEqual([
      `${out} was left by, or is being written by, process 7 on elsewhere, which cannot be seen from here: taken over`,
    ]);
  });

  it("stays free when the run cannot begin", async () => {
    const out = at("no-memory");
    await expect(train([corpus], { ...OPTIONS, k: 41 }, out)).rejects.toThrow(/k must be at most/);
    expect(existsSync(out)).toBe(false);
  });

  it.each([
    ["config.json", "null"],
    ["config.json", '{"setup":{},"corpus":{}}'],
    ["result.json", "{"],
    ["result.json", "{}"],
  ])("with a damaged %s (%s) is refused in one line", async (name, text) => {
    const out = at(`damaged-${name}-${text.length}`);
    await train([corpus], { ...OPTIONS, stopAt: 2 }, out);
    await writeFile(join(out, name), text);
    const { status, stderr } = spawnSync(process.execPath, [CLI, "train", "--resume", out], {
      encoding: "utf8",
    });
    expect([status, stderr.trim().split("\n")]).toEqual([
      2,
      [expect.stringMatching(new RegExp(`^error: .*${name} is damaged`))],
    ]);
  });

  it("goes on when its log cannot be written", () => {
    const out = at("full-log");
    const command = `"${process.execPath}" "${CLI}" train "${corpus}" --latents 20 --k 3 --batch 64 --examples 640 --out "${out}" 2>/dev/full`;
    const { status, stdout } = spawnSync("bash", ["-c", command], { encoding: "utf8" });
    expect([status, stdout]).toEqual([0, expect.stringMatching(/^trained 10 steps/)]);
  });

  it("says in one line that its result cannot be printed, and has it all the same", () => {
    const out = at("full-stdout");
    const command = `"${process.execPath}" "${CLI}" train "${corpus}" --latents 20 --k 3 --batch 64 --examples 640 --out "${out}" >/dev/full`;
    const { status, stderr } = spawnSync("bash", ["-c", command], { encoding: "utf8" });
    expect([status, stderr.trim().split("\n").at(-1)]).toEqual([
      1,
      "error: stdout cannot be written (ENOSPC)",
    ]);
    expect(existsSync(join(out, "result.json"))).toBe(true);
  });

  it("whose checkpoint cannot be written ends the run in one line, with the checkpoints before intact", async () => {
    const out = at("full disk");
    await train([corpus], { ...OPTIONS, latents: 400, stopAt: 30 }, out);
    // A limit on the size of files (in KiB) is a disk that is full for the checkpoint, and not for the log.
    const command = `ulimit -f 64; exec "${process.execPath}" "${CLI}" train --resume "${out}"`;
    const { status, stderr } = spawnSync("bash", ["-c", command], {
      encoding: "utf8",
      env: { ...process.env, NODE_DISABLE_COMPILE_CACHE: "1" },
    });
    const lines = stderr.trim().split("\n");
    expect([status, lines.at(-1)]).toEqual([
      1,
      expect.stringMatching(
        /^error: .*checkpoints\/50 cannot be written: EFBIG.*; continue from step 30 with: sparseloom train --resume '/,
      ),
    ]);
    expect(readdirSync(join(out, "checkpoints")).toSorted()).toEqual(["25", "30"]);
    expect((await resume(out, {})).complete).toBe(true);
  });

  it("is named in advice so that a shell takes it as one word", async () => {
    expect(shellQuoted("runs/topk-1")).toBe("runs/topk-1");
    expect(shellQuoted("my run's")).toBe(`'my run'\\''s'`);
  });
});
