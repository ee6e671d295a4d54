/**
 * The loops of synthetic corpora that are worth vectors: scores, sums of directions, and pushing directions apart.
 * No fused or relaxed operation: every machine computes the same bits. Pointers are byte offsets into the memory.
 */

/** Numbers of a block of scores, whose maximum is kept. */
const BLOCK: usize = 64;

/**
 * Scores of four rows: scores[r][i] = (((-threshold[i]) + factor[0][i]·normals[r][0]) + …), r < 4, i < `count` (a
 * multiple of 64), and their maxima over blocks of 64, [4][count / 64]. `factor` is [rank][count], `normals`
 * [4][rank]. `stride` is the number of scores from one row to the next.
 */
export function scoreRows(
  scores: usize,
  maxima: usize,
  factor: usize,
  threshold: usize,
  normals: usize,
  rank: usize,
  count: usize,
): void {
  const blocks = count / BLOCK;
  for (let block: usize = 0; block < blocks; block++) {
    let max0 = f32x4.splat(-Infinity);
    let max1 = max0;
    let max2 = max0;
    let max3 = max0;
    for (let i: usize = block * BLOCK; i < (block + 1) * BLOCK; i += 8) {
      const first = f32x4.neg(v128.load(threshold + (i << 2)));
      const second = f32x4.neg(v128.load(threshold + (i << 2), 16));
      let a0 = first;
      let a1 = first;
      let a2 = first;
      let a3 = first;
      let b0 = second;
      let b1 = second;
      let b2 = second;
      let b3 = second;
      let from = factor + (i << 2);
      let normal = normals;
      for (let k: usize = 0; k < rank; k++) {
        const left = v128.load(from);
        const right = v128.load(from, 16);
        let n = v128.load32_splat(normal);
        a0 = f32x4.add(a0, f32x4.mul(left, n));
        b0 = f32x4.add(b0, f32x4.mul(right, n));
        n = v128.load32_splat(normal + (rank << 2));
        a1 = f32x4.add(a1, f32x4.mul(left, n));
        b1 = f32x4.add(b1, f32x4.mul(right, n));
        n = v128.load32_splat(normal + (rank << 3));
        a2 = f32x4.add(a2, f32x4.mul(left, n));
        b2 = f32x4.add(b2, f32x4.mul(right, n));
        n = v128.load32_splat(normal + rank * 12);
        a3 = f32x4.add(a3, f32x4.mul(left, n));
        b3 = f32x4.add(b3, f32x4.mul(right, n));
        from += count << 2;
        normal += 4;
      }
      const to = scores + (i << 2);
      const row = count << 2;
      v128.store(to, a0);
      v128.store(to, b0, 16);
      v128.store(to + row, a1);
      v128.store(to + row, b1, 16);
      v128.store(to + 2 * row, a2);
      v128.store(to + 2 * row, b2, 16);
      v128.store(to + 3 * row, a3);
      v128.store(to + 3 * row, b3, 16);
      max0 = f32x4.max(max0, f32x4.max(a0, b0));
      max1 = f32x4.max(max1, f32x4.max(a1, b1));
      max2 = f32x4.max(max2, f32x4.max(a2, b2));
      max3 = f32x4.max(max3, f32x4.max(a3, b3));
    }
    store<f32>(maxima + (block << 2), largest(max0));
    store<f32>(maxima + ((blocks + block) << 2), largest(max1));
    store<f32>(maxima + ((2 * blocks + block) << 2), largest(max2));
    store<f32>(maxima + ((3 * blocks + block) << 2), largest(max3));
  }
}

@inline
function largest(v: v128): f32 {
  return max(
    max(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)),
    max(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)),
  );
}

/**
 * out[j] = (bias[j] + weights[0]·directions[features[0]][j]) + …, j < `dIn` (a multiple of 4), in list order. The
 * lists have room for three more entries than `count`.
 */
