/**
 * The worked examples, number by number. The golden files hold what is printed; the tests below work the same
 * numbers out again by plain matrix algebra, from the printed weights alone.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { walkAutoencoder } from "./autoencoder.ts";
import { AUTOENCODER, type Examples, SPARSE } from "./examples.ts";
import { formatNumbers, formatWalkthrough, wrap } from "./layout.ts";
import { walkSparse } from "./sparse.ts";
import { shortest, type Walkthrough } from "./walkthrough.ts";

type Matrix = readonly (readonly number[])[];

const common = { learningRate: 0.1, steps: 1, seed: undefined };
const deepOptions = { ...common, widths: [4, 3, 2, 3, 4], outputActivation: "relu" } as const;
const sparseOptions = { ...common, latents: 6, l1: 0.5, k: undefined };

/** All matrices of a walk by name; of those of one name the first. */
function matricesOf(walk: Walkthrough): Map<string, Matrix> {
  const all = walk.sections.flatMap(({ matrices }) => matrices);
  return new Map(all.toReversed().map(({ name, values }) => [name, values]));
}

function reader(walk: Walkthrough): (name: string) => Matrix {
  const matrices = matricesOf(walk);
  return (name) => {
    const found = matrices.get(name);
    if (found === undefined) throw new Error(`no matrix ${name}, only ${[...matrices.keys()].join(", ")}`);
    return found;
  };
}

const transpose = (a: Matrix): number[][] => a[0]!.map((_, column) => a.map((row) => row[column]!));
const multiply = (a: Matrix, b: Matrix): number[][] =>
  a.map((row) => transpose(b).map((column) => row.reduce((sum, value, i) => sum + value * column[i]!, 0)));
const combine = (a: Matrix, b: Matrix, f: (x: number, y: number) => number): number[][] =>
  a.map((row, i) => row.map((value, j) => f(value, b[i]![b[i]!.length === 1 ? 0 : j]!)));
const add = (a: Matrix, b: Matrix): number[][] => combine(a, b, (x, y) => x + y);
const relu = (a: Matrix): number[][] => a.map((row) => row.map((value) => Math.max(0, value)));
const scale = (a: Matrix, factor: number): number[][] => a.map((row) => row.map((value) => factor * value));
const rowSums = (a: Matrix): number[][] => a.map((row) => [row.reduce((sum, value) => sum + value, 0)]);
const columnSums = (a: Matrix): number[][] => transpose(rowSums(transpose(a)));

/** Equal to a few float32 roundings of the largest number. */
function expectClose(actual: Matrix, expected: Matrix): void {
  const largest = Math.max(1, ...expected.flat().map(Math.abs));
  expect(actual.map((row) => row.length)).toEqual(expected.map((row) => row.length));
  const furthest = Math.max(...combine(actual, expected, (x, y) => Math.abs(x - y)).flat());
  expect(furthest / largest).toBeLessThan(2e-6);
}

/** Adam's first step from zero moments, as a formula. */
function expectFirstUpdate(
  read: (name: string) => Matrix,
  name: string,
  before: Matrix,
  gradient: Matrix,
): void {
  expectClose(read(`m of ${name}`), scale(gradient, 0.1));
  expectClose(
    read(`v of ${name}`),
    combine(gradient, gradient, (g, same) => 0.001 * g * same),
  );
  // Where the gradient is all but 0, its sign is rounding.
  const settled = combine(read(`new ${name}`), gradient, (after, g) => (Math.abs(g) < 1e-5 ? 0 : after));
  const stepped = combine(before, gradient, (value, g) =>
    Math.abs(g) < 1e-5 ? 0 : value - 0.1 * Math.sign(g),
  );
  expect(Math.max(...combine(settled, stepped, (x, y) => Math.abs(x - y)).flat())).toBeLessThan(2e-4);
}

