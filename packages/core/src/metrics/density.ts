/** How often latents are active: the histogram that shows dead, rare and always-on latents at a glance. */

/** A histogram of activation densities: how often each latent is active. */
export interface DensityHistogram {
  /** Latents that were never active. */
  readonly never: number;
  /** Lower edges of the bins as powers of ten: −6 means densities from 1e-6. The first bin takes all below, too. */
  readonly log10Edges: readonly number[];
  /** Latents per bin. */
  readonly counts: readonly number[];
}

/** Bins the densities fireCount/examples of all latents into half decades from 10⁻⁶ to 1. */
export function densityHistogram(fireCount: ArrayLike<number>, examples: number): DensityHistogram {
  const log10Edges = Array.from({ length: 12 }, (_, bin) => -6 + bin / 2);
  const counts = log10Edges.map(() => 0);
  let never = 0;
  for (let latent = 0; latent < fireCount.length; latent++) {
    const count = fireCount[latent] as number;
    if (count === 0) {
      never++;
      continue;
    }
    const bin = Math.floor((Math.log10(count / examples) + 6) * 2);
    const clamped = Math.min(Math.max(bin, 0), counts.length - 1);
    counts[clamped] = (counts[clamped] as number) + 1;
  }
  return { never, log10Edges, counts };
}
