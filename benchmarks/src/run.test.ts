/** The runner at tiny shapes: that it measures everything it should, not how fast. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { parseSyntheticPath } from "@sparseloom/data";
import { benchCommand } from "./command.ts";
import { formatEnvironment, readEnvironment } from "./environment.ts";
import { createHost, type Limit, type Opened, type Timed } from "./host.ts";
import { lastWords, LineProcess, LineProcessError } from "./line-process.ts";
import { median, summarise, timeRuns } from "./measure.ts";
import { type Report, runSuites } from "./run.ts";
import { deepWidths, SHAPES, type Shape } from "./shapes.ts";
import { Stopwatch } from "./stopwatch.ts";
import { workerCounts } from "./suites/scaling.ts";
import { syntheticCorpus } from "./suites/synthetic.ts";
import { formatCorpus, formatScaling, formatSynthetic, formatTable } from "./table.ts";

const TINY: Shape = {
  name: "tiny",
  dIn: 16,
  latents: 160,
  k: 3,
  rows: 40,
  referenceRows: 20,
  rounds: 3,
  sampleMs: 0,
  warmupMs: 0,
  trainerSteps: { warmup: 4, timed: 5 },
  densities: [0.25],
};

const KERNELS = [
  "rows to selected latents (TopK)",
  "rows to selected latents (TopK), screened",
  "decode and latent gradients (TopK)",
  "gather and update latents (TopK)",
  "update decoder bias",
  "forward (deep)",
  "forward and deltas (deep)",
  "gradients and update of units (deep)",
];
const STEPS = [
  "TopK, k = 3, exact",
  "TopK, k = 3, screened",
  "ReLU + L1, 25 % active",
  "deep autoencoder 16-32-8-2-8-32-16",
];

await test("both suites measure every kernel and every training step of every variant", async () => {
  const { measurements } = await runSuites({
    suites: ["kernels", "step"],
    shapes: [TINY],
    variants: ["reference", "wasm", "wide"],
    progress: () => {},
  });
  const namesOf = (variant: string, suite: string) =>
    measurements.filter((line) => line.variant === variant && line.suite === suite).map(({ name }) => name);
  for (const variant of ["reference", "wasm", "wide"]) {
    const reference = variant === "reference";
    const products = ["product alone, with group maxima", "integer product alone, with group maxima"];
    const all = (names: readonly string[]) =>
      names.filter((name) => !reference || !name.includes("screened"));
    assert.deepEqual(namesOf(variant, "kernels"), [...(reference ? [] : products), ...all(KERNELS)]);
    assert.deepEqual(namesOf(variant, "step"), all(STEPS));
  }
  for (const { suite, name, rounds, minMs, medianMs, maxMs, ...rest } of measurements) {
    const { rate, limit, share, timesFaster, parts } = rest;
    assert.equal(rounds, 3);
    assert.ok(minMs > 0 && minMs <= medianMs && medianMs <= maxMs);
    assert.ok(rate > 0 && limit > 0 && share > 0 && Number.isFinite(rate + limit + share));
    assert.equal(Object.keys(parts).length > 0, suite === "step");
    assert.equal(timesFaster > 0, /screened|integer/.test(name));
  }
});

await test("a host times what it has opened, and refuses what it has not", async () => {
  const ask = createHost();
  await assert.rejects(ask({ run: 0, atLeastMs: 0 }), /there is no benchmark 0/);
  const opened = (await ask({ open: { suite: "step", shape: TINY, variant: "reference" } })) as Opened;
  assert.deepEqual(
    opened.benchmarks.map(({ name, rows }) => [name, rows]),
    STEPS.filter((name) => !name.includes("screened")).map((name) => [name, TINY.referenceRows]),
  );
  const { ms, parts } = (await ask({ run: 0, atLeastMs: 0 })) as Timed;
  assert.ok(ms > 0);
  assert.deepEqual(Object.keys(parts), ["rows", "decode", "latents", "decoder bias", "rows/selection"]);
  assert.ok(parts["rows/selection"]! <= parts["rows"]!);
  assert.deepEqual(await ask({ release: 0 }), {});
  assert.ok(((await ask({ limit: true })) as Limit).limit > 0);
});

const described = {
  suite: "test",
  name: "count",
  shape: "tiny",
  variant: "wasm",
  rows: 1,
  work: 4e6,
} as const;

await test("each run is prepared, runs fill the time asked for, and what they throw is not swallowed", () => {
  const calls = { prepare: 0, run: 0 };
  const prepare = () => void calls.prepare++;
  const run = () => {
    calls.run++;
    busy(2);
  };
  const parts = () => ({ number: calls.run });
  const benchmark = { ...described, unit: "GFLOP/s", prepare, run, parts } as const;
  const once = timeRuns(benchmark, 0);
  assert.ok(once.ms >= 2);
  assert.deepEqual(once.parts, { number: 1 });
  assert.deepEqual(calls, { prepare: 1, run: 1 });
  const several = timeRuns(benchmark, 10);
  assert.ok(calls.run > 2 && calls.prepare === calls.run);
  // Of the runs 2, 3, … the one in the middle.
  assert.equal(several.parts["number"], (2 + calls.run) / 2);
  const fail = () => {
    throw new Error("no such kernel");
  };
  assert.throws(() => timeRuns({ ...described, unit: "GFLOP/s", run: fail }, 0), /no such kernel/);
});

function busy(ms: number): void {
  const end = performance.now() + ms;
  while (performance.now() < end);
}

await test("a stopwatch tells what was spent within what", () => {
  const stopwatch = new Stopwatch();
  const inner = stopwatch.time("inner", () => performance.now());
  const outer = stopwatch.time("outer", (from: number) => [from, inner(), inner()]);
  assert.equal(outer(7)[0], 7);
  assert.ok(stopwatch.read("outer/inner") <= stopwatch.read("outer"));
  assert.equal(stopwatch.read("inner"), 0);
  inner();
  assert.ok(stopwatch.read("inner") > 0);
  stopwatch.reset();
  assert.equal(stopwatch.read("outer"), 0);
});

await test("figures are medians; shares refer to the limit of the same run", () => {
  const limits = [10, 4, 8];
  const samples = [4, 1, 2].map((ms, round) => ({ ms, parts: { rows: ms / 2 }, limit: limits[round]! }));
  const kernel = summarise({ ...described, unit: "GFLOP/s" }, samples);
  // 1, 4 and 2 GFLOP/s of what the limit was each time: 0.1, 1 and 0.25.
  assert.deepEqual(
    [kernel.medianMs, kernel.minMs, kernel.maxMs, kernel.rate, kernel.limit, kernel.share],
    [2, 1, 4, 2, 8, 0.25],
  );
  assert.deepEqual(kernel.parts, { rows: 1 });
  const step = { ...described, unit: "activations/s", work: 3, equivalentFlop: 32e6 } as const;
  const measured = summarise(step, samples);
  assert.deepEqual([measured.rate, measured.share, measured.timesFaster], [1500, 2, 0]);
  const slower = [8, 1, 8].map((ms) => ({ ms, parts: {} }));
  assert.equal(summarise(step, samples, slower).timesFaster, 2);
  assert.equal(median([3, 1, 2, 10]), 2.5);
  assert.throws(() => median([]), /median of nothing/);
});

await test("the tables align their columns and keep three digits", () => {
  const common = { ...described, suite: "step", rows: 64, rounds: 5, unit: "activations/s" } as const;
  const times = { medianMs: 12.3456, minMs: 9.87654, maxMs: 123.456 };
  const parts = { rows: 10, "decoder bias": 0.01234, "rows/decode": 3 };
  const table = formatTable([
    { ...common, name: "a", ...times, rate: 12_345.6, limit: 50, share: 2.5, timesFaster: 2, parts },
  ]);
  assert.equal(
    table,
    [
      "step, one thread  shape  variant  rows  median ms  min – max ms  activations/s  FMA limit  × the limit  × exact                                    stages, ms",
      "----------------  -----  -------  ----  ---------  ------------  -------------  ---------  -----------  -------  --------------------------------------------",
      "a                 tiny   wasm       64       12.3    9.88 – 123         12,346       50.0         2.50     2.00  rows 10.0 (decode 3.00), decoder bias 0.0123",
    ].join("\n"),
  );
  const scaling = { suite: "scaling", name: "a", shape: "S", rows: 64, rounds: 3, steps: 5 } as const;
  assert.equal(
    formatScaling([{ ...scaling, workers: 2, activationsPerSecond: 999, speedup: 1.9 }]).split("\n")[2],
    "a                     S        64        2            999          1.90",
  );
});

await test("synthetic corpora have the dimension of the shape, and what they add is a share of the step", () => {
  assert.deepEqual(SHAPES.map(syntheticCorpus), [
    "synth:synthsaebench-16k:1/36",
    "synth:synthsaebench-16k:4/9",
    "synth:synthsaebench-16k",
  ]);
  for (const shape of SHAPES) {
    assert.equal(parseSyntheticPath(syntheticCorpus(shape)).options.dIn, shape.dIn);
  }
  const line = {
    suite: "synthetic",
    name: "a",
    shape: "S",
    rows: 64,
    workers: 2,
    rounds: 3,
    steps: 5,
  } as const;
  assert.equal(
    formatSynthetic([{ ...line, fileMs: 10, madeMs: 12.5, share: 0.25 }]).split("\n")[2],
    "a                     S        64        2          12.5       10.0  25.0 %",
  );
});

await test("workers double until there is one for each core", () => {
  assert.deepEqual([1, 2, 3, 4, 6].map(workerCounts), [[1], [1, 2], [1, 2, 3], [1, 2, 4], [1, 2, 4, 6]]);
});

await test("the environment names processor, versions and kernels", () => {
  const environment = readEnvironment();
  const text = formatEnvironment(environment);
  for (const part of [environment.cpu, process.version, process.versions.v8, environment.date]) {
    assert.ok(text.includes(part), part);
  }
  assert.match(formatEnvironment({ ...environment, commit: undefined }), /not a git checkout/);
});

await test("the shapes have layers that divide", () => {
  for (const shape of SHAPES) assert.ok(deepWidths(shape).every(Number.isInteger));
});

const scripted = (script: string, timeoutMs = 10_000) =>
  new LineProcess({ name: "it", command: process.execPath, arguments: ["-e", script], timeoutMs });

await test("a process answers line by line", async () => {
  await using echo = scripted("process.stdin.pipe(process.stdout)");
  assert.deepEqual(await echo.ask({ run: 1 }), { run: 1 });
  assert.deepEqual(await echo.ask({ run: 2 }), { run: 2 });
});

await test("what a failed process said is the error, not the stack below it", () => {
  assert.equal(lastWords("1 %\nTypeError: no\n    at f (a.ts:1)\n\nNode.js v26\n"), "TypeError: no");
  assert.equal(lastWords("out of memory\n"), "out of memory");
  assert.equal(lastWords(""), "");
});

await test("a process that refuses, dies, keeps silent or is not there is an error that names it", async () => {
  await using refuses = scripted(
    'process.stdin.on("data", () => console.log(JSON.stringify({ error: "no" })))',
  );
  await assert.rejects(refuses.ask({}), new LineProcessError("it: no"));
  await using dies = scripted('console.error("out of memory"); process.exit(3)');
  await assert.rejects(dies.ask({}), new LineProcessError("it: it ended with status 3: out of memory"));
  await using silent = scripted("process.stdin.resume()", 50);
  await assert.rejects(silent.ask({}), new LineProcessError("it: no answer for 0.05 s"));
  await using absent = new LineProcess({ name: "it", command: "/nowhere/no-such-command", arguments: [] });
  await assert.rejects(absent.ask({}), /^LineProcessError: it: spawn .*ENOENT/);
});

await test("the command refuses what it does not know with one line and status 2", () => {
  for (const [option, value, known] of [
    ["--shape", "XL", "S, M, L"],
    ["--suite", "peers", "kernels, step, scaling, corpus, synthetic"],
    ["--variant", "fast", "reference, wasm, wide"],
  ] as const) {
    const words = [join(import.meta.dirname, "main.ts"), option, value];
    const { status, stderr, stdout } = spawnSync(process.execPath, words, { encoding: "utf8" });
    assert.equal(status, 2);
    assert.equal(stdout, "");
    assert.match(stderr, new RegExp(`^error: .*"${value}" must be one of ${known}\\.\\n$`));
  }
});

await test("the command prints environment and tables, and writes the same as JSON", async () => {
  const folder = mkdtempSync(join(tmpdir(), "sparseloom-bench-"));
  try {
    const file = join(folder, "report.json");
    const texts: string[] = [];
    const progress: string[] = [];
    const output = {
      out: (text: string) => texts.push(text),
      progress: (text: string) => progress.push(text),
    };
    await benchCommand([TINY], output).parseAsync(
      ["--suite", "step,scaling,corpus", "--corpus-gb", "0.001", "--variant", "reference", "--json", file],
      { from: "user" },
    );
    const { environment, measurements, scaling, corpus } = JSON.parse(readFileSync(file, "utf8")) as Report;
    assert.deepEqual(texts, [
      `${[formatEnvironment(environment), formatTable(measurements), formatScaling(scaling), formatCorpus(corpus)].join("\n\n")}\n`,
    ]);
    assert.equal(measurements.length, STEPS.length - 1);
    assert.ok(scaling.length >= 2 && scaling.every(({ activationsPerSecond }) => activationsPerSecond > 0));
    assert.ok(corpus.length >= 4 && corpus.every(({ rate, share }) => rate > 0 && share > 0));
    assert.equal(progress[1], "step: ReLU + L1, 25 % active at tiny\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