function expectAutoencoderNumbers(walk: Walkthrough, layers: number, outputRelu: boolean): void {
  const read = reader(walk);
  const x = read("X");
  const count = x[0]!.length;
  expect(read("Y′")).toEqual(x);
  let input = x;
  for (let n = 1; n <= layers; n++) {
    const z = add(multiply(read(`W${n}`), input), read(`b${n}`));
    expectClose(read(`Z${n}`), z);
    const linear = n === layers && !outputRelu;
    const output = read(n === layers ? "Y" : `A${n}`);
    expect(output).toEqual(linear ? read(`Z${n}`) : relu(read(`Z${n}`)));
    input = output;
  }
  const error = add(input, scale(x, -1));
  expectClose(read("Y − Y′"), error);
  const squares = columnSums(combine(error, error, (e, same) => e * same));
  expectClose(read("squared errors"), squares);
  expectClose([[walk.losses[0]!]], scale(rowSums(squares), 1 / count));
  let delta: Matrix = scale(error, 2 / count);
  for (let n = layers; n >= 1; n--) {
    if (n < layers) delta = multiply(transpose(read(`W${n + 1}`)), delta);
    if (n < layers || outputRelu) delta = combine(delta, read(`Z${n}`), (d, z) => (z > 0 ? d : 0));
    const name = n === layers ? `dZ${n} = 2/${count}·(Y − Y′)` : `dZ${n}`;
    expectClose(read(name), delta);
    expectClose(read(`dW${n}`), multiply(delta, transpose(n === 1 ? x : read(`A${n - 1}`))));
    expectClose(read(`db${n}`), rowSums(delta));
    expectFirstUpdate(read, `W${n}`, read(`W${n}`), read(`dW${n}`));
    expectFirstUpdate(read, `b${n}`, read(`b${n}`), read(`db${n}`));
  }
}

function expectSparseNumbers(walk: Walkthrough, l1: number): void {
  const read = reader(walk);
  const x = read("X");
  const count = x[0]!.length;
  expectClose(read("Z"), add(multiply(read("W_enc"), x), read("b_enc")));
  const f = read("f");
  expect(f).toEqual(relu(read("Z")));
  const reconstruction = add(multiply(read("W_dec"), f), read("b_dec"));
  expectClose(read("X′"), reconstruction);
  const norms = [transpose(read("W_dec")).map((vector) => Math.hypot(...vector))];
  expectClose(read("‖W_dec‖"), norms);
  const weighted = combine(f, transpose(norms), (value, norm) => value * norm);
  expectClose(read("Σ f·‖W_dec‖"), columnSums(weighted));
  const descent = f.map((row) => row.map((value) => (value > 0 ? -1 : 0)));
  expectClose(read("−1 where f > 0"), descent);
  const timesNorm = combine(descent, transpose(norms), (value, norm) => value * norm);
  expectClose(read("times ‖W_dec‖"), timesNorm);
  const penalty = scale(timesNorm, -l1 / count);
  expectClose(read("∂L1/∂f"), penalty);
  const error = add(reconstruction, scale(x, -1));
  expectClose(read("X′ − X"), error);
  const squares = columnSums(combine(error, error, (e, same) => e * same));
  expectClose(read("squared errors"), squares);
  const loss = add(rowSums(squares), scale(rowSums(columnSums(weighted)), l1));
  expectClose([[walk.losses[0]!]], scale(loss, 1 / count));
  const output = scale(error, 2 / count);
  expectClose(read(`dX′ = 2/${count}·(X′ − X)`), output);
  const back = combine(multiply(transpose(read("W_dec")), output), f, (d, on) => (on > 0 ? d : 0));
  expectClose(read("W_decᵀ·dX′"), back);
  const delta = add(back, penalty);
  expectClose(read("dZ"), delta);
  expectClose(read("dW_enc"), multiply(delta, transpose(x)));
  expectClose(read("db_enc"), rowSums(delta));
  const product = multiply(output, transpose(f));
  expectClose(read("dX′·fᵀ"), product);
  const pull = rowSums(f).map(([sum], latent) => (l1 * sum!) / count / norms[0]![latent]!);
  const pulled = read("W_dec").map((row) => row.map((value, latent) => value * pull[latent]!));
  expectClose(read("dW_dec"), add(product, pulled));
  expectClose(read("db_dec"), rowSums(output));
  for (const name of ["W_enc", "b_enc", "W_dec", "b_dec"])
    expectFirstUpdate(read, name, read(name), read(`d${name}`));
}

