/** Row filters from the command line: the same rows are left out, and counted, everywhere. */
import { join } from "node:path";
import { createSynthetic, type Split, writeCorpus } from "@sparseloom/data";
import { beforeAll, describe, expect, it } from "vitest";
import { describeFeatures } from "../src/commands/inspect.ts";
import { encodeCorpus } from "../src/encode.ts";
import { evaluateModel, type EvalResult } from "../src/eval/evaluate-model.ts";
import { inspect } from "../src/inspect.ts";
import { checkTrainRequest } from "../src/options.ts";
import type { FilterRequest, ModelFilterOptions } from "../src/row-filters.ts";
import { readRunConfig } from "../src/run/config.ts";
import { readResult } from "../src/run/directory.ts";
import type { TrainResult } from "../src/run/result.ts";
import { resume, train } from "../src/train.ts";
import { runCli, stateBytes, temporaryFolder } from "./support.ts";

const folder = temporaryFolder();
const at = (name: string): string => join(folder, name);
const corpus = at("tokens.arrow");
const ROWS = 2000;
const LENGTH = 20;
/** Every first token of a document is a sink: a hundred times the norm. */
const SINKS = ROWS / LENGTH;

beforeAll(async () => {
  const dIn = 12;
  const values = new Float32Array(ROWS * dIn);
  createSynthetic({
    dIn,
    features: 24,
    seed: 5,
    active: { kind: "exactly", count: 3 },
    magnitude: { kind: "normal", mean: 1, sd: 0.3 },
  }).fill(values, 0, ROWS);
  for (let row = 0; row < ROWS; row += LENGTH) values.fill(60, row * dIn, (row + 1) * dIn);
  const rows = [...Array(ROWS).keys()];
  const labels = {
    document: rows.map((row) => Math.floor(row / LENGTH)),
    position: rows.map((row) => row % LENGTH),
    token: rows.map((row) => (row % LENGTH === 0 ? "<bos>" : `t${row % 7}`)),
  };
  await writeCorpus(
    corpus,
    { dIn, type: "float32", labels: { document: "int32", position: "int32", token: "utf8" } },
    [{ values, labels }],
  );
});

const SMALL = { latents: 30, k: 3, batch: 64, heldOut: 0.1, workers: 1 };
const FILTERS: readonly FilterRequest[] = [
  { excludePositions: [0] },
  { excludeTokens: ["<bos>"] },
  { where: "position > 0 and token != '<bos>'" },
  { maxNormMultiple: 10 },
];

async function trained(name: string, request: object): Promise<TrainResult> {
  return await train([corpus], checkTrainRequest({ ...SMALL, ...request }), at(name));
}

