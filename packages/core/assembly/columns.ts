/** The tiles of product.ts over columns of a matrix: sums of its rows, weighted, for several sets of weights at once. */
import { DEPTH, PANEL, TILE } from "./product";
import { tilePairProduct, tileProduct } from "./tile";

/** Dimensions packed at once by {@link combine}; 2 × 8 × 384 numbers. */
const PACKED_BYTES: usize = 2 * DEPTH * 32;

/**
 * out[u][i] = Σ_t weight[u][t]·x[t][i] for u < units and i < length, each a chain ascending in t, from 0 (`fresh`) or
 * from what is in `out`: what flows back through a layer (t: its outputs, x: its weights), a layer's gradient (t: rows,
 * x: its input).
 * weight[u][t] lies at weights + u·weightStride + 4·t, x[t] at x + t·length·4, in bytes.
 * `scratch` holds two packed panels and two spilled columns of `units` + 5. Weights are read up to five u beyond
 * `units`, to fill the last tile; what comes of them is dropped.
 */
export function combine(
  out: usize, weights: usize, weightStride: usize, units: usize, x: usize, length: usize, depth: usize, scratch: usize, wide: bool, fresh: bool,
): void {
  const tiles = (units + TILE - 1) / TILE;
  const first = scratch + PACKED_BYTES;
  const second = first + tiles * TILE * 32;
  // All columns of some depth before what lies deeper: weights, which every column takes, then come from memory once.
  for (let t: usize = 0; t < depth; t += DEPTH) {
    const count = min(DEPTH, depth - t);
    // Two columns at a time, because they share cache lines.
    for (let column: usize = 0; column < length; column += 2 * PANEL) {
      const lanes = min(PANEL, length - column);
      const nextLanes = min(PANEL, length - column - lanes);
      if (fresh && t == 0) {
        memory.fill(first, 0, 2 * tiles * TILE * 32);
      } else {
        packColumns(first, second, out + column * 4, length, lanes, nextLanes, units);
      }
      packColumns(scratch, scratch + DEPTH * 32, x + (t * length + column) * 4, length, lanes, nextLanes, count);
      for (let tile: usize = 0; tile < tiles; tile++) {
        const w = weights + tile * TILE * weightStride + t * 4;
        const spill = tile * TILE * 32;
        if (wide && nextLanes > 0) {
          tilePairProduct(first + spill, second + spill, scratch, scratch + DEPTH * 32, 0, false, w, weightStride, count);
        } else {
          tileProduct(first + spill, scratch, 0, false, w, weightStride, count);
          if (nextLanes > 0) tileProduct(second + spill, scratch + DEPTH * 32, 0, false, w, weightStride, count);
        }
      }
      unpackColumn(out + column * 4, first, length, lanes, units);
      if (nextLanes > 0) unpackColumn(out + (column + PANEL) * 4, second, length, nextLanes, units);
    }
  }
}

/** Packs two neighbouring columns, of which the second may be empty. */
function packColumns(packed: usize, next: usize, from: usize, length: usize, lanes: usize, nextLanes: usize, count: usize): void {
  if (nextLanes < PANEL) {
    packColumn(packed, from, length, lanes, count);
    if (nextLanes > 0) packColumn(next, from + PANEL * 4, length, nextLanes, count);
    return;
  }
  const stride = length << 2;
  for (const end = packed + count * 32; packed < end; packed += 32, next += 32, from += stride) {
    v128.store(packed, v128.load(from));
    v128.store(packed, v128.load(from, 16), 16);
    v128.store(next, v128.load(from, 32));
    v128.store(next, v128.load(from, 48), 16);
  }
}

/** Packs `lanes` neighbouring numbers of `count` rows of `length` as [count][8], missing lanes zero. */
function packColumn(packed: usize, from: usize, length: usize, lanes: usize, count: usize): void {
  const stride = length << 2;
  for (const end = packed + count * 32; packed < end; packed += 32, from += stride) {
    if (lanes == PANEL) {
      v128.store(packed, v128.load(from));
      v128.store(packed, v128.load(from, 16), 16);
    } else {
      v128.store(packed, f32x4.splat(0));
      v128.store(packed, f32x4.splat(0), 16);
      for (let lane: usize = 0; lane < lanes; lane++) store<f32>(packed + (lane << 2), load<f32>(from + (lane << 2)));
    }
  }
}

/** The way back: [units][8] to `lanes` neighbouring numbers of rows of `length`. */
function unpackColumn(out: usize, column: usize, length: usize, lanes: usize, units: usize): void {
  const stride = length << 2;
  for (const end = column + units * 32; column < end; column += 32, out += stride) {
    if (lanes == PANEL) {
      v128.store(out, v128.load(column));
      v128.store(out, v128.load(column, 16), 16);
    } else {
      for (let lane: usize = 0; lane < lanes; lane++) store<f32>(out + (lane << 2), load<f32>(column + (lane << 2)));
    }
  }
}
