/** The shapes that everything is measured at: one table, so that figures of different suites can be compared. */

/** One size of problem. */
export interface Shape {
  /** S, M or L; anything else in tests. */
  readonly name: string;
  /** Dimension of an activation. */
  readonly dIn: number;
  /** Dictionary units. */
  readonly latents: number;
  /** Active latents per row (TopK). */
  readonly k: number;
  /** Rows of the mini-batch, as one would train with. */
  readonly rows: number;
  /** Rows of the mini-batch for plain TypeScript, which would take minutes for all of them. */
  readonly referenceRows: number;
  /** Timed rounds of each benchmark, after runs that are not counted. */
  readonly rounds: number;
  /** Milliseconds of runs in each round at least: caches are then filled by the benchmark itself, as in training. */
  readonly sampleMs: number;
  /** Milliseconds of uncounted runs at least: the engine compiles, and screening chooses its way to add up. */
  readonly warmupMs: number;
  /**
   * Steps of the trainer that are not timed, then those that are. V8 compiles for some half a second; of a run of thousands
   * of steps that is nothing, but at S the first hundred take a fifth longer.
   */
  readonly trainerSteps: { readonly warmup: number; readonly timed: number };
  /** Shares of latents that are active in the ReLU steps. */
  readonly densities: readonly number[];
}

/** Small, medium and large; L is where a real dictionary begins. */
export const SHAPES: readonly Shape[] = [
  {
    name: "S",
    dIn: 128,
    latents: 1024,
    k: 32,
    rows: 1024,
    referenceRows: 128,
    rounds: 9,
    sampleMs: 100,
    warmupMs: 1000,
    trainerSteps: { warmup: 128, timed: 100 },
    densities: [0.5, 0.05],
  },
  {
    name: "M",
    dIn: 512,
    latents: 4096,
    k: 32,
    rows: 2048,
    referenceRows: 32,
    rounds: 5,
    sampleMs: 100,
    warmupMs: 1000,
    trainerSteps: { warmup: 16, timed: 12 },
    densities: [0.5, 0.05],
  },
  {
    name: "L",
    dIn: 768,
    latents: 12_288,
    k: 32,
    rows: 4096,
    referenceRows: 16,
    rounds: 5,
    sampleMs: 100,
    warmupMs: 1000,
    trainerSteps: { warmup: 8, timed: 5 },
    densities: [0.5, 0.2, 0.05, 0.02],
  },
];

/** Layer widths of the deep autoencoder at a shape: d – 2d – d/2 – d/8 – d/2 – 2d – d. */
export function deepWidths({ dIn }: Pick<Shape, "dIn">): number[] {
  return [dIn, 2 * dIn, dIn / 2, dIn / 8, dIn / 2, 2 * dIn, dIn];
}

/** Operations per row of a step of that autoencoder: forward, deltas and gradients, but no deltas for the input. */
export function deepFlop(shape: Pick<Shape, "dIn">): number {
  const widths = deepWidths(shape);
  const weights = widths.slice(1).reduce((sum, width, layer) => sum + width * widths[layer]!, 0);
  return 2 * (3 * weights - widths[0]! * widths[1]!);
}
