/**
 * The numbers of the two worked examples: small integers and halves, so that everything but the averages can be
 * checked on paper, and no pre-activation of the autoencoder is exactly 0.
 */

/** Examples, and how they are named. */
export interface Examples {
  /** One row per example, [examples][dIn]. */
  readonly rows: readonly (readonly number[])[];
  /** Names of the examples; empty: X1, X2, … only. */
  readonly labels: readonly string[];
}

/** One layer's weights [outputs][inputs] and biases [outputs]. */
interface Layer {
  readonly weight: readonly (readonly number[])[];
  readonly bias: readonly number[];
}

/** Four examples of four features, through 4 → 3 → 2 → 3 → 4. */
export const AUTOENCODER: { readonly examples: Examples; readonly layers: readonly Layer[] } = {
  examples: {
    rows: [
      [2, 1, 1, 0],
      [1, 0, 2, 2],
      [3, 0, 3, 3],
      [1, 2, 3, 0],
    ],
    labels: [],
  },
  layers: [
    {
      weight: [
        [0, 0.5, 0, 1],
        [0.5, 0.5, -1, 1],
        [0, 1, 0.5, 0],
      ],
      bias: [1, 1, 1],
    },
    {
      weight: [
        [-1, 0.5, 1],
        [1, 1, -0.5],
      ],
      bias: [0, -1],
    },
    {
      weight: [
        [-1, 1],
        [0, -1],
        [0.5, -0.5],
      ],
      bias: [0, 1, -1],
    },
    {
      weight: [
        [0.5, 0.5, -1],
        [-1, 1, 1],
        [0.5, 0.5, 0],
        [0.5, 0, -0.5],
      ],
      bias: [0, 0.5, 1, 0.5],
    },
  ],
};

/** Five tokens of three dimensions, six latents. */
export const SPARSE = {
  examples: {
    rows: [
      [-1, 0, 1],
      [-1, 3, 2],
      [0, 0, -1],
      [-1, 1, 3],
      [0, -1, 1],
    ],
    labels: ["river", "peak", "ridge", "lake", "tide"],
  },
  /** [latents][dIn]. */
  W_enc: [
    [0, -1, 1],
    [1, 1, 1],
    [0, 0, 1],
    [1, 1, 0],
    [1, 1, -1],
    [0, 1, -1],
  ],
  b_enc: [0, -1, -2, -1, 0, 0],
  /** [latents][dIn]: norms 1.5, 1.5, 2, 1, 1, 1.5. */
  W_dec: [
    [-1, -0.5, 1],
    [-0.5, 1, 1],
    [2, 0, 0],
    [0, 1, 0],
    [0, 1, 0],
    [0.5, -1, -1],
  ],
  b_dec: [0, 0, 0],
} as const satisfies {
  readonly examples: Examples;
  readonly [name: string]: unknown;
};
