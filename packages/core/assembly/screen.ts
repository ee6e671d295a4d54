/**
 * The screening product: for rows and latents in small integers (quantise.ts), an upper bound of each pre-activation,
 * u = b + s_x·s_w·Σ q_x·q_w + margin, where the margin bounds seven standard deviations of the rounding errors. Which
 * latents can matter follows from the bounds; their canonical values are computed by evaluate.ts.
 *
 * A tile is 4 latents × 8 rows: eight accumulators, two vectors of rows, one broadcast piece of a latent. There are two
 * ways to the same sums: pairs of products added up in 16 bits over 4·DOTS dimensions, then widened; or four products added to
 * 32 bits by one operation, which is one instruction where the machine has it (AVX-VNNI) and five where it has not.
 */
import { PANEL } from "./product";
import { DEPTH, DOTS, LATENT_TERMS, ROW_TERMS, TILE } from "./quantise";
import { madd } from "./simd";

/**
 * Bytes of latents that all panels are multiplied with before the next: they stay in a second-level cache, and are read in
 * the order in which they lie, which lets the processor fetch them ahead; a panel's rows stay in the first-level cache.
 */
const CACHED_BYTES: usize = 1 << 18;

/** Four dimensions of four rows times those of one latent, neighbours added: eight sums of 16 bits. */
@inline
function dot(x: v128, w: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i16x8.relaxed_dot_i8x16_i7x16_s(x, w);
  // Screening is not offered without relaxed SIMD: it would not pay.
  return unreachable();
}

/** Four dimensions of four rows times those of one latent, added to four sums of 32 bits. */
@inline
function dotAdd(x: v128, w: v128, sum: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return i32x4.relaxed_dot_i8x16_i7x16_add_s(x, w, sum);
  return unreachable();
}

/**
 * Bounds u [panel][latent][8] of `panels` quantised panels, and per row the maximum over groups of
 * TILE·tilesPerGroup latents in maxima [panel][group][8]. `sums` is scratch for a tile's 32 sums. `wideSums`: by sums of
 * 32 bits.
 */
export function screen(
  u: usize, packed: usize, panels: usize, rowTerms: usize, quantised: usize, latentTerms: usize, units: usize, dIn: usize,
  maxima: usize, tilesPerGroup: usize, sums: usize, wideSums: bool,
): void {
  const steps = ((dIn + DEPTH - 1) / DEPTH) * (DEPTH / 4);
  const tiles = (units + TILE - 1) / TILE;
  const groups = (tiles + tilesPerGroup - 1) / tilesPerGroup;
  const one = i16x8.splat(1);
  const tileBytes = steps * 4 * TILE;
  const tilesAtOnce = max<usize>(1, CACHED_BYTES / tileBytes);
  for (let firstTile: usize = 0; firstTile < tiles; firstTile += tilesAtOnce) {
    const lastTile = min(firstTile + tilesAtOnce, tiles);
    for (let panel: usize = 0; panel < panels; panel++) {
      const x = packed + panel * steps * 4 * PANEL;
      const terms = rowTerms + panel * ROW_TERMS;
      for (let tile = firstTile; tile < lastTile; tile++) {
        const unit = tile * TILE;
        const group = tile / tilesPerGroup;
        startSums(sums, terms);
        if (wideSums) addWide(sums, x, quantised + tile * tileBytes, steps);
        else addNarrow(sums, x, quantised + tile * tileBytes, steps, one);
        bounds(
          u + (panel * units + unit) * 32, sums, min(TILE, units - unit), terms, latentTerms + unit * LATENT_TERMS,
          maxima + (panel * groups + group) * 32, tile == group * tilesPerGroup,
        );
      }
    }
  }
}

/** Number of groups of {@link screen}. */
export function screenGroupCount(units: usize, tilesPerGroup: usize): usize {
  const size = TILE * tilesPerGroup;
  return (units + size - 1) / size;
}

/**
 * Adds to sums [4 latents][8 rows] `steps` times 4 dimensions, by sums of 16 bits over DOTS steps each. The loop has one
 * step, which V8 unrolls: written out for several it was slower, see decision 009.
 */
@inline
function addNarrow(sums: usize, x: usize, w: usize, steps: usize, one: v128): void {
  let x0: v128, x1: v128, s: v128;
  let a0: v128, a1: v128, b0: v128, b1: v128, c0: v128, c1: v128, d0: v128, d1: v128;
  while (steps > 0) {
    const part = min(DOTS, steps);
    steps -= part;
    x0 = v128.load(x, 0);
    x1 = v128.load(x, 16);
    s = v128.load_splat<i32>(w);
    a0 = dot(x0, s);
    a1 = dot(x1, s);
    s = v128.load_splat<i32>(w, 4);
    b0 = dot(x0, s);
    b1 = dot(x1, s);
    s = v128.load_splat<i32>(w, 8);
    c0 = dot(x0, s);
    c1 = dot(x1, s);
    s = v128.load_splat<i32>(w, 12);
    d0 = dot(x0, s);
    d1 = dot(x1, s);
    w += 16;
    x += 32;
    for (let step: usize = 1; step < part; step++) {
      x0 = v128.load(x, 0);
      x1 = v128.load(x, 16);
      s = v128.load_splat<i32>(w);
      a0 = i16x8.add(a0, dot(x0, s));
      a1 = i16x8.add(a1, dot(x1, s));
      s = v128.load_splat<i32>(w, 4);
      b0 = i16x8.add(b0, dot(x0, s));
      b1 = i16x8.add(b1, dot(x1, s));
      s = v128.load_splat<i32>(w, 8);
      c0 = i16x8.add(c0, dot(x0, s));
      c1 = i16x8.add(c1, dot(x1, s));
      s = v128.load_splat<i32>(w, 12);
      d0 = i16x8.add(d0, dot(x0, s));
      d1 = i16x8.add(d1, dot(x1, s));
      w += 16;
      x += 32;
    }
    addPair(sums, a0, a1, one);
    addPair(sums + 32, b0, b1, one);
    addPair(sums + 64, c0, c1, one);
    addPair(sums + 96, d0, d1, one);
  }
}

