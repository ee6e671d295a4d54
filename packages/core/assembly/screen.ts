/**
 * The screening product: for rows and latents in small integers (quantise.ts), an upper bound of each pre-activation,
 * u = b + s_x·s_w·Σ q_x·q_w + margin, where the margin bounds seven standard deviations of the rounding errors. The row's part of it
 * is in what the sums start at. Which latents can matter follows from the bounds; their canonical values are computed by evaluate.ts.
 *
 * There are two ways. Where the machine adds four products to a sum of 32 bits in one instruction (AVX-VNNI), a tile is 6
 * latents × 8 rows: twelve sums, two vectors of rows, one broadcast piece of a latent. Where it takes five, pairs of products
 * are added up in 16 bits over 4·DOTS dimensions, then widened, in tiles of 5 × 8.
 */
import { PANEL } from "./product";
import { DEPTH, DOTS, LATENT_TERMS, NARROW_TILE, panelBytes, ROW_TERMS, tileOf, WIDE_TILE } from "./quantise";
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
 * Four products of 127 and a byte −1 as {@link dotAdd} adds them up, which tells how the machine does it: 4·127·255 where it takes
 * the byte for one of eight bits without a sign, in one instruction; −4·127 where for one with a sign, in one, too; 2·32,767 where it takes
 * five, which add neighbours in 16 bits that saturate. Of `factor`, which must be −1, the compiler must not know.
 */
export function fourProducts(factor: i32): i32 {
  return i32x4.extract_lane(dotAdd(i8x16.splat(127), i8x16.splat(<i8>factor), i32x4.splat(0)), 0);
}

/**
 * Bounds u [panel][latent][8] of `panels` quantised panels, and per row the maximum over groups of `tilesPerGroup` tiles in
 * maxima [panel][group][8]. `sums` is scratch for the sums of a tile and two panels. `wideSums`: by sums of 32 bits, as rows and
 * latents must have been quantised; `pairs`: then of two panels at once, for machines that join vectors.
 */
export function screen(
  u: usize, packed: usize, panels: usize, rowTerms: usize, quantised: usize, latentTerms: usize, units: usize, dIn: usize,
  maxima: usize, tilesPerGroup: usize, sums: usize, wideSums: bool, pairs: bool,
): void {
  const steps = ((dIn + DEPTH - 1) / DEPTH) * (DEPTH / 4);
  const tileUnits = tileOf(wideSums);
  const tiles = (units + tileUnits - 1) / tileUnits;
  const groups = (tiles + tilesPerGroup - 1) / tilesPerGroup;
  const one = i16x8.splat(1);
  const tileBytes = steps * 4 * tileUnits;
  const bytes = panelBytes(steps, wideSums);
  const tilesAtOnce = max<usize>(1, CACHED_BYTES / tileBytes);
  const none = f32x4.splat(-Infinity);
  for (let at = maxima; at < maxima + panels * groups * 32; at += 16) v128.store(at, none);
  for (let firstTile: usize = 0; firstTile < tiles; firstTile += tilesAtOnce) {
    const lastTile = min(firstTile + tilesAtOnce, tiles);
    for (let panel: usize = 0; panel < panels; panel++) {
      const pair = wideSums && pairs && panel + 1 < panels;
      const x = packed + panel * bytes;
      const terms = rowTerms + panel * ROW_TERMS;
      const group = firstTile / tilesPerGroup;
      let maximum = maxima + (panel * groups + group) * 32;
      let leftOfGroup = (group + 1) * tilesPerGroup - firstTile;
      for (let tile = firstTile; tile < lastTile; tile++) {
        const unit = tile * tileUnits;
        const w = quantised + tile * tileBytes;
        if (pair) {
          addWidePair(sums, x, x + bytes, w, steps, terms);
        } else if (wideSums) {
          addWide(sums, x, w, steps, terms);
        } else {
          addNarrow(sums, x, w, steps, terms, one);
        }
        const out = u + (panel * units + unit) * 32;
        const count = min(tileUnits, units - unit);
        const ofLatents = latentTerms + unit * LATENT_TERMS;
        bounds(out, sums, count, terms, ofLatents, maximum);
        if (pair) bounds(out + units * 32, sums + WIDE_TILE * 32, count, terms + ROW_TERMS, ofLatents, maximum + groups * 32);
        // Neither a division nor a branch, which nothing foretells after the long loop over dimensions.
        leftOfGroup--;
        const ended = leftOfGroup == 0;
        maximum += ended ? 32 : 0;
        leftOfGroup = ended ? tilesPerGroup : leftOfGroup;
      }
      if (pair) panel++;
    }
  }
}

/** Number of groups of {@link screen}. */
export function screenGroupCount(units: usize, tilesPerGroup: usize, wideSums: bool): usize {
  const size = tileOf(wideSums) * tilesPerGroup;
  return (units + size - 1) / size;
}

