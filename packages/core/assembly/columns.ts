/** The tiles of product.ts over columns of a matrix: sums of its rows, weighted, for several sets of weights at once. */
import { DEPTH, PANEL, TILE } from "./product";
import { tilePairProduct, tileProduct } from "./tile";

/** Bytes of a panel of columns of one depth. */
const PANEL_BYTES: usize = DEPTH * 32;

/**
 * out[u][i] = Σ_t weight[u][t]·x[t][i] for u < units and i < length, each a chain ascending in t, from 0 (`fresh`) or
 * from what is in `out`: a layer's gradient (t: rows, x: its input).
 * weight[u][t] lies at weights + u·weightStride + 4·t, x[t] at x + t·length·4, in bytes.
 * `scratch` holds two packed panels and two spilled columns of `units` + 5. Weights are read up to five u beyond
 * `units`, to fill the last tile; what comes of them is dropped.
 */
export function combine(
  out: usize, weights: usize, weightStride: usize, units: usize, x: usize, length: usize, depth: usize, scratch: usize, wide: bool, fresh: bool,
): void {
  const tiles = tilesOf(units);
  const first = scratch + 2 * PANEL_BYTES;
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
      packColumns(scratch, scratch + PANEL_BYTES, x + (t * length + column) * 4, length, lanes, nextLanes, count);
      addTiles(first, second, scratch, scratch + PANEL_BYTES, weights + t * 4, weightStride, tiles, count, nextLanes > 0, wide);
      unpackColumn(out + column * 4, first, length, lanes, units);
      if (nextLanes > 0) unpackColumn(out + (column + PANEL) * 4, second, length, nextLanes, units);
    }
  }
}

/**
 * What {@link combine} does, of columns that are packed already, with sums that stay in panels until {@link unpackColumns}: for
 * a matrix that many sets of weights are for. Panels of x, [t][8], lie `panelBytes` apart; those of the sums, [unit][8] with units
 * filled up to whole tiles, behind each other.
 */
export function addColumnProducts(
  sums: usize, weights: usize, weightStride: usize, units: usize, x: usize, panelBytes: usize, length: usize, depth: usize, wide: bool, fresh: bool,
): void {
  const panels = (length + PANEL - 1) / PANEL;
  const tiles = tilesOf(units);
  const sumBytes = tiles * TILE * 32;
  if (fresh) memory.fill(sums, 0, panels * sumBytes);
  for (let t: usize = 0; t < depth; t += DEPTH) {
    const count = min(DEPTH, depth - t);
    for (let panel: usize = 0; panel < panels; panel += 2) {
      const sum = sums + panel * sumBytes;
      const from = x + panel * panelBytes + t * 32;
      addTiles(sum, sum + sumBytes, from, from + panelBytes, weights + t * 4, weightStride, tiles, count, panel + 1 < panels, wide);
    }
  }
}

/** Adds to the sums of one panel of columns, or of two. */
function addTiles(
  sum: usize, nextSum: usize, x: usize, nextX: usize, weights: usize, weightStride: usize, tiles: usize, depth: usize, two: bool, wide: bool,
): void {
  for (let tile: usize = 0; tile < tiles; tile++) {
    const w = weights + tile * TILE * weightStride;
    const spill = tile * TILE * 32;
    if (wide && two) {
      tilePairProduct(sum + spill, nextSum + spill, x, nextX, 0, false, w, weightStride, depth);
    } else {
      tileProduct(sum + spill, x, 0, false, w, weightStride, depth);
      if (two) tileProduct(nextSum + spill, nextX, 0, false, w, weightStride, depth);
    }
  }
}

@inline
function tilesOf(units: usize): usize {
  return (units + TILE - 1) / TILE;
}

/** Packs the columns of `count` rows of `length` in panels [row][8] that lie panelBytes apart, the last one filled up with zeros. */
export function packPanels(panels: usize, panelBytes: usize, from: usize, length: usize, count: usize): void {
  for (let column: usize = 0; column < length; column += 2 * PANEL, panels += 2 * panelBytes) {
    const lanes = min(PANEL, length - column);
    packColumns(panels, panels + panelBytes, from + column * 4, length, lanes, min(PANEL, length - column - lanes), count);
  }
}

/** Writes sums of {@link addColumnProducts} to rows [units, length]. */
export function unpackColumns(out: usize, sums: usize, length: usize, units: usize): void {
  const sumBytes = tilesOf(units) * TILE * 32;
  for (let column: usize = 0; column < length; column += PANEL, sums += sumBytes) {
    unpackColumn(out + column * 4, sums, length, min(PANEL, length - column), units);
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
