/** `compare`: which latents models share, by matrices whose answer is known and by trained models. */
import { join } from "node:path";
import { cosineMatrix, SparseAutoencoder } from "@sparseloom/core";
import { beforeAll, describe, expect, it } from "vitest";
import { type Comparison, compareModels, type ModelToCompare } from "../src/compare/compare-models.ts";
import { NearDirections } from "../src/compare/near-directions.ts";
import { runCli, temporaryFolder, writeSmallCorpus, writeSynthetic } from "./support.ts";

const DIMENSIONS = 40;

/** Numbers between −1 and 1, the same each time. */
function numbers(length: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

function model(name: string, decoder: Float32Array, encoder: Float32Array, kind?: string): ModelToCompare {
  const latents = decoder.length / DIMENSIONS;
  const parts = {
    dIn: DIMENSIONS,
    latents,
    activation: { kind: "relu" },
    applyBDecToInput: true,
    encoder,
    b_enc: new Float32Array(latents),
    W_dec: decoder,
    b_dec: new Float32Array(DIMENSIONS),
  } as const;
  return { name, kind, load: () => Promise.resolve(new SparseAutoencoder(parts)) };
}

/** Rows of `matrix` in the order of `from`, each multiplied by its factor. */
function rowsOf(
  matrix: Float32Array,
  from: readonly number[],
  factor: (row: number) => number,
): Float32Array {
  const out = new Float32Array(from.length * DIMENSIONS);
  for (const [row, source] of from.entries())
    for (let j = 0; j < DIMENSIONS; j++)
      out[row * DIMENSIONS + j] = factor(row) * matrix[source * DIMENSIONS + j];
  return out;
}

describe("NearDirections", () => {
  it("finds the pairs above the floor, with the cosines of the dense matrix", async () => {
    const [a, b] = [numbers(70 * DIMENSIONS, 1), numbers(1100 * DIMENSIONS, 2)];
    a.fill(0, 0, DIMENSIONS);
    const { values, columns } = cosineMatrix(a, b, DIMENSIONS);
    for (const floor of [0, 0.25]) {
      await using near = new NearDirections(a, DIMENSIONS, floor, 2);
      const found = await near.above(b);
      const expected = values.reduce((count, cosine) => count + (cosine > floor ? 1 : 0), 0);
      expect(expected).toBeGreaterThan(100);
      expect(Math.abs(found.count - expected)).toBeLessThanOrEqual(2);
      for (let pair = 0; pair < found.count; pair++)
        expect(found.cosine[pair]).toBeCloseTo(values[found.a[pair] * columns + found.b[pair]], 5);
    }
  });
});

describe("compareModels", () => {
  const decoder = numbers(30 * DIMENSIONS, 3);
  const encoder = numbers(30 * DIMENSIONS, 4);
  const order = Array.from({ length: 30 }, (_, row) => (7 * row + 3) % 30);

  it("sees through order and scale, and takes neither opposite decoders nor other encoders for the same", async () => {
    // Latents 0 to 9 read something else; 10 to 14 write the opposite.
    const other = numbers(30 * DIMENSIONS, 5);
    const shuffledEncoder = rowsOf(encoder, order, () => 0.1);
    shuffledEncoder.set(other.subarray(0, 10 * DIMENSIONS));
    const shuffledDecoder = rowsOf(decoder, order, (row) => (row >= 10 && row < 15 ? -3 : 3));
    const models = [
      model("one", decoder, encoder, "same"),
      model("two", shuffledDecoder, shuffledEncoder, "same"),
      model("three", numbers(20 * DIMENSIONS, 6), numbers(20 * DIMENSIONS, 7), "different"),
    ];
    const { over, models: stabilities, pairs } = await compareModels(models, { workers: 2 });
    expect(over).toBe("seeds");
    expect(pairs.map(({ a, b, shared }) => [a, b, shared])).toEqual([
      ["one", "two", 15],
      ["one", "three", 0],
      ["two", "three", 0],
    ]);
    const [pair] = pairs;
    expect(pair).toMatchObject({ shareOfA: 0.5, shareOfB: 0.5, floor: 0 });
    const partner = order.map((_, row) => pair?.matches.find(([, b]) => b === row)?.[0]);
    const opposite = (row: number): boolean => row >= 10 && row < 15;
    expect(partner.filter((_, row) => !opposite(row))).toEqual(order.filter((_, row) => !opposite(row)));
    expect(partner.some((latent, row) => opposite(row) && latent === order[row])).toBe(false);
    const [one, two, three] = stabilities;
    expect(one).toMatchObject({ stability: 0.5, others: ["two"], latents: 30 });
    expect(two?.latentStability).toEqual(Array.from({ length: 30 }, (_, row) => (row < 15 ? 0 : 1)));
    expect(three).toMatchObject({ stability: null, others: [], latents: 20, latentStability: [] });
  });

  it("takes all models for the others where none differ in the seed alone", async () => {
    const twins = rowsOf(decoder, order, () => 1);
    const models = [
      model("one", decoder, encoder),
      model(
        "two",
        twins,
        rowsOf(encoder, order, () => 1),
      ),
      model("three", numbers(30 * DIMENSIONS, 8), numbers(30 * DIMENSIONS, 9)),
    ];
    const { over, models: found } = await compareModels(models, { workers: 1 });
    expect(over).toBe("models");
    expect(found.map(({ stability }) => stability)).toEqual([0.5, 0.5, 0]);
    const none = await compareModels(models, { workers: 1, onlySameKind: true });
    expect(none.pairs).toEqual([]);
    expect(none.models.map(({ stability, latents }) => [stability, latents])).toEqual([
      [null, 30],
      [null, 30],
      [null, 30],
    ]);
  });

  it("looks only at near pairs in dictionaries too large for one assignment, and matches them as well", async () => {
    const [latents, seed] = [2100, 10];
    const wide = numbers(latents * DIMENSIONS, seed);
    const turned = Array.from({ length: latents }, (_, row) => (11 * row + 5) % latents);
    const models = [
      model("one", wide, wide),
      model(
        "two",
        rowsOf(wide, turned, () => 2),
        rowsOf(wide, turned, () => 2),
      ),
    ];
    const { pairs } = await compareModels(models, { workers: 2 });
    expect(pairs[0]?.floor).toBeGreaterThanOrEqual(0.4);
    expect(pairs[0]?.shared).toBe(latents);
    expect(pairs[0]?.matches.every(([a, b]) => a === turned[b])).toBe(true);
  });
});

describe("sparseloom compare", () => {
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder, name);
  beforeAll(async () => {
    await writeSynthetic(at("known.arrow"), 6000, {
      dIn: 24,
      features: 24,
      seed: 3,
      active: { kind: "exactly", count: 2 },
      magnitude: { kind: "uniform", low: 0.8, high: 1.2 },
    });
    await writeSmallCorpus(at("small.arrow"), 500);
    const train = async (corpus: string, out: string, ...args: string[]): Promise<void> => {
      const run = await runCli([
        "train",
        at(corpus),
        "--batch",
        "128",
        "--lr",
        "5e-3",
        "--out",
        at(out),
        ...args,
      ]);
      expect(run.stderr).not.toContain("error");
    };
    await train("known.arrow", "grid", "--latents", "24", "--k", "2", "--seeds", "0,1", "--epochs", "12");
    await train("small.arrow", "small", "--latents", "24", "--k", "2");
    await train("small.arrow", "deep", "--arch", "autoencoder", "--widths", "12,4,12");
  });

  it("finds most latents of a corpus of known features in both seeds' models", async () => {
    const run = await runCli(["compare", at("grid"), "--json"]);
    expect(run.status).toBe(0);
    const { over, models, pairs } = JSON.parse(run.stdout) as Comparison;
    expect(over).toBe("seeds");
    expect(models.map(({ name }) => name)).toEqual(["seed-0", "seed-1"]);
    expect(pairs[0]?.shareOfA).toBeGreaterThan(0.5);
    const text = await runCli(["compare", at("grid/seed-0"), at("grid/seed-1/model")]);
    expect(text.stdout).toMatch(
      /^models +shared +of first +of second +matched +decoder cosine +encoder cosine$/m,
    );
    expect(text.stdout).toContain(`${pairs[0]?.shared} `);
    // A model folder does not say how it was trained.
    expect(text.stdout).toContain("the share of all other models that have it, too");
  });

  it.each([
    [["grid/seed-0"], /^error: compare needs at least two models, got 1: /],
    [["grid", "grid/seed-0"], /^error: .*seed-0 is named twice$/],
    [
      ["grid", "small"],
      /^error: .*small reads 12 dimensions, but .*seed-0 reads 24: only models of one place/,
    ],
    [["small", "deep"], /^error: .*deep is a deep autoencoder: it has no latents to match$/],
    [["small", "nowhere"], /^error: .*nowhere: no such folder; a model folder or run directory is needed/],
  ])("refuses %s", async (paths, message) => {
    const run = await runCli(["compare", ...paths.map(at)]);
    expect(run.stderr.trim()).toMatch(message);
    expect(run.status).toBe(2);
  });
});