/**
 * The sums [5 latents][8 rows] of a tile over `steps` times 4 dimensions, by sums of 16 bits over DOTS steps each. The loop has one
 * step, which V8 unrolls: written out for several it was slower, see decision 009.
 */
@inline
function addNarrow(sums: usize, x: usize, w: usize, steps: usize, rowTerms: usize, one: v128): void {
  for (let step: usize = 0; step < steps; step += DOTS) {
    // What the offset of the latents adds too much is taken off before the sums are widened: till then they wrap around.
    let a0 = v128.load(x);
    let a1 = v128.load(x, 16);
    let b0 = a0;
    let b1 = a1;
    let c0 = a0;
    let c1 = a1;
    let d0 = a0;
    let d1 = a1;
    let e0 = a0;
    let e1 = a1;
    x += 32;
    const end = x + min(DOTS, steps - step) * 32;
    while (x < end) {
      const x0 = v128.load(x);
      const x1 = v128.load(x, 16);
      let s = v128.load_splat<i32>(w);
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
      s = v128.load_splat<i32>(w, 16);
      e0 = i16x8.add(e0, dot(x0, s));
      e1 = i16x8.add(e1, dot(x1, s));
      w += 4 * NARROW_TILE;
      x += 32;
    }
    const from = step == 0 ? rowTerms + 96 : sums;
    const next: usize = step == 0 ? 0 : 32;
    addPair(sums, from, a0, a1, one);
    addPair(sums + 32, from + next, b0, b1, one);
    addPair(sums + 64, from + 2 * next, c0, c1, one);
    addPair(sums + 96, from + 3 * next, d0, d1, one);
    addPair(sums + 128, from + 4 * next, e0, e1, one);
  }
}

/** The sums [6 latents][8 rows] of a tile, by sums of 32 bits: twelve of them, since each addition waits for the one five cycles before. */
@inline
function addWide(sums: usize, x: usize, w: usize, steps: usize, rowTerms: usize): void {
  let a0 = v128.load(rowTerms, 96);
  let a1 = v128.load(rowTerms, 112);
  let b0 = a0;
  let b1 = a1;
  let c0 = a0;
  let c1 = a1;
  let d0 = a0;
  let d1 = a1;
  let e0 = a0;
  let e1 = a1;
  let f0 = a0;
  let f1 = a1;
  // One counter less than a loop over steps: V8 takes it for small enough then to unroll it.
  const end = x + steps * 32;
  while (x < end) {
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
    s = v128.load_splat<i32>(w, 16);
    e0 = dotAdd(x0, s, e0);
    e1 = dotAdd(x1, s, e1);
    s = v128.load_splat<i32>(w, 20);
    f0 = dotAdd(x0, s, f0);
    f1 = dotAdd(x1, s, f1);
    x += 32;
    w += 4 * WIDE_TILE;
  }
  v128.store(sums, a0);
  v128.store(sums, a1, 16);
  v128.store(sums, b0, 32);
  v128.store(sums, b1, 48);
  v128.store(sums, c0, 64);
  v128.store(sums, c1, 80);
  v128.store(sums, d0, 96);
  v128.store(sums, d1, 112);
  v128.store(sums, e0, 128);
  v128.store(sums, e1, 144);
  v128.store(sums, f0, 160);
  v128.store(sums, f1, 176);
}

/**
 * Two panels at a time, [2 panels][6 latents][8 rows]. On 128-bit machines the sums do not fit the registers; where V8 joins
 * neighbouring vectors there are twelve again, of 256 bits.
 */