export function sumDirections(
  out: usize,
  bias: usize,
  directions: usize,
  features: usize,
  weights: usize,
  count: usize,
  dIn: usize,
): void {
  const row = dIn << 2;
  memory.copy(out, bias, row);
  // Entries of weight 0 fill up the last four: they change no bit, as no sum is a negative zero.
  for (let pad: usize = count; (pad & 3) !== 0; pad++) {
    store<u32>(features + (pad << 2), 0);
    store<f32>(weights + (pad << 2), 0);
  }
  for (let f: usize = 0; f < count; f += 4) {
    const at = features + (f << 2);
    const d0 = directions + <usize>load<u32>(at) * row;
    const d1 = directions + <usize>load<u32>(at, 4) * row;
    const d2 = directions + <usize>load<u32>(at, 8) * row;
    const d3 = directions + <usize>load<u32>(at, 12) * row;
    const weight = weights + (f << 2);
    const w0 = v128.load32_splat(weight);
    const w1 = v128.load32_splat(weight, 4);
    const w2 = v128.load32_splat(weight, 8);
    const w3 = v128.load32_splat(weight, 12);
    for (let j: usize = 0; j < row; j += 16) {
      let sum = f32x4.add(v128.load(out + j), f32x4.mul(w0, v128.load(d0 + j)));
      sum = f32x4.add(sum, f32x4.mul(w1, v128.load(d1 + j)));
      sum = f32x4.add(sum, f32x4.mul(w2, v128.load(d2 + j)));
      v128.store(out + j, f32x4.add(sum, f32x4.mul(w3, v128.load(d3 + j))));
    }
  }
}

/**
 * gram[a][b] += Σ_i w[i][a]·w[i][b] over `rows` rows of w, for b of the eight-wide panels that hold or follow a;
 * `dIn` is a multiple of 8. `gram` is [dIn / 8][dIn][8]: panel, a, lane.
 */
export function addGram(gram: usize, w: usize, rows: usize, dIn: usize): void {
  const stride = dIn << 2;
  for (let panel: usize = 0; panel < dIn; panel += 8) {
    for (let a: usize = 0; a < panel + 8; a += 4) {
      const to = gram + ((panel * dIn + a * 8) << 2);
      let l0 = v128.load(to);
      let r0 = v128.load(to, 16);
      let l1 = v128.load(to, 32);
      let r1 = v128.load(to, 48);
      let l2 = v128.load(to, 64);
      let r2 = v128.load(to, 80);
      let l3 = v128.load(to, 96);
      let r3 = v128.load(to, 112);
      let left = w + (panel << 2);
      let down = w + (a << 2);
      for (let i: usize = 0; i < rows; i++) {
        const l = v128.load(left);
        const r = v128.load(left, 16);
        let x = v128.load32_splat(down);
        l0 = f32x4.add(l0, f32x4.mul(l, x));
        r0 = f32x4.add(r0, f32x4.mul(r, x));
        x = v128.load32_splat(down, 4);
        l1 = f32x4.add(l1, f32x4.mul(l, x));
        r1 = f32x4.add(r1, f32x4.mul(r, x));
        x = v128.load32_splat(down, 8);
        l2 = f32x4.add(l2, f32x4.mul(l, x));
        r2 = f32x4.add(r2, f32x4.mul(r, x));
        x = v128.load32_splat(down, 12);
        l3 = f32x4.add(l3, f32x4.mul(l, x));
        r3 = f32x4.add(r3, f32x4.mul(r, x));
        left += stride;
        down += stride;
      }
      v128.store(to, l0);
      v128.store(to, r0, 16);
      v128.store(to, l1, 32);
      v128.store(to, r1, 48);
      v128.store(to, l2, 64);
      v128.store(to, r2, 80);
      v128.store(to, l3, 96);
      v128.store(to, r3, 112);
    }
  }
}

/** Copies what {@link addGram} computed to the other half: the matrix is symmetric. */
export function mirrorGram(gram: usize, dIn: usize): void {
  for (let b: usize = 0; b < dIn; b++) {
    for (let a: usize = (b & ~7) + 8; a < dIn; a++) {
      // Element (a, b) from (b, a), which was computed, since b lies before a's panel.
      const from = gram + (((a & ~7) * dIn + b * 8 + (a & 7)) << 2);
      store<f32>(gram + (((b & ~7) * dIn + a * 8 + (b & 7)) << 2), load<f32>(from));
    }
  }
}

