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
  /** Rows of the mini-batch that is timed. At M and L fewer than one trains with: plain kernels take their time. */
  readonly rows: number;
  /** Timed runs of each benchmark, after one that is not counted. */
  readonly iterations: number;
}

/** Small, medium and large; L is where a real dictionary begins. */
export const SHAPES: readonly Shape[] = [
  { name: "S", dIn: 128, latents: 1024, k: 32, rows: 1024, iterations: 9 },
  { name: "M", dIn: 512, latents: 4096, k: 32, rows: 256, iterations: 5 },
  { name: "L", dIn: 768, latents: 12_288, k: 32, rows: 64, iterations: 5 },
];

/** Layer widths of the deep autoencoder at a shape: d – 2d – d/2 – d/8 – d/2 – 2d – d. */
export function deepWidths({ dIn }: Shape): number[] {
  return [dIn, 2 * dIn, dIn / 2, dIn / 8, dIn / 2, 2 * dIn, dIn];
}
