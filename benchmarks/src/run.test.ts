/** The runner at tiny shapes: that it measures everything it should, not how fast. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { benchCommand } from "./command.ts";
import { formatEnvironment, readEnvironment } from "./environment.ts";
import { measure } from "./measure.ts";
import { type Report, runSuites } from "./run.ts";
import { deepWidths, SHAPES, type Shape } from "./shapes.ts";
import { formatTable } from "./table.ts";

const TINY: Shape = { name: "tiny", dIn: 16, latents: 40, k: 3, rows: 20, iterations: 3 };

await test("both suites measure every kernel and every training step", () => {
  const heard: string[] = [];
  const { measurements } = runSuites(["kernels", "step"], [TINY], ({ name }) => heard.push(name));
  assert.deepEqual(
    measurements.map(({ suite, name, unit }) => `${suite}: ${name} in ${unit}`),
    [
      "kernels: encode and select rows (TopK) in GFLOP/s",
      "kernels: decode rows (TopK) in GFLOP/s",
      "kernels: gather and update latents (TopK) in GFLOP/s",
      "kernels: update decoder bias in GFLOP/s",
      "kernels: propagate rows (deep) in GFLOP/s",
      "kernels: update units (deep) in GFLOP/s",
      "step: TopK, k = 3 in activations/s",
      "step: ReLU + L1 in activations/s",
      "step: deep autoencoder 16-32-8-2-8-32-16 in activations/s",
    ],
  );
  assert.deepEqual(
    heard,
    measurements.map(({ name }) => name),
  );
  for (const { shape, rows, iterations, minMs, medianMs, maxMs, rate } of measurements) {
    assert.deepEqual([shape, rows, iterations], ["tiny", 20, 3]);
    assert.ok(minMs > 0 && minMs <= medianMs && medianMs <= maxMs && rate > 0 && Number.isFinite(rate));
  }
});

await test("a benchmark runs as often as it says after one run that is not counted", () => {
  const calls = { prepare: 0, run: 0 };
  measure({
    suite: "test",
    name: "count",
    shape: "tiny",
    rows: 1,
    iterations: 4,
    work: 1,
    unit: "GFLOP/s",
    prepare: () => void calls.prepare++,
    run: () => void calls.run++,
  });
  assert.deepEqual(calls, { prepare: 5, run: 5 });
});

await test("a benchmark that throws is not swallowed", () => {
  const broken = { suite: "test", name: "broken", shape: "tiny", rows: 1, iterations: 1, work: 1 } as const;
  const run = () => {
    throw new Error("no such kernel");
  };
  assert.throws(() => measure({ ...broken, unit: "GFLOP/s", run }), /no such kernel/);
});

await test("the table aligns its columns and keeps three digits", () => {
  const common = { suite: "step", rows: 64, iterations: 5, unit: "activations/s" } as const;
  const table = formatTable([
    { ...common, name: "a", shape: "S", medianMs: 12.3456, minMs: 9.87654, maxMs: 123.456, rate: 12_345.6 },
    { ...common, name: "longer", shape: "L", medianMs: 0.01234, minMs: 0.0111, maxMs: 1, rate: 7.5 },
  ]);
  assert.equal(
    table,
    [
      "suite  name    shape  rows  runs  median ms   min – max ms                 rate",
      "-----  ------  -----  ----  ----  ---------  -------------  -------------------",
      "step   a       S        64     5       12.3     9.88 – 123  12346 activations/s",
      "step   longer  L        64     5     0.0123  0.0111 – 1.00   7.50 activations/s",
    ].join("\n"),
  );
});

await test("the environment names processor, versions and kernels", () => {
  const environment = readEnvironment();
  const text = formatEnvironment(environment);
  for (const part of [environment.cpu, process.version, process.versions.v8, "reference", environment.date]) {
    assert.ok(text.includes(part), part);
  }
  assert.match(formatEnvironment({ ...environment, commit: undefined }), /not a git checkout/);
});

await test("the shapes have layers that divide", () => {
  for (const shape of SHAPES) assert.ok(deepWidths(shape).every(Number.isInteger));
});

const bench = (...words: string[]) =>
  spawnSync(process.execPath, [join(import.meta.dirname, "main.ts"), ...words], { encoding: "utf8" });

await test("the command refuses what it does not know with one line and status 2", () => {
  for (const [option, value, known] of [
    ["--shape", "XL", "S, M, L"],
    ["--suite", "peers", "kernels, step"],
  ] as const) {
    const { status, stderr, stdout } = bench(option, value);
    assert.equal(status, 2);
    assert.equal(stdout, "");
    assert.match(stderr, new RegExp(`^error: .*"${value}" must be one of ${known}\\.\\n$`));
  }
});

await test("the command prints environment and table, and writes the same as JSON", () => {
  const folder = mkdtempSync(join(tmpdir(), "sparseloom-bench-"));
  try {
    const file = join(folder, "report.json");
    const texts: string[] = [];
    const progress: string[] = [];
    benchCommand([TINY], { out: (text) => texts.push(text), progress: (text) => progress.push(text) }).parse(
      ["--suite", "step", "--json", file],
      { from: "user" },
    );
    const { environment, measurements } = JSON.parse(readFileSync(file, "utf8")) as Report;
    assert.deepEqual(texts, [`${formatEnvironment(environment)}\n\n${formatTable(measurements)}\n`]);
    assert.equal(measurements.length, 3);
    assert.equal(progress[1], "step: ReLU + L1 at tiny\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
});