@inline
function addWidePair(sums: usize, x: usize, xNext: usize, w: usize, steps: usize, rowTerms: usize): void {
  let a0 = v128.load(rowTerms, 96);
  let a1 = v128.load(rowTerms, 112);
  let a2 = v128.load(rowTerms, ROW_TERMS + 96);
  let a3 = v128.load(rowTerms, ROW_TERMS + 112);
  let b0 = a0;
  let b1 = a1;
  let b2 = a2;
  let b3 = a3;
  let c0 = a0;
  let c1 = a1;
  let c2 = a2;
  let c3 = a3;
  let d0 = a0;
  let d1 = a1;
  let d2 = a2;
  let d3 = a3;
  let e0 = a0;
  let e1 = a1;
  let e2 = a2;
  let e3 = a3;
  let f0 = a0;
  let f1 = a1;
  let f2 = a2;
  let f3 = a3;
  for (let step: usize = 0; step < steps; step++) {
    const x0 = v128.load(x);
    const x1 = v128.load(x, 16);
    const x2 = v128.load(xNext);
    const x3 = v128.load(xNext, 16);
    let s = v128.load_splat<i32>(w);
    a0 = dotAdd(x0, s, a0);
    a1 = dotAdd(x1, s, a1);
    a2 = dotAdd(x2, s, a2);
    a3 = dotAdd(x3, s, a3);
    s = v128.load_splat<i32>(w, 4);
    b0 = dotAdd(x0, s, b0);
    b1 = dotAdd(x1, s, b1);
    b2 = dotAdd(x2, s, b2);
    b3 = dotAdd(x3, s, b3);
    s = v128.load_splat<i32>(w, 8);
    c0 = dotAdd(x0, s, c0);
    c1 = dotAdd(x1, s, c1);
    c2 = dotAdd(x2, s, c2);
    c3 = dotAdd(x3, s, c3);
    s = v128.load_splat<i32>(w, 12);
    d0 = dotAdd(x0, s, d0);
    d1 = dotAdd(x1, s, d1);
    d2 = dotAdd(x2, s, d2);
    d3 = dotAdd(x3, s, d3);
    s = v128.load_splat<i32>(w, 16);
    e0 = dotAdd(x0, s, e0);
    e1 = dotAdd(x1, s, e1);
    e2 = dotAdd(x2, s, e2);
    e3 = dotAdd(x3, s, e3);
    s = v128.load_splat<i32>(w, 20);
    f0 = dotAdd(x0, s, f0);
    f1 = dotAdd(x1, s, f1);
    f2 = dotAdd(x2, s, f2);
    f3 = dotAdd(x3, s, f3);
    x += 32;
    xNext += 32;
    w += 4 * WIDE_TILE;
  }
  v128.store(sums, a0);
  v128.store(sums, a1, 16);
  v128.store(sums, b0, 32);
  v128.store(sums, b1, 48);
  v128.store(sums, c0, 64);
  v128.store(sums, c1, 80);
  v128.store(sums, d0, 96);
  v128.store(sums, d1, 112);
  v128.store(sums, e0, 128);
  v128.store(sums, e1, 144);
  v128.store(sums, f0, 160);
  v128.store(sums, f1, 176);
  v128.store(sums, a2, 192);
  v128.store(sums, a3, 208);
  v128.store(sums, b2, 224);
  v128.store(sums, b3, 240);
  v128.store(sums, c2, 256);
  v128.store(sums, c3, 272);
  v128.store(sums, d2, 288);
  v128.store(sums, d3, 304);
  v128.store(sums, e2, 320);
  v128.store(sums, e3, 336);
  v128.store(sums, f2, 352);
  v128.store(sums, f3, 368);
}

/** sums = from + the sums of eight rows, widened. Both loads come before the stores: engines then join the two vectors. */
@inline
function addPair(sums: usize, from: usize, low: v128, high: v128, one: v128): void {
  const low32 = i32x4.add(v128.load(from), i32x4.dot_i16x8_s(low, one));
  const high32 = i32x4.add(v128.load(from, 16), i32x4.dot_i16x8_s(high, one));
  v128.store(sums, low32);
  v128.store(sums, high32, 16);
}

/**
 * Bounds of up to six latents for eight rows, whose `maximum` [8] they raise. Bounds are numbers or +∞, never NaN, so that the
 * maximum may be the machine's own. Each operation counts: a tile has twelve vectors of bounds.
 */
@inline
function bounds(u: usize, sums: usize, count: usize, rowTerms: usize, latentTerms: usize, maximum: usize): void {
  const scale0 = v128.load(rowTerms);
  const scale1 = v128.load(rowTerms, 16);
  const shift0 = v128.load(rowTerms, 32);
  const shift1 = v128.load(rowTerms, 48);
  const b0 = v128.load(rowTerms, 64);
  const b1 = v128.load(rowTerms, 80);
  let low = v128.load(maximum);
  let high = v128.load(maximum, 16);
  for (let unit: usize = 0; unit < count; unit++) {
    const scale = v128.load_splat<f32>(latentTerms);
    const ratio = v128.load_splat<f32>(latentTerms, 4);
    const bias = v128.load_splat<f32>(latentTerms, 8);
    const bound0 = bound(v128.load(sums), scale0, shift0, b0, scale, ratio, bias);
    const bound1 = bound(v128.load(sums, 16), scale1, shift1, b1, scale, ratio, bias);
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
function bound(sum: v128, rowScale: v128, shift: v128, b: v128, scale: v128, ratio: v128, bias: v128): v128 {
  return madd(madd(sum, rowScale, shift), scale, madd(b, ratio, bias));
}

/** The margin of one row and latent, as {@link screen} added it. `rowTerms` begins at the row's lane. */
export function marginOf(rowTerms: usize, latentTerms: usize): f32 {
  const steps = load<f32>(rowTerms, 128);
  return load<f32>(rowTerms) * load<f32>(latentTerms) * steps + load<f32>(rowTerms, 64) * load<f32>(latentTerms, 4);
}

/** The variance of the rounding errors of one row and latent: {@link marginOf} bounds MARGIN times its root from above. */
export function varianceOf(rowTerms: usize, latentTerms: usize): f32 {
  const rowScale = load<f32>(rowTerms);
  const scale = load<f32>(latentTerms);
  return (rowScale * scale) * (rowScale * (load<f32>(rowTerms, 160) * scale + load<f32>(latentTerms, 4))) * (1 / 12);
}
