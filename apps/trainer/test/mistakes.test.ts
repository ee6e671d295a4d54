/** What users do by mistake or in a hurry: options that do nothing, splits without rows, readers that leave. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { evaluateModel } from "../src/eval/evaluate-model.ts";
import { describeFeatures } from "../src/commands/inspect.ts";
import { inspect } from "../src/inspect.ts";
import { RequestError } from "../src/errors.ts";
import { checkTrainRequest } from "../src/options.ts";
import { MOST_WORKERS } from "../src/options/running.ts";
import { resume, train } from "../src/train.ts";
import { CLI, foreign, runCli, temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const corpus = at("corpus.arrow");
const options = checkTrainRequest({ latents: 20, k: 3, batch: 64, workers: 2, seed: 1 });
beforeAll(async () => {
  await writeSmallCorpus(corpus);
  await writeSmallCorpus(at("other.arrow"), 500);
  await train([corpus], options, at("run"));
  await train([corpus], { ...options, heldOut: 0, examples: 640 }, at("nothing-held-out"));
});

describe("an option that would do nothing is refused", () => {
  it.each([
    [
      { arch: "autoencoder", widths: [12, 4, 12], decoder: "unit" },
      /^--decoder is for --arch topk or batch-topk or matryoshka or jumprelu or relu or gated/,
    ],
    [{ arch: "autoencoder", widths: [12, 4, 12], init: "data" }, /^--init is for/],
    [{ arch: "autoencoder", widths: [12, 4, 12], initBias: "zero" }, /^--init-bias is for/],
    [{ arch: "autoencoder", widths: [12, 4, 12], fold: "unit" }, /^--fold is for/],
    [{ arch: "autoencoder", widths: [12, 4, 12], deadWindow: 5 }, /^--dead-window is for/],
    [{ arch: "autoencoder", widths: [12, 4, 12], applyBDecToInput: false }, /^--apply-b-dec-to-input is for/],
    [{ arch: "topk", outputActivation: "linear" }, /^--output-activation is for --arch autoencoder/],
  ])("%o", (request, message) => {
    expect(() => checkTrainRequest(request)).toThrow(message);
  });
});

describe("a wrong value is answered by what would be right, and what was given", () => {
  it.each([
    [{ evalRows: 0 }, "--eval-rows must be at least 1, got 0"],
    [{ lr: "fast" }, '--lr must be a number above 0, or auto, got "fast"'],
    [{ lr: -1 }, "--lr must be above 0, got -1"],
    [{ batch: 2.5 }, "--batch must be a whole number, got 2.5"],
    [{ batch: "many" }, '--batch must be a number, got "many"'],
    [{ beta1: 1 }, "--beta1 must be below 1, got 1"],
    [{ heldOut: 0.9 }, "--held-out must be at most 0.5, got 0.9"],
    [
      { arch: "vae" },
      '--arch must be topk or batch-topk or matryoshka or jumprelu or relu or gated or autoencoder, got "vae"',
    ],
    [{ arch: "autoencoder", widths: [4, 4] }, "--widths must be a list of at least 3, got [4,4]"],
    [{ arch: "autoencoder", widths: [4, "x", 4] }, '--widths, entry 2, must be a number, got "x"'],
    [{ workers: 100_000 }, `--workers must be at most ${MOST_WORKERS}, got 100000`],
    [{ out: "" }, '--out must be a text that is not empty, got ""'],
    [{ center: "no" }, '--center must be a boolean, got "no"'],
  ])("%o", (request, message) => {
    expect(() => checkTrainRequest(request)).toThrow(new RequestError(message));
  });

  it("also where the corpus decides", async () => {
    const few = checkTrainRequest({ latents: 16 });
    await expect(train([corpus], few, at("never"))).rejects.toThrow(
      "--k is 32 by default: give one of at most the 16 latents",
    );
    await expect(train([corpus], options, corpus)).rejects.toThrow(`${corpus} is a file: give another --out`);
  });
});

it.each([
  [["train", corpus, "--out", ""], "--out is empty: give <text>, or leave it out"],
  [["train", corpus, ""], "<corpus> is empty: give a path"],
  [["train", "--resume", ""], "--resume is empty: give <run directory>, or leave it out"],
  [["eval", "", corpus], "<model> is empty: give a path"],
  [["encode", at("run"), corpus, "--out", ""], "--out is empty: give <file.arrow>"],
  [["corpus", "pack", "", corpus], "<file> is empty: give a path"],
])("an empty value is refused in one line: %j", async (args, line) => {
  expect(await runCli(args)).toEqual({ status: 2, stdout: "", stderr: `error: ${line}\n` });
});

it.each([
  [["eval", corpus, at("run")], `${corpus} is a file: a model is a folder, that of a run or SAELens's`],
  [["train", corpus, "--config", at("run")], `is a folder: give a file, such as ${at("run/config.json")}`],
  [["encode", at("run"), corpus, "--out", folder], `${folder}: is there and is not a regular file`],
  [["export", at("run"), "--out", corpus], `--out ${corpus} is a file: give a folder`],
  [["eval", at("run"), corpus, "--features", corpus], "is it a safetensors file?"],
])("a file in the place of a folder, or of another kind, is named in one line: %j", async (args, line) => {
  const { status, stderr } = await runCli(args);
  expect([status, stderr]).toEqual([2, expect.stringContaining(line)]);
  expect(stderr).toMatch(/^error: [^\n]+\n$/);
});

it("corpus generate refuses magnitudes below 0, which no latent could have", async () => {
  const shape = ["--d", "8", "--features", "4", "--rows", "10", "--uniform", "--spread", "3"];
  expect(await runCli(["corpus", "generate", at("negative.arrow"), ...shape])).toEqual({
    status: 2,
    stdout: "",
    stderr:
      "error: --spread must be at most --magnitude 1 with --uniform, got 3: some magnitudes would be negative\n",
  });
});

it("what is quoted in an error of one line is in that line, too", async () => {
  await writeFile(at("broken.json"), "{\n\n  latents");
  const { stderr } = await runCli(["train", corpus, "--config", at("broken.json")]);
  expect(stderr).toMatch(/^error: --config \S+ cannot be read: [^\n]+\n$/);
});

describe("eval", () => {
  const common = { rows: 1000, workers: 2 };

  it("refuses a split without rows rather than to print NaN", async () => {
    const run = evaluateModel(at("nothing-held-out"), [corpus], { ...common, split: "held-out" });
    await expect(run).rejects.toThrow('no row of the corpus is in the split "held-out"');
  });

  it("warns that rows of another corpus are not those held out from training", async () => {
    const warningsOn = async (path: string, split: "all" | "held-out") =>
      (await evaluateModel(at("run"), [path], { ...common, split })).warnings;
    expect(await warningsOn(corpus, "held-out")).toEqual([]);
    expect(await warningsOn(at("other.arrow"), "all")).toEqual([]);
    expect(await warningsOn(at("other.arrow"), "held-out")).toEqual([
      expect.stringMatching(/not trained on this very corpus/),
    ]);
  });
});

describe("a document column that is not read", () => {
  it("is refused with what helps in the command, by flags that it has", async () => {
    await writeSmallCorpus(at("documents-1.arrow"), 500, 10);
    await writeSmallCorpus(at("documents-2.arrow"), 300);
    const documents = at("documents-*.arrow");
    const refusal = async (...args: string[]): Promise<string> => (await runCli(args)).stderr;
    const line = (hint: string): RegExp =>
      new RegExp(
        `^error: column "document": cannot serve to hold out whole documents: [^;]+ \\(${hint}\\)\\n$`,
      );
    for (const split of ["train", "held-out"])
      expect(await refusal("eval", at("run"), documents, "--split", split)).toMatch(line("--split all"));
    const parts = ["corpus", "split", documents, "--out", at("parts")];
    expect(await refusal(...parts)).toMatch(line("--document-column"));
    expect(await refusal("train", documents, "--out", at("documents"))).toMatch(
      line("--document-column, or --held-out 0 without it"),
    );
  });
});

describe("inspect", () => {
  it("shows the features of a small dictionary, all of which are active often", async () => {
    const report = await inspect(at("run"), [corpus], { features: 5, top: 4, rows: 3000, workers: 2 });
    expect(Math.min(...report.features.map(({ density }) => density))).toBeGreaterThan(0.05);
    expect(report.features).toHaveLength(5);
    expect(report.leftOut).toMatchObject({ rare: 0, dense: 0, unsampled: 0 });
  });

  it("refuses a label that is not there before it looks at any row, and says why a column is none", async () => {
    const table = foreign("unknown-types.file.arrow");
    await train([table], checkTrainRequest({ latents: 8, k: 2, batch: 5, workers: 1 }), at("foreign"));
    const refusal = async (...flags: string[]): Promise<string> =>
      (await runCli(["inspect", at("foreign"), table, ...flags])).stderr;
    const why = "(type RunEndEncoded<Int32, Utf8> is not read as a label)";
    expect(await refusal("--label", "runs")).toBe(
      `error: --label: the corpus has no label column runs ${why}; it has token\n`,
    );
    expect(await refusal("--where", "runs = 'a'")).toContain(
      `there is no label column runs ${why}, there are: token (in: `,
    );
    expect(await refusal("--exclude-tokens", "1", "--token-column", "runs")).toContain(
      `there is no label column "runs" ${why} to exclude tokens by; there are: "token"`,
    );
  });

  it("says why features are left out, every one, and shows them when asked to", async () => {
    const options = { features: 1000, rows: 3000, workers: 2 };
    const few = await inspect(at("run"), [corpus], { ...options, top: 1000 });
    expect(few.features).toHaveLength(0);
    expect(few.leftOut.rare + few.neverActive).toBe(few.latents);
    expect(describeFeatures(few)).toContain(`left out: ${few.leftOut.rare} active on fewer rows than --top`);

    const some = await inspect(at("run"), [corpus], { ...options, top: 8 });
    const { rare, dense, unsampled, overlapping } = some.leftOut;
    expect(rare + dense + unsampled + overlapping + some.neverActive + some.features.length).toBe(
      some.latents,
    );
    expect(overlapping).toBeGreaterThan(0);

    const all = await inspect(at("run"), [corpus], { ...options, top: 1000, all: true });
    expect(all.features.length + all.neverActive).toBe(all.latents);
    expect(all.leftOut).toEqual({ rare: 0, dense: 0, unsampled: 0, overlapping: 0 });
    expect(all.features.every(({ top }) => top.length > 0)).toBe(true);
  });

  it("shows labels in one line each, without commands to the terminal", () => {
    const label = `\u001b[2Jred\nnext\u009b${"x".repeat(200)}`;
    const feature = { latent: 1, density: 0.01, coherence: 1, top: [{ row: 0, value: 1, label }] };
    const leftOut = { rare: 0, dense: 0, unsampled: 0, overlapping: 0 };
    const text = describeFeatures({
      model: "m",
      rows: 9,
      filteredRows: 0,
      latents: 2,
      neverActive: 0,
      leftOut,
      label: "token",
      order: "given",
      features: [feature],
      warnings: [],
    });
    const line = text.split("\n").at(-1)!;
    expect(line).toContain("\\u001b[2Jred\\u000anext\\u009bxxx");
    expect(line).toMatch(/x…$/);
    expect(line.length).toBeLessThan(150);
  });

  it("shows latents that are named, in the order given, and no others", async () => {
    const options = { features: 1, top: 3, rows: 3000, workers: 2 };
    const report = await inspect(at("run"), [corpus], { ...options, latents: [7, 2] });
    expect(report.features.map(({ latent }) => latent)).toEqual([7, 2]);
    expect(describeFeatures(report)).toMatch(/^2 of \d+ features \(/);
    const beyond = ["inspect", at("run"), corpus, "--latents", `1,${report.latents}`];
    expect((await runCli(beyond)).stderr).toBe(
      `error: --latents must be below the model's ${report.latents} latents, got ${report.latents}\n`,
    );
  });
});

describe("an interrupt while the result is measured", () => {
  it("ends the run without a model; resuming measures again", async () => {
    const out = at("interrupted");
    const controller = new AbortController();
    const result = await train([corpus], { ...options, examples: 640 }, out, {
      signal: controller.signal,
      onMetrics: ({ step }) => {
        if (step === 10) controller.abort();
      },
    });
    expect(result).toMatchObject({ complete: false, steps: 10 });
    expect(existsSync(join(out, "model"))).toBe(false);
    expect(await resume(out, {})).toMatchObject({ complete: true, steps: 10 });
    expect(existsSync(join(out, "model"))).toBe(true);
  });
});

describe("a reader of the progress that leaves", () => {
  it("does not end the run", async () => {
    const out = at("unwatched");
    const args = ["--latents", "20", "--k", "3", "--batch", "64", "--epochs", "100", "--out", out];
    const child = spawn(process.execPath, [CLI, "train", corpus, ...args], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    child.stderr.once("data", () => child.stderr.destroy());
    const status = await new Promise((resolve) => child.on("exit", resolve));
    expect(status).toBe(0);
    expect(existsSync(join(out, "result.json"))).toBe(true);
  });
});
