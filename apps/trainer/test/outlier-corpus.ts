/** A corpus that is hard on small integers: what real activations have, and more. For tests and checks of screening. */
import { createSynthetic, writeCorpus } from "@sparseloom/data";

/** Dimensions that are larger than the others in every row, and by how much. */
const OUTLIER_DIMENSIONS = [3, 17, 40, 41];
const OUTLIER_FACTOR = 30;
/** Every so many rows, one dimension is massive. */
const MASSIVE_EVERY = 50;
const MASSIVE_FACTOR = 3000;
/** Mean of every dimension, in standard deviations. */
const MEAN = 5;

/** Writes rows of sparse features with outlier dimensions, massive entries in 2 % of rows, and a large mean. */
export async function writeOutlierCorpus(
  path: string,
  { dIn, rows, seed }: { readonly dIn: number; readonly rows: number; readonly seed: number },
): Promise<void> {
  const synthetic = createSynthetic({
    dIn,
    features: 2 * dIn,
    seed,
    active: { kind: "bernoulli", probability: Math.min(0.1, 20 / dIn) },
    magnitude: { kind: "normal", mean: 1, sd: 0.3 },
    noise: 0.05,
  });
  const values = new Float32Array(rows * dIn);
  synthetic.fill(values, 0, rows);
  for (let row = 0; row < rows; row++) {
    const at = row * dIn;
    for (let i = 0; i < dIn; i++) values[at + i] = (values[at + i] as number) + MEAN / Math.sqrt(dIn);
    for (const i of OUTLIER_DIMENSIONS) values[at + i] = (values[at + i] as number) * OUTLIER_FACTOR;
    if (row % MASSIVE_EVERY === 0) {
      const i = (row * 7) % dIn;
      values[at + i] = (values[at + i] as number) * MASSIVE_FACTOR;
    }
  }
  await writeCorpus(path, { dIn, type: "float32" }, [{ values }]);
}