/** Adds to sums [4 latents][8 rows] `steps` times 4 dimensions, by sums of 32 bits. */
@inline
function addWide(sums: usize, x: usize, w: usize, steps: usize): void {
  let a0 = v128.load(sums);
  let a1 = v128.load(sums, 16);
  let b0 = v128.load(sums, 32);
  let b1 = v128.load(sums, 48);
  let c0 = v128.load(sums, 64);
  let c1 = v128.load(sums, 80);
  let d0 = v128.load(sums, 96);
  let d1 = v128.load(sums, 112);
  for (let step: usize = 0; step < steps; step++) {
    const x0 = v128.load(x);
    const x1 = v128.load(x, 16);
    let s = v128.load_splat<i32>(w);
    a0 = dotAdd(x0, s, a0);
    a1 = dotAdd(x1, s, a1);
    s = v128.load_splat<i32>(w, 4);
    b0 = dotAdd(x0, s, b0);
    b1 = dotAdd(x1, s, b1);
    s = v128.load_splat<i32>(w, 8);
    c0 = dotAdd(x0, s, c0);
    c1 = dotAdd(x1, s, c1);
    s = v128.load_splat<i32>(w, 12);
    d0 = dotAdd(x0, s, d0);
    d1 = dotAdd(x1, s, d1);
    x += 32;
    w += 16;
  }
  v128.store(sums, a0);
  v128.store(sums, a1, 16);
  v128.store(sums, b0, 32);
  v128.store(sums, b1, 48);
  v128.store(sums, c0, 64);
  v128.store(sums, c1, 80);
  v128.store(sums, d0, 96);
  v128.store(sums, d1, 112);
}

/** Widens the sums of eight rows and adds them up. Both loads come before the stores: engines then join the two vectors. */
@inline
function addPair(sums: usize, low: v128, high: v128, one: v128): void {
  const low32 = i32x4.add(v128.load(sums), i32x4.dot_i16x8_s(low, one));
  const high32 = i32x4.add(v128.load(sums, 16), i32x4.dot_i16x8_s(high, one));
  v128.store(sums, low32);
  v128.store(sums, high32, 16);
}

/** Starts the sums of a tile at what the latents' offset adds too much. */
@inline
function startSums(sums: usize, rowTerms: usize): void {
  const low = v128.load(rowTerms, 96);
  const high = v128.load(rowTerms, 112);
  for (let unit: usize = 0; unit < TILE; unit++, sums += 32) {
    v128.store(sums, low);
    v128.store(sums, high, 16);
  }
}

/**
 * Bounds of up to four latents for eight rows, and their maximum. Bounds are numbers or +∞, never NaN, so that the maximum
 * may be the machine's own.
 */
@inline
function bounds(u: usize, sums: usize, count: usize, rowTerms: usize, latentTerms: usize, maximum: usize, fresh: bool): void {
  const scale0 = v128.load(rowTerms);
  const scale1 = v128.load(rowTerms, 16);
  const a0 = v128.load(rowTerms, 32);
  const a1 = v128.load(rowTerms, 48);
  const b0 = v128.load(rowTerms, 64);
  const b1 = v128.load(rowTerms, 80);
  let low = f32x4.splat(-Infinity);
  let high = low;
  if (!fresh) {
    low = v128.load(maximum);
    high = v128.load(maximum, 16);
  }
  for (let unit: usize = 0; unit < count; unit++) {
    const scale = v128.load_splat<f32>(latentTerms);
    const ratio = v128.load_splat<f32>(latentTerms, 4);
    const norm = v128.load_splat<f32>(latentTerms, 8);
    const bias = v128.load_splat<f32>(latentTerms, 12);
    const bound0 = bound(v128.load(sums), scale0, a0, b0, scale, ratio, norm, bias);
    const bound1 = bound(v128.load(sums, 16), scale1, a1, b1, scale, ratio, norm, bias);
    v128.store(u, bound0);
    v128.store(u, bound1, 16);
    low = f32x4.pmax(low, bound0);
    high = f32x4.pmax(high, bound1);
    u += 32;
    sums += 32;
    latentTerms += LATENT_TERMS;
  }
  v128.store(maximum, low);
  v128.store(maximum, high, 16);
}

@inline
function bound(sum: v128, rowScale: v128, a: v128, b: v128, scale: v128, ratio: v128, norm: v128, bias: v128): v128 {
  return madd(f32x4.mul(f32x4.convert_i32x4_s(sum), rowScale), scale, madd(a, norm, madd(b, ratio, bias)));
}

/** The margin of one row and latent, as {@link screen} added it. `rowTerms` begins at the row's lane. */
export function marginOf(rowTerms: usize, latentTerms: usize): f32 {
  return load<f32>(rowTerms, 32) * load<f32>(latentTerms, 8) + load<f32>(rowTerms, 64) * load<f32>(latentTerms, 4);
}

/** MARGIN standard deviations of the rounding errors of one row and latent: what {@link marginOf} bounds from above. */
export function deviationsOf(rowTerms: usize, latentTerms: usize): f32 {
  const norm = load<f32>(latentTerms, 8);
  const scale = load<f32>(latentTerms);
  return sqrt<f32>(load<f32>(rowTerms, 128) * norm * norm + load<f32>(rowTerms, 160) * scale * scale);
}
