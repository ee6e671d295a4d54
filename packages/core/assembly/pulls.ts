/** Summing numbers of the records by latent: gradients of parameters that a latent has one of. */
import { firstRecord } from "./gather";

/** sums[latent] += Σ over rows [firstRow, lastRow) of the records' `pulls`, in row order, for latents [first, last). */
export function gatherPulls(
  first: i32, last: i32, firstRow: usize, lastRow: usize, rowOffset: usize, rowCount: usize, recordLatent: usize, pulls: usize,
  sums: usize,
): void {
  for (let row = firstRow; row < lastRow; row++) {
    const begin = load<i32>(rowOffset + (row << 2));
    const end = begin + load<i32>(rowCount + (row << 2));
    for (let record = firstRecord(recordLatent, begin, end, first); record < end; record++) {
      const at = <usize>record << 2;
      const latent = load<i32>(recordLatent + at);
      if (latent >= last) break;
      const word = sums + (<usize>latent << 2);
      store<f32>(word, load<f32>(word) + load<f32>(pulls + at));
    }
  }
}