describe("the autoencoder by hand", () => {
  const walk = walkAutoencoder(AUTOENCODER.examples, deepOptions);

  it("prints these numbers", async () => {
    await expect(formatWalkthrough(walk)).toMatchFileSnapshot("../../test/golden/byhand-autoencoder.txt");
  });

  it("has every number that matrix algebra gives", () => {
    expectAutoencoderNumbers(walk, 4, true);
  });

  it("numbers its first steps as the example does", () => {
    expect(walk.sections.slice(1, 7).map(({ title }) => title)).toEqual([
      "Copy",
      "Encoder, layer 1 + ReLU",
      "Encoder, layer 2 + ReLU",
      "Decoder, layer 1 + ReLU",
      "Decoder, layer 2 + ReLU",
      "Loss and its gradient",
    ]);
  });

  it("has them right for any data, widths and output", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 7 }),
        fc.array(fc.integer({ min: 1, max: 5 }), { minLength: 1, maxLength: 3 }),
        fc.boolean(),
        fc.nat(1000),
        (dIn, count, hidden, outputRelu, seed) => {
          const walk = walkAutoencoder(exampleRows(count, dIn, seed), {
            ...common,
            seed,
            widths: [dIn, ...hidden, dIn],
            outputActivation: outputRelu ? "relu" : "linear",
          });
          expectAutoencoderNumbers(walk, hidden.length + 1, outputRelu);
        },
      ),
      { numRuns: 30 },
    );
  });

  it("rebuilds its input better from update to update", () => {
    const { losses } = walkAutoencoder(AUTOENCODER.examples, {
      ...deepOptions,
      learningRate: 0.02,
      steps: 200,
    });
    expect(losses).toHaveLength(201);
    expect(losses[200]!).toBeLessThan(0.5 * losses[0]!);
  });
});

describe("the sparse autoencoder by hand", () => {
  const walk = walkSparse(SPARSE.examples, sparseOptions);

  it("prints these numbers", async () => {
    await expect(formatWalkthrough(walk)).toMatchFileSnapshot("../../test/golden/byhand-sparse.txt");
  });

  it("prints these numbers for TopK", async () => {
    const topk = walkSparse(SPARSE.examples, { ...sparseOptions, k: 2 });
    await expect(formatWalkthrough(topk)).toMatchFileSnapshot("../../test/golden/byhand-sparse-topk.txt");
  });

  it("has every number that matrix algebra gives", () => {
    expectSparseNumbers(walk, 0.5);
  });

  it("numbers its first steps as the example does", () => {
    expect(walk.sections.slice(1, 10).map(({ title }) => title)).toEqual([
      "Encoder, linear",
      "ReLU",
      "Decoder, reconstruction",
      "Decoder weights, L2 norm",
      "Sparsity, L1 loss",
      "Sparsity, gradient where f > 0",
      "Sparsity, gradient where f = 0",
      "Sparsity, gradient times decoder norm",
      "Reconstruction, gradient",
    ]);
  });

  it("has a last feature that the second and third token alone light up", () => {
    expect(reader(walk)("f")[5]!.map((value) => value > 0)).toEqual([false, true, true, false, false]);
    expect(walk.sections[2]!.text).toContain("  f6 is lit by X2 peak, X3 ridge");
  });

  it("has them right for any data, dictionary and penalty", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 20 }),
        fc.double({ min: 0, max: 2, noNaN: true }),
        fc.nat(1000),
        (dIn, count, latents, l1, seed) =>
          expectSparseNumbers(
            walkSparse(exampleRows(count, dIn, seed), { ...common, latents, l1, k: undefined, seed }),
            l1,
          ),
      ),
      { numRuns: 30 },
    );
  });

  it("keeps, with k, the k largest of each column and decoder vectors of norm 1", () => {
    const read = reader(walkSparse(exampleRows(9, 5, 3), { ...sparseOptions, latents: 11, k: 3, seed: 3 }));
    const z = transpose(read("Z"));
    transpose(read("f")).forEach((f, example) => {
      const bound = z[example]!.toSorted((a, b) => b - a)[2]!;
      expect(f).toEqual(z[example]!.map((value) => (value > 0 && value >= bound ? value : 0)));
    });
    for (const name of ["W_dec", "new W_dec"])
      for (const vector of transpose(read(name))) expect(Math.hypot(...vector)).toBeCloseTo(1, 6);
    // Nothing of the gradient points along the vector.
    const along = columnSums(combine(read("dW_dec"), read("W_dec"), (g, w) => g * w));
    expect(Math.max(...along.flat().map(Math.abs))).toBeLessThan(1e-6);
  });
});

