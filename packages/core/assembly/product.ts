/**
 * The float32 product of packed rows with latents: Z[r][i] = start[i] + Σ_j x[r][j]·w[i][j], each element one chain
 * ascending in j. A tile is 6 latents × 8 rows: 12 accumulators, two vectors of rows and one broadcast weight fill
 * the 16 vector registers of 128-bit machines; per dimension 12 multiply-adds wait for 8 loads, so that the
 * multiply-adds are the limit. Chains longer than DEPTH are spilled to Z and taken up again: weights (6 × DEPTH)
 * and rows (8 × DEPTH) of a tile then stay in the first-level cache.
 */
import { madd } from "./simd";
import { tilePairProduct, tileProduct } from "./tile";

/** Rows of a panel: the lanes of two vectors. Packed rows are [panel][dimension][8]. */
export const PANEL: usize = 8;
/** Latents of a tile. */
export const TILE: usize = 6;
/** Dimensions of a chain that are worked off before the next rows: 6 × 384 and 8 × 384 numbers are 21 kB of a cache of 32 or 48. */
export const DEPTH: usize = 384;

/**
 * Packs rows [rows, dIn] into panels, subtracting `bias` [dIn] where it is not 0 and then also writing the
 * difference to `centred` [rows, dIn]. The last panel is filled up with zeros.
 */
export function packRows(packed: usize, x: usize, bias: usize, centred: usize, rows: usize, dIn: usize): void {
  const panels = (rows + PANEL - 1) / PANEL;
  for (let panel: usize = 0; panel < panels; panel++) {
    const base = packed + panel * dIn * 32;
    for (let lane: usize = 0; lane < PANEL; lane++) {
      const row = panel * PANEL + lane;
      let out = base + lane * 4;
      if (row >= rows) {
        for (let j: usize = 0; j < dIn; j++, out += 32) store<f32>(out, 0);
        continue;
      }
      const from = x + row * dIn * 4;
      if (bias == 0) {
        for (let j: usize = 0; j < dIn; j++, out += 32) store<f32>(out, load<f32>(from + (j << 2)));
      } else {
        const to = centred + row * dIn * 4;
        for (let j: usize = 0; j < dIn; j++, out += 32) {
          const value = load<f32>(from + (j << 2)) - load<f32>(bias + (j << 2));
          store<f32>(to + (j << 2), value);
          store<f32>(out, value);
        }
      }
    }
  }
}

/** Packs one row x [dIn] into lane `lane` of a panel; zeros where x is 0. */
export function packRow(panel: usize, lane: usize, x: usize, dIn: usize): void {
  let out = panel + lane * 4;
  for (let j: usize = 0; j < dIn; j++, out += 32) store<f32>(out, x == 0 ? 0 : load<f32>(x + (j << 2)));
}

/**
 * The product of `panels` packed panels with `units` rows of `w` [units, dIn], into z [panel][unit][8].
 * `wide`: in tiles of two panels, for machines that join vectors. `maxima` (0: none) receives [panel][group][8]: per row the maximum over groups of 6·tilesPerGroup units.
 */
export function product(
  z: usize, packed: usize, panels: usize, start: usize, w: usize, units: usize, dIn: usize, maxima: usize, tilesPerGroup: usize, wide: bool,
): void {
  const groups = groupCount(units, tilesPerGroup);
  const tiles = (units + TILE - 1) / TILE;
  for (let tile: usize = 0; tile < tiles; tile++) {
    const begin = tile * TILE;
    if (units < TILE) {
      for (let unit: usize = 0; unit < units; unit++) {
        for (let panel: usize = 0; panel < panels; panel++) {
          const out = z + (panel * units + unit) * 32;
          unitProduct(out, packed + panel * dIn * 32, load<f32>(start + unit * 4), w + unit * dIn * 4, dIn);
        }
      }
    } else {
      // What is left over at the end is made up to a tile by units of the one before, whose values come out the same.
      const unit = min(begin, units - TILE);
      for (let j: usize = 0; j < dIn; j += DEPTH) {
        const depth = min(DEPTH, dIn - j);
        const x = packed + j * 32;
        const weights = w + (unit * dIn + j) * 4;
        const biases = start + unit * 4;
        let panel: usize = 0;
        if (wide) {
          for (; panel + 2 <= panels; panel += 2) {
            const out = z + (panel * units + unit) * 32;
            const row = x + panel * dIn * 32;
            tilePairProduct(out, out + units * 32, row, row + dIn * 32, biases, j == 0, weights, dIn * 4, depth);
          }
        }
        for (; panel < panels; panel++) {
          tileProduct(z + (panel * units + unit) * 32, x + panel * dIn * 32, biases, j == 0, weights, dIn * 4, depth);
        }
      }
    }
    if (maxima == 0) continue;
    const group = tile / tilesPerGroup;
    const count = min(TILE, units - begin);
    for (let panel: usize = 0; panel < panels; panel++) {
      groupMaximum(maxima + (panel * groups + group) * 32, z + (panel * units + begin) * 32, count, tile == group * tilesPerGroup);
    }
  }
}

/** Number of groups of units, the last one perhaps smaller. */
export function groupCount(units: usize, tilesPerGroup: usize): usize {
  const size = TILE * tilesPerGroup;
  return (units + size - 1) / size;
}

/** maximum = max over `units` vectors of 8 at `z`, together with what is there unless `fresh`. NaN stays NaN. */
@inline
function groupMaximum(maximum: usize, z: usize, units: usize, fresh: bool): void {
  let low = v128.load(z);
  let high = v128.load(z, 16);
  if (!fresh) {
    low = f32x4.max(low, v128.load(maximum));
    high = f32x4.max(high, v128.load(maximum, 16));
  }
  for (let unit: usize = 1; unit < units; unit++) {
    low = f32x4.max(low, v128.load(z + unit * 32));
    high = f32x4.max(high, v128.load(z + unit * 32, 16));
  }
  v128.store(maximum, low);
  v128.store(maximum, high, 16);
}

/** One unit × 8 rows over all dimensions, where there are too few for a tile. */
function unitProduct(z: usize, x: usize, start: f32, w: usize, dIn: usize): void {
  let low = f32x4.splat(start);
  let high = low;
  const end = x + dIn * 32;
  while (x < end) {
    const s = v128.load_splat<f32>(w);
    low = madd(s, v128.load(x), low);
    high = madd(s, v128.load(x, 16), high);
    x += 32;
    w += 4;
  }
  v128.store(z, low);
  v128.store(z, high, 16);
}