describe("row filters", () => {
  it("of every sort leave out the same sinks, in training, its statistics and its result", async () => {
    const states: Buffer[] = [];
    for (const [i, filter] of FILTERS.entries()) {
      const result = await trained(`run-${i}`, filter);
      expect(result.examples + result.filteredRows).toBe(result.filteredRows * LENGTH);
      states.push(await stateBytes(at(`run-${i}`), result.steps));
      const { statistics } = await readRunConfig(at(`run-${i}`));
      expect(statistics.normQuantiles.greatest).toBeLessThan(50);
      expect(statistics.filteredRows).toBe(result.filteredRows);
    }
    for (const state of states) expect(state.equals(states[0] as Buffer)).toBe(true);
  });

  it("are part of the model: eval and inspect leave out the same rows, and count them", async () => {
    const evaluation = async (split: Split, filters?: ModelFilterOptions): Promise<EvalResult> =>
      await evaluateModel(at("run-3"), [corpus], { split, rows: 1e6, workers: 1, filters });
    const own = await evaluation("all");
    expect([own.rows, own.filteredRows]).toEqual([ROWS - SINKS, SINKS]);
    const heldOut = await evaluation("held-out");
    expect(heldOut.fvu).toBeCloseTo((await readResult(at("run-3")))?.heldOut?.fvu as number, 2);
    const all = await evaluation("all", { request: {}, useModels: false });
    expect([all.rows, all.filteredRows]).toEqual([ROWS, 0]);
    const other = await evaluation("all", { request: { where: "position in (1, 2)" }, useModels: true });
    expect([other.rows, other.filteredRows]).toEqual([2 * SINKS, ROWS - 2 * SINKS]);

    const sinks = { request: { where: "position < 2" }, useModels: true };
    expect((await evaluation("all", sinks)).rows).toBe(SINKS);
    expect((await evaluation("all", { ...sinks, useModels: false })).rows).toBe(2 * SINKS);

    const options = { features: 3, top: 2, rows: 1e6, workers: 1 };
    const report = await inspect(at("run-0"), [corpus], options);
    expect(report).toMatchObject({ rows: ROWS - SINKS, filteredRows: SINKS });
    expect(describeFeatures(report)).toMatch(/1,900 rows, 100 left out by the row filters/);
  });

  it("given beside the model's own hold together with them, whatever their sort", async () => {
    const filtersOf = async (name: string, request: FilterRequest): Promise<object | null> => {
      const filters = { request, useModels: true };
      const result = await evaluateModel(at(name), [corpus], {
        split: "all",
        rows: 1e6,
        workers: 1,
        filters,
      });
      return result.filters;
    };
    expect(await filtersOf("run-0", { excludePositions: [0, 3], excludeTokens: ["t1"] })).toEqual({
      excludePositions: [0, 3],
      excludeTokens: ["t1"],
    });
    expect(await filtersOf("run-2", { where: "document < 9 or position = 3" })).toEqual({
      where: "(position > 0 and token != '<bos>') and (document < 9 or position = 3)",
    });
    const { maxNorm } = (await filtersOf("run-3", {})) as { maxNorm: number };
    const narrower = (await filtersOf("run-3", { maxNormMultiple: 1.5 })) as { maxNorm: number };
    expect(narrower.maxNorm).toBeCloseTo((1.5 / 10) * maxNorm, 1);
    expect(await filtersOf("run-3", { maxNormMultiple: 20 })).toMatchObject({ maxNorm });
    await expect(filtersOf("run-2", { where: "position > 7) or (position < 2" })).rejects.toThrow(
      /wrong at character/,
    );
    await expect(filtersOf("run-0", { excludePositions: [7], positionColumn: "document" })).rejects.toThrow(
      `the model's own row filters take positions from the column "position", not from "document": add --no-filters to leave them out`,
    );
    // The same column is the same, named or not.
    const position = { positionColumn: "position" };
    expect(await filtersOf("run-0", { excludePositions: [7], ...position })).toEqual({
      excludePositions: [0, 7],
    });
    expect(await filtersOf("run-0", position)).toEqual({ excludePositions: [0] });
    expect(await filtersOf("run-1", { excludeTokens: ["t1"], tokenColumn: "token" })).toEqual({
      excludeTokens: ["<bos>", "t1"],
    });
  });

  it("that leave out nothing are warned of by whoever is given them, the model's own are not", async () => {
    const idle = { excludeTokens: ["<boss>"], where: "position >= 0" };
    const line = "--exclude-tokens, --where: no row is left out by what is given";
    const notices: string[] = [];
    const options = checkTrainRequest({ ...SMALL, ...idle, examples: 640 });
    await train([corpus], options, at("idle"), { onNotice: (notice) => notices.push(notice) });
    expect(notices).toContain(`warning: ${line}`);
    const filters = { request: idle, useModels: true };
    const measured = { split: "all", workers: 1 } as const;
    expect((await evaluateModel(at("idle"), [corpus], { ...measured, rows: ROWS })).warnings).toEqual([]);
    // Rows that were not read may hold what is looked for.
    for (const [rows, warning] of [
      [ROWS, line],
      [500, `${line}, of 500 that were read`],
    ] as const) {
      const common = { rows, workers: 1, filters };
      const evaluated = await evaluateModel(at("idle"), [corpus], { ...measured, ...common });
      expect(evaluated.warnings).toEqual([warning]);
      const shown = await inspect(at("idle"), [corpus], { ...common, features: 3, top: 2 });
      expect(shown.warnings).toEqual([warning]);
      const written = { ...common, out: at("idle.arrow"), overwrite: true };
      expect((await encodeCorpus(at("idle"), [corpus], written)).warnings).toEqual([warning]);
    }
  });

  it("survive stopping and resuming to the bit", async () => {
    const request = { epochs: 3, maxNormMultiple: 10 };
    await trained("whole", request);
    await trained("stopped", { ...request, stopAt: 17 });
    const { steps } = await resume(at("stopped"), {});
    const states = [await stateBytes(at("whole"), steps), await stateBytes(at("stopped"), steps)];
    expect(states[0]?.equals(states[1] as Buffer)).toBe(true);
  });

  it("are counted by corpus info, whose statistics are without the rows, on record as estimated", async () => {
    const filter = ["--exclude-positions", "0,1"];
    for (const flags of [filter, [...filter, "--full"], filter]) {
      const { stdout } = await runCli(["corpus", "info", corpus, "--json", ...flags]);
      const { statistics } = JSON.parse(stdout) as { statistics: object };
      expect(statistics).toMatchObject({ sampledRows: ROWS - 2 * SINKS, filteredRows: 2 * SINKS });
    }
  });

  it.each([
    ["a wrong expression", { where: "position >" }, /wrong at character 11: expected a column or a value/],
    ["an unknown label", { where: "page = 3" }, /character 1: there is no label column page/],
    ["a column without its filter", { tokenColumn: "token" }, /--token-column goes with --exclude-tokens/],
    [
      "filters that leave nothing",
      { where: "position < 0" },
      /the filters leave out all 1\d+ of the training/,
    ],
    ["a multiple of 0", { maxNormMultiple: 0 }, /--max-norm-multiple must be above 0, got 0/],
    [
      "a token that is none",
      { excludeTokens: [0.5] },
      /--exclude-tokens, entry 1, must be a token's id or text/,
    ],
  ])("refuse %s", async (_, request, message) => {
    await expect(trained("never", request)).rejects.toThrow(message);
  });

  it("come as flags, and mistakes in them give exit status 2 and one clear line", async () => {
    const flags = ["--exclude-tokens", "<bos>,t1", "--exclude-positions", "0-3"];
    const { status, stdout, stderr } = await runCli(["eval", at("run-0"), corpus, ...flags]);
    expect([status, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(/^error: --exclude-positions, entry 1, must be a number, got "0-3"\n$/);
  });

  it("of a model that a corpus cannot have are named, with what to do", async () => {
    const plain = at("plain.arrow");
    await writeCorpus(plain, { dIn: 12, type: "float32" }, [{ values: new Float32Array(120).fill(1) }]);
    const { status, stderr } = await runCli(["eval", at("run-0"), plain]);
    expect([status, stderr]).toEqual([
      2,
      expect.stringMatching(
        /row filters that this corpus cannot have .*"position".*: add --no-filters to leave them out/,
      ),
    ]);
    const all = await runCli(["eval", at("run-0"), plain, "--no-filters", "--json"]);
    expect(JSON.parse(all.stdout)).toMatchObject({ rows: 10, filteredRows: 0, filters: null });
  });
});
