/**
 * The float32 product of packed rows with latents: Z[r][i] = start[i] + Σ_j x[r][j]·w[i][j], each element one chain
 * ascending in j. A tile is 6 latents × 8 rows: 12 accumulators, two vectors of rows and one broadcast weight fill
 * the 16 vector registers of 128-bit machines; per dimension 12 multiply-adds wait for 8 loads, so that the
 * multiply-adds are the limit. Chains longer than DEPTH are spilled to Z and taken up again: weights (6 × DEPTH)
 * and rows (8 × DEPTH) of a tile then stay in the first-level cache.
 */
import { madd } from "./simd";

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
            tilePairProduct(out, out + units * 32, row, row + dIn * 32, biases, j == 0, weights, dIn * 4, 4, depth);
          }
        }
        for (; panel < panels; panel++) {
          tileProduct(z + (panel * units + unit) * 32, x + panel * dIn * 32, biases, j == 0, weights, dIn * 4, 4, depth);
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

/**
 * One tile over `depth` dimensions; goes on from z unless `fresh`. Its six latents' weights lie `stride` bytes apart,
 * a latent's weights for neighbouring dimensions `step` bytes.
 */
@inline
export function tileProduct(z: usize, x: usize, start: usize, fresh: bool, w: usize, stride: usize, step: usize, depth: usize): void {
  let a0: v128, a1: v128, b0: v128, b1: v128, c0: v128, c1: v128;
  let d0: v128, d1: v128, e0: v128, e1: v128, f0: v128, f1: v128;
  if (fresh) {
    a0 = v128.load_splat<f32>(start);
    a1 = a0;
    b0 = v128.load_splat<f32>(start, 4);
    b1 = b0;
    c0 = v128.load_splat<f32>(start, 8);
    c1 = c0;
    d0 = v128.load_splat<f32>(start, 12);
    d1 = d0;
    e0 = v128.load_splat<f32>(start, 16);
    e1 = e0;
    f0 = v128.load_splat<f32>(start, 20);
    f1 = f0;
  } else {
    a0 = v128.load(z);
    a1 = v128.load(z, 16);
    b0 = v128.load(z, 32);
    b1 = v128.load(z, 48);
    c0 = v128.load(z, 64);
    c1 = v128.load(z, 80);
    d0 = v128.load(z, 96);
    d1 = v128.load(z, 112);
    e0 = v128.load(z, 128);
    e1 = v128.load(z, 144);
    f0 = v128.load(z, 160);
    f1 = v128.load(z, 176);
  }
  let wa = w;
  let wb = w + stride;
  let wc = wb + stride;
  let wd = wc + stride;
  let we = wd + stride;
  let wf = we + stride;
  const end = x + depth * 32;
  while (x < end) {
    const x0 = v128.load(x);
    const x1 = v128.load(x, 16);
    let s = v128.load_splat<f32>(wa);
    a0 = madd(s, x0, a0);
    a1 = madd(s, x1, a1);
    s = v128.load_splat<f32>(wb);
    b0 = madd(s, x0, b0);
    b1 = madd(s, x1, b1);
    s = v128.load_splat<f32>(wc);
    c0 = madd(s, x0, c0);
    c1 = madd(s, x1, c1);
    s = v128.load_splat<f32>(wd);
    d0 = madd(s, x0, d0);
    d1 = madd(s, x1, d1);
    s = v128.load_splat<f32>(we);
    e0 = madd(s, x0, e0);
    e1 = madd(s, x1, e1);
    s = v128.load_splat<f32>(wf);
    f0 = madd(s, x0, f0);
    f1 = madd(s, x1, f1);
    x += 32;
    wa += step;
    wb += step;
    wc += step;
    wd += step;
    we += step;
    wf += step;
  }
  v128.store(z, a0);
  v128.store(z, a1, 16);
  v128.store(z, b0, 32);
  v128.store(z, b1, 48);
  v128.store(z, c0, 64);
  v128.store(z, c1, 80);
  v128.store(z, d0, 96);
  v128.store(z, d1, 112);
  v128.store(z, e0, 128);
  v128.store(z, e1, 144);
  v128.store(z, f0, 160);
  v128.store(z, f1, 176);
}

/**
 * Two panels at a time, with twice the accumulators. On 128-bit machines they do not fit the registers; where V8
 * joins neighbouring 128-bit operations into 256-bit ones (--experimental-wasm-revectorize), 12 accumulators of
 * 256 bits keep both multiply-add units busy, which the 6 of one panel cannot. The bits are the same.
 */
@inline
export function tilePairProduct(z: usize, zNext: usize, x: usize, xNext: usize, start: usize, fresh: bool, w: usize, stride: usize, step: usize, depth: usize): void {
  let a0: v128, a1: v128, a2: v128, a3: v128;
  let b0: v128, b1: v128, b2: v128, b3: v128;
  let c0: v128, c1: v128, c2: v128, c3: v128;
  let d0: v128, d1: v128, d2: v128, d3: v128;
  let e0: v128, e1: v128, e2: v128, e3: v128;
  let f0: v128, f1: v128, f2: v128, f3: v128;
  if (fresh) {
    a0 = v128.load_splat<f32>(start);
    a1 = a0;
    a2 = a0;
    a3 = a0;
    b0 = v128.load_splat<f32>(start, 4);
    b1 = b0;
    b2 = b0;
    b3 = b0;
    c0 = v128.load_splat<f32>(start, 8);
    c1 = c0;
    c2 = c0;
    c3 = c0;
    d0 = v128.load_splat<f32>(start, 12);
    d1 = d0;
    d2 = d0;
    d3 = d0;
    e0 = v128.load_splat<f32>(start, 16);
    e1 = e0;
    e2 = e0;
    e3 = e0;
    f0 = v128.load_splat<f32>(start, 20);
    f1 = f0;
    f2 = f0;
    f3 = f0;
  } else {
    a0 = v128.load(z);
    a1 = v128.load(z, 16);
    a2 = v128.load(zNext);
    a3 = v128.load(zNext, 16);
    b0 = v128.load(z, 32);
    b1 = v128.load(z, 48);
    b2 = v128.load(zNext, 32);
    b3 = v128.load(zNext, 48);
    c0 = v128.load(z, 64);
    c1 = v128.load(z, 80);
    c2 = v128.load(zNext, 64);
    c3 = v128.load(zNext, 80);
    d0 = v128.load(z, 96);
    d1 = v128.load(z, 112);
    d2 = v128.load(zNext, 96);
    d3 = v128.load(zNext, 112);
    e0 = v128.load(z, 128);
    e1 = v128.load(z, 144);
    e2 = v128.load(zNext, 128);
    e3 = v128.load(zNext, 144);
    f0 = v128.load(z, 160);
    f1 = v128.load(z, 176);
    f2 = v128.load(zNext, 160);
    f3 = v128.load(zNext, 176);
  }
  let wa = w;
  let wb = w + stride;
  let wc = wb + stride;
  let wd = wc + stride;
  let we = wd + stride;
  let wf = we + stride;
  const end = x + depth * 32;
  while (x < end) {
    const x0 = v128.load(x);
    const x1 = v128.load(x, 16);
    const x2 = v128.load(xNext);
    const x3 = v128.load(xNext, 16);
    let s = v128.load_splat<f32>(wa);
    a0 = madd(s, x0, a0);
    a1 = madd(s, x1, a1);
    a2 = madd(s, x2, a2);
    a3 = madd(s, x3, a3);
    s = v128.load_splat<f32>(wb);
    b0 = madd(s, x0, b0);
    b1 = madd(s, x1, b1);
    b2 = madd(s, x2, b2);
    b3 = madd(s, x3, b3);
    s = v128.load_splat<f32>(wc);
    c0 = madd(s, x0, c0);
    c1 = madd(s, x1, c1);
    c2 = madd(s, x2, c2);
    c3 = madd(s, x3, c3);
    s = v128.load_splat<f32>(wd);
    d0 = madd(s, x0, d0);
    d1 = madd(s, x1, d1);
    d2 = madd(s, x2, d2);
    d3 = madd(s, x3, d3);
    s = v128.load_splat<f32>(we);
    e0 = madd(s, x0, e0);
    e1 = madd(s, x1, e1);
    e2 = madd(s, x2, e2);
    e3 = madd(s, x3, e3);
    s = v128.load_splat<f32>(wf);
    f0 = madd(s, x0, f0);
    f1 = madd(s, x1, f1);
    f2 = madd(s, x2, f2);
    f3 = madd(s, x3, f3);
    x += 32;
    xNext += 32;
    wa += step;
    wb += step;
    wc += step;
    wd += step;
    we += step;
    wf += step;
  }
  v128.store(z, a0);
  v128.store(z, a1, 16);
  v128.store(zNext, a2);
  v128.store(zNext, a3, 16);
  v128.store(z, b0, 32);
  v128.store(z, b1, 48);
  v128.store(zNext, b2, 32);
  v128.store(zNext, b3, 48);
  v128.store(z, c0, 64);
  v128.store(z, c1, 80);
  v128.store(zNext, c2, 64);
  v128.store(zNext, c3, 80);
  v128.store(z, d0, 96);
  v128.store(z, d1, 112);
  v128.store(zNext, d2, 96);
  v128.store(zNext, d3, 112);
  v128.store(z, e0, 128);
  v128.store(z, e1, 144);
  v128.store(zNext, e2, 128);
  v128.store(zNext, e3, 144);
  v128.store(z, f0, 160);
  v128.store(z, f1, 176);
  v128.store(zNext, f2, 160);
  v128.store(zNext, f3, 176);
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
