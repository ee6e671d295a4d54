/** What the command says of requests that are odd: numbers of long runs in short ones, models that are not there, columns. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { writeCorpus } from "@sparseloom/data";
import { beforeAll, describe, expect, it } from "vitest";
import { describeGroup } from "../src/group/describe.ts";
import { trainGroup } from "../src/group/train-group.ts";
import { expandGrid } from "../src/group/grid.ts";
import { describeResult } from "../src/commands/train.ts";
import { evaluateModel } from "../src/eval/evaluate-model.ts";
import { inspect } from "../src/inspect.ts";
import { checkTrainRequest, type TrainRequest } from "../src/options.ts";
import { readRunConfig } from "../src/run/config.ts";
import { readModel } from "../src/run/model-folder.ts";
import { resume, train } from "../src/train.ts";
import { writePairedColumns } from "./paired-columns.ts";
import { runCli, temporaryFolder, writeSmallCorpus } from "./support.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const corpus = at("corpus.arrow");
const BASE: TrainRequest = { latents: 20, batch: 100, examples: 1000, workers: 1 };
beforeAll(async () => {
  await writeSmallCorpus(corpus);
  await writePairedColumns(at("paired.arrow"), 600);
  await train(
    [at("paired.arrow")],
    checkTrainRequest({ ...BASE, columns: ["before", "after"], k: 3 }),
    at("cross"),
  );
  const equal = { before: 12, after: 12 };
  await writePairedColumns(at("equal.arrow"), 600, { before: "first", after: "second" }, equal);
  await writePairedColumns(at("renamed.arrow"), 600, { before: "third", after: "second" }, equal);
  const narrow = { before: 9, after: 12 };
  await writePairedColumns(at("narrow.arrow"), 600, { before: "narrow", after: "wide" }, narrow);
  for (const [name, which] of Object.entries({
    "equal-widths": { columns: ["first", "second"] },
    "transcoder-of-equal-widths": { column: "first", target: "second" },
  }))
    await train([at("equal.arrow")], checkTrainRequest({ ...BASE, ...which, k: 3 }), at(name));
});

describe("a warning", () => {
  it.each<[string, TrainRequest, string[]]>([
    ["none for a run in order", { k: 3, lrWarmup: 10, deadWindow: 500, auxK: 4 }, []],
    [
      "of a warm-up of the rate that the run is too short for",
      { k: 3, lrWarmup: 11 },
      ["warning: the learning rate warms up for 11 steps, the run's 10 steps end before"],
    ],
    [
      "of a stop after the run's end",
      { k: 3, stopAt: 11 },
      ["warning: --stop-at 11 does nothing: the run's 10 steps end before"],
    ],
    [
      "of a decay that the run is too short for",
      { k: 3, lrDecay: 20 },
      ["warning: the learning rate decays over 20 steps, more than the run's 10 steps: it begins below --lr"],
    ],
    [
      "of a warm-up of λ that the run is too short for",
      { arch: "relu", l1Warmup: 40 },
      ["warning: λ warms up for 40 steps, the run's 10 steps end before"],
    ],
    [
      "of an AuxK that never begins",
      { k: 3, auxK: 4, deadWindow: 1000 },
      [
        "warning: --aux-k does nothing: a latent is dead after 1,000 examples without activation (--dead-window), and the run has 1,000",
      ],
    ],
    [
      "of a loss of dead latents that never begins",
      { arch: "jumprelu", preActLoss: 1e-3, deadWindow: 2000 },
      [expect.stringMatching(/^warning: --pre-act-loss does nothing: /) as string],
    ],
    [
      "of a threshold calibrated on few rows",
      { arch: "batch-topk", k: 3 },
      [expect.stringMatching(/^warning: the threshold will be calibrated on \d\d held-out rows: /) as string],
    ],
    [
      "of a sparse start that is none",
      { arch: "relu", initEncoderBias: "sparse" },
      [
        "warning: --init-encoder-bias sparse does nothing for 20 latents, of which half are to be active by default: give --init-rate",
      ],
    ],
    ["none of a sparse start with a rate", { arch: "relu", initEncoderBias: "sparse", initRate: 0.1 }, []],
    [
      "of a share that holds nobody out",
      { k: 3, heldOut: 1e-9 },
      [expect.stringMatching(/^warning: no row is held out: 1e-7 % of so few documents are none/) as string],
    ],
    ["none where nobody is to be held out", { k: 3, heldOut: 0 }, []],
    [
      "of a run of a single step",
      { k: 3, examples: 50, lrWarmup: 2, lrDecay: 0 },
      ["warning: the learning rate warms up for 2 steps, the run's 1 step ends before"],
    ],
    [
      "of an audit where the exact product is as fast",
      { k: 3, audit: 0.5 },
      [
        "warning: --audit does nothing: --encoder auto takes the exact product for 12 dimensions, 20 latents and k 3; --encoder screened can be audited",
      ],
    ],
    [
      "of an audit by kernels that cannot screen",
      { k: 3, audit: 0.5, kernels: "reference" },
      ["warning: --audit does nothing: kernels reference cannot screen rows"],
    ],
    ["none of few rows where they decide no threshold", { arch: "batch-topk", k: 3, threshold: "ema" }, []],
    [
      "of a last layer that cannot rebuild centred rows",
      { arch: "autoencoder", latents: undefined, widths: [12, 4, 12] },
      [
        expect.stringMatching(
          /^warning: centred rows have negative values.*--output-activation linear/,
        ) as string,
      ],
    ],
  ])("%s", async (name, request, expected) => {
    const notices: string[] = [];
    const options = checkTrainRequest({ ...BASE, ...request });
    await train([corpus], options, at(name), { onNotice: (line) => notices.push(line) });
    expect(notices).toEqual(expected);
  });
});

it("warns of an audit when a run of the exact encoder is resumed", async () => {
  await train([corpus], checkTrainRequest({ ...BASE, k: 3, encoder: "exact", stopAt: 1 }), at("exact"));
  const notices: string[] = [];
  await resume(at("exact"), { audit: 1, stopAt: 2 }, { onNotice: (line) => notices.push(line) });
  expect(notices).toEqual([
    "warning: --audit does nothing: rows are encoded exactly, by --encoder exact; --encoder screened can be audited",
  ]);
});

it("warns of rows so large that few hold most of the squares, in train and in corpus info", async () => {
  const sinks = at("sinks.arrow");
  const values = Float32Array.from({ length: 4000 * 8 }, (_, i) => Math.sin(i * i));
  for (let row = 0; row < 4000; row += 100) values.fill(17, row * 8, (row + 1) * 8);
  await writeCorpus(sinks, { dIn: 8, type: "float32" }, [{ values }]);
  const warning =
    /^warning: rows with norms up to 2\d times the median hold \d\d\.\d % of the sum of squares, or more \(attention sinks\?\): .* --max-norm-multiple 10/;
  const notices: string[] = [];
  const train1 = async (request: TrainRequest): Promise<unknown> =>
    await train([sinks], checkTrainRequest({ ...BASE, k: 3, ...request }), at(`sinks-${notices.length}`), {
      onNotice: (line) => notices.push(line),
    });
  await train1({});
  expect(notices).toEqual([expect.stringMatching(warning)]);
  await train1({ maxNormMultiple: 10 });
  expect(notices).toHaveLength(1);
  const { stderr } = await runCli(["corpus", "info", sinks]);
  expect(stderr).toMatch(/rows with norms up to 2\d times the median/);
});

describe("rows of many times the median norm, where they are more than a tenth", () => {
  const write = async (name: string, rowOf: (row: number) => (i: number) => number): Promise<string> => {
    const values = new Float32Array(4000 * 8);
    for (let row = 0; row < 4000; row++)
      values.set(
        Float32Array.from({ length: 8 }, (_, i) => rowOf(row)(i)),
        row * 8,
      );
    await writeCorpus(at(name), { dIn: 8, type: "float32" }, [{ values }]);
    return at(name);
  };
  const noise =
    (row: number) =>
    (i: number): number =>
      Math.sin((8 * row + i) ** 2);

  it.each([3, 8])("are taken for sinks where they point in one direction: one of %i rows", async (every) => {
    const path = await write(`often-${every}.arrow`, (row) =>
      row % every === 0 ? (i) => 17 + noise(row)(i) : noise(row),
    );
    expect((await runCli(["corpus", "info", path])).stderr).toMatch(
      /^warning: a tenth of the rows, with norms from 2\d times the median on, hold \d\d\.\d % of the sum of squares, or more \(attention sinks\?\): .* --max-norm-multiple 10, or --exclude-positions 0\n$/,
    );
  });

  it("are no sinks where they point anywhere", async () => {
    const path = await write("anywhere.arrow", (row) => (i) => (row % 8 === 0 ? 17 : 1) * noise(row)(i));
    expect((await runCli(["corpus", "info", path])).stderr).toBe("");
    const features = at("rare-features.arrow");
    const shape = ["--d", "64", "--features", "128", "--rows", "5000", "--probability", "0.004"];
    await runCli(["corpus", "generate", features, ...shape, "--noise", "0.01"]);
    expect((await runCli(["corpus", "info", features])).stderr).toBe("");
  });
});

it("one of a thing is named in the singular", async () => {
  const result = await train([corpus], checkTrainRequest({ ...BASE, k: 3, examples: 1 }), at("single"));
  const { setup } = await readRunConfig(at("single"));
  expect(describeResult(result, setup.model)).toMatch(/^trained 1 step, 1 example in .*, 1 worker\)$/m);
});

describe("dead latents of a run shorter than their window", () => {
  const request: TrainRequest = { ...BASE, k: 3, deadWindow: 1001 };

  it("are not known, which the result says", async () => {
    const result = await train([corpus], checkTrainRequest(request), at("short"));
    const { setup } = await readRunConfig(at("short"));
    expect(describeResult(result, setup.model)).toContain(
      "dead latents: not known yet (dead is who had no activation in the last 1,001 examples, and there were fewer)",
    );
  });

  it("have no bar in a group's table", async () => {
    const result = await trainGroup([corpus], expandGrid({ ...request, k: [3, 4] }), at("group"), {});
    expect(describeGroup(result)).toMatch(/3\.0 +[\d.]+ [█·]+ +– /);
  });
});

it("refuses to train on rows that are all equal", async () => {
  const values = new Float32Array(12 * 200).fill(3);
  await writeCorpus(at("all-equal.arrow"), { dIn: 12, type: "float32" }, [{ values }]);
  const run = train([at("all-equal.arrow")], checkTrainRequest({ ...BASE, k: 3 }), at("never"));
  await expect(run).rejects.toThrow("there is nothing to learn: all rows of the corpus are equal");
});

describe("where there is no model", () => {
  it("says whether the folder is missing, holds several, or a run that is not complete", async () => {
    await expect(readModel(at("nowhere"))).rejects.toThrow(/nowhere: no such folder; a model folder or run/);
    await expect(readModel(at("group"))).rejects.toThrow(
      /group holds several models: name one, .*group\/k-3$/,
    );
    await train([corpus], checkTrainRequest({ ...BASE, k: 3, stopAt: 2 }), at("stopped"));
    await expect(readModel(at("stopped"))).rejects.toThrow(
      /stopped has no model yet: .*train --resume .*stopped/,
    );
    await mkdir(at("empty"));
    await expect(readModel(at("empty"))).rejects.toThrow(/empty is not a model: .*cfg\.json cannot be read/);
  });

  it("compare names the folder that is missing rather than the number of models", async () => {
    const { status, stderr } = await runCli(["compare", at("nowhere")]);
    expect([status, stderr]).toEqual([2, expect.stringMatching(/nowhere: no such folder/)]);
  });
});

describe("columns", () => {
  const all = { split: "all", rows: 1000, workers: 1 } as const;

  it("in another order than the model's are refused, whatever their widths", async () => {
    const { model } = await readModel(at("equal-widths"));
    expect(model.dIn).toBe(24);
    const swapped = { ...all, column: ["second", "first"] };
    const message =
      'was trained on the columns first,second in this order, got --columns second,first: "second" stands in another\'s place';
    await expect(evaluateModel(at("equal-widths"), [at("equal.arrow")], swapped)).rejects.toThrow(message);
    const looked = inspect(at("equal-widths"), [at("equal.arrow")], { ...swapped, features: 2, top: 2 });
    await expect(looked).rejects.toThrow(message);
    await expect(
      evaluateModel(at("transcoder-of-equal-widths"), [at("equal.arrow")], swapped),
    ).rejects.toThrow(message);
  });

  it("of other names are taken, with a warning, unless their widths differ", async () => {
    const renamed = { ...all, column: ["third", "second"] };
    const { warnings } = await evaluateModel(at("equal-widths"), [at("renamed.arrow")], renamed);
    expect(warnings).toContain(
      "the model was trained on the columns first,second; the corpus's third,second stand for them",
    );
    const own = await evaluateModel(at("equal-widths"), [at("equal.arrow")], all);
    expect(own.warnings).toEqual([]);
    const narrow = { ...all, column: ["narrow", "wide"] };
    await expect(evaluateModel(at("cross"), [at("narrow.arrow")], narrow)).rejects.toThrow(
      /reads the column "before" of 12 dimensions, but "narrow" has 9: give --columns in the model's order/,
    );
  });

  it("that are not named are asked for by the flag that names them", async () => {
    const { status, stderr } = await runCli(["corpus", "info", at("paired.arrow")]);
    expect([status, stderr]).toEqual([
      2,
      expect.stringMatching(/several columns hold vectors .*; name one \(--column\)\n$/),
    ]);
  });
});

it.each<[TrainRequest, string]>([
  [
    { k: 3, units: "none" },
    "--units is for --clip-norm, λ, thresholds and slopes: --arch topk has the first alone, and it is not given",
  ],
  [{ k: 3, encoder: "exact", audit: 0.5 }, "--audit is for the screened encoder, not for --encoder exact"],
])("refuses %o", (request, message) => {
  expect(() => checkTrainRequest(request)).toThrow(message);
});

it("says at the start from what to what a transcoder goes", async () => {
  const args = ["--column", "before", "--target", "after", "--latents", "20", "--k", "3", "--workers", "1"];
  const { stderr } = await runCli(["train", at("paired.arrow"), ...args, "--out", at("transcoder")]);
  expect(stderr).toContain("topk, 20 latents, k 3 on 600 × (12 → 9) activations: ");
});

it("refuses a target above the number of latents", async () => {
  const options = checkTrainRequest({ ...BASE, arch: "jumprelu", l0Penalty: "quadratic", targetL0: 21 });
  await expect(train([corpus], options, at("never"))).rejects.toThrow(
    "--target-l0 must be at most the 20 latents, got 21",
  );
});