/** product[i][b] = Σ_a w[i][a]·gram[a][b] for `rows` rows (a multiple of 4); `gram` as in {@link addGram}. */
export function timesGram(product: usize, w: usize, gram: usize, rows: usize, dIn: usize): void {
  const stride = dIn << 2;
  for (let panel: usize = 0; panel < dIn; panel += 8) {
    const columns = gram + ((panel * dIn) << 2);
    for (let i: usize = 0; i < rows; i += 4) {
      let l0 = f32x4.splat(0);
      let r0 = l0;
      let l1 = l0;
      let r1 = l0;
      let l2 = l0;
      let r2 = l0;
      let l3 = l0;
      let r3 = l0;
      let at = columns;
      let from = w + i * stride;
      for (let a: usize = 0; a < dIn; a++) {
        const l = v128.load(at);
        const r = v128.load(at, 16);
        let x = v128.load32_splat(from);
        l0 = f32x4.add(l0, f32x4.mul(l, x));
        r0 = f32x4.add(r0, f32x4.mul(r, x));
        x = v128.load32_splat(from + stride);
        l1 = f32x4.add(l1, f32x4.mul(l, x));
        r1 = f32x4.add(r1, f32x4.mul(r, x));
        x = v128.load32_splat(from + 2 * stride);
        l2 = f32x4.add(l2, f32x4.mul(l, x));
        r2 = f32x4.add(r2, f32x4.mul(r, x));
        x = v128.load32_splat(from + 3 * stride);
        l3 = f32x4.add(l3, f32x4.mul(l, x));
        r3 = f32x4.add(r3, f32x4.mul(r, x));
        at += 32;
        from += 4;
      }
      const to = product + i * stride + (panel << 2);
      v128.store(to, l0);
      v128.store(to, r0, 16);
      v128.store(to + stride, l1);
      v128.store(to + stride, r1, 16);
      v128.store(to + 2 * stride, l2);
      v128.store(to + 2 * stride, r2, 16);
      v128.store(to + 3 * stride, l3);
      v128.store(to + 3 * stride, r3, 16);
    }
  }
}

/**
 * One step of Adam (0.9, 0.999, 1e-8) on Σ_{i≠j} (w_i·w_j)² + n·Σ_i (‖w_i‖² − 1)², for `rows` of n rows: the
 * gradient of row i is 4·((w·gram)_i − ‖w_i‖²·w_i + n·(‖w_i‖² − 1)·w_i). `rate` and `root` are the step's
 * learningRate / (1 − 0.9^t) and 1 / √(1 − 0.999^t). `dIn` is a multiple of 4.
 */
export function repel(
  w: usize,
  m: usize,
  v: usize,
  product: usize,
  rows: usize,
  dIn: usize,
  n: f32,
  rate: f32,
  root: f32,
): void {
  const stride = dIn << 2;
  for (let i: usize = 0; i < rows; i++) {
    const at = i * stride;
    let squares = f32x4.splat(0);
    for (let j: usize = 0; j < stride; j += 16) {
      const x = v128.load(w + at + j);
      squares = f32x4.add(squares, f32x4.mul(x, x));
    }
    const square =
      f32x4.extract_lane(squares, 0) +
      f32x4.extract_lane(squares, 1) +
      (f32x4.extract_lane(squares, 2) + f32x4.extract_lane(squares, 3));
    const own = f32x4.splat(n * (square - 1) - square);
    for (let j: usize = at; j < at + stride; j += 16) {
      const x = v128.load(w + j);
      const gradient = f32x4.mul(
        f32x4.splat(4),
        f32x4.add(v128.load(product + j), f32x4.mul(own, x)),
      );
      const first = f32x4.add(
        f32x4.mul(f32x4.splat(0.9), v128.load(m + j)),
        f32x4.mul(f32x4.splat(0.1), gradient),
      );
      const second = f32x4.add(
        f32x4.mul(f32x4.splat(0.999), v128.load(v + j)),
        f32x4.mul(f32x4.splat(0.001), f32x4.mul(gradient, gradient)),
      );
      v128.store(m + j, first);
      v128.store(v + j, second);
      const scale = f32x4.add(f32x4.mul(f32x4.sqrt(second), f32x4.splat(root)), f32x4.splat(1e-8));
      v128.store(w + j, f32x4.sub(x, f32x4.div(f32x4.mul(f32x4.splat(rate), first), scale)));
    }
  }
}