/** Seeded examples of about 1, some of them exactly 0. */
function exampleRows(count: number, dIn: number, seed: number): Examples {
  const value = (i: number): number => Math.max(-1, Math.fround(2 * Math.sin(seed + i * i + 1) - 0.3));
  return {
    rows: Array.from({ length: count }, (_, row) =>
      Array.from({ length: dIn }, (_u, j) => value(row * dIn + j)),
    ),
    labels: [],
  };
}

describe("numbers too large for float32", () => {
  it("end the walk with one line", () => {
    const examples = { rows: [[1e30, -1e30]], labels: [] };
    expect(() => walkAutoencoder(examples, { ...deepOptions, widths: [2, 1, 2], seed: 1 })).toThrow(
      /^the loss is Infinity after 0 updates: examples this large/,
    );
  });
});

describe("the printed page", () => {
  it("is at most 80 columns wide, whatever is on it", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        fc.constantFrom(1e-6, 1, 1e4, 1e8),
        (dIn, count, latents, size) => {
          const { rows } = exampleRows(count, dIn, 1);
          const examples = { rows: rows.map((row) => row.map((value) => value * size)), labels: [] };
          const options = { ...common, steps: 30, seed: 1 };
          const texts = [
            formatWalkthrough(walkSparse(examples, { ...options, latents, l1: 0.5, k: undefined })),
            formatWalkthrough(
              walkAutoencoder(examples, {
                ...options,
                widths: [dIn, latents, dIn],
                outputActivation: "linear",
              }),
            ),
          ];
          const longest = Math.max(...texts.flatMap((text) => text.split("\n")).map((line) => line.length));
          expect(longest).toBeLessThanOrEqual(80);
          expect(texts.join()).not.toMatch(/NaN|undefined|Infinity/);
        },
      ),
      { numRuns: 20 },
    );
  });

  it("shows numbers of a matrix with common decimals, enough for the largest", () => {
    expect(formatNumbers([[1, -2.5, 0]])).toEqual([["1.0", "−2.5", "0.0"]]);
    expect(formatNumbers([[1, -2, 0]])).toEqual([["1", "−2", "0"]]);
    expect(formatNumbers([[1 / 3, -1e-9]])).toEqual([["0.3333", "0.0000"]]);
    expect(formatNumbers([[0.00012346, 0]])).toEqual([["0.0001235", "0.0000000"]]);
    expect(formatNumbers([[100, 20]])).toEqual([["100", "20"]]);
    expect(formatNumbers([[-1.5e12, 0]])).toEqual([["−1.500e+12", "0.000"]]);
    expect(formatNumbers([[0]])).toEqual([["0"]]);
  });

  it("breaks paragraphs between words, and keeps what is longer than a line whole", () => {
    expect(wrap("a b")).toEqual(["a b"]);
    const long = "x".repeat(90);
    expect(wrap(`  a ${long} b`)).toEqual(["  a", `  ${long}`, "  b"]);
    expect(wrap("word ".repeat(40).trim()).every((line) => line.length <= 80)).toBe(true);
  });

  it("has the shortest decimals that stand for a float32", () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(Math.fround(shortest(value))).toBe(value === 0 ? 0 : value);
      }),
    );
    expect(shortest(Math.fround(0.1))).toBe(0.1);
  });
});
