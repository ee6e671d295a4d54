/** The arithmetic of optimisers on ranges. Every operation rounds on its own, in the reference's order. */

/** out = a·x + b·y; `out` may be x or y. */
export function mix(out: usize, a: f32, x: usize, b: f32, y: usize, length: usize): void {
  const s = f32x4.splat(a);
  const t = f32x4.splat(b);
  let rest = length;
  for (; rest >= 4; rest -= 4) {
    v128.store(out, f32x4.add(f32x4.mul(s, v128.load(x)), f32x4.mul(t, v128.load(y))));
    out += 16;
    x += 16;
    y += 16;
  }
  for (; rest > 0; rest--) {
    store<f32>(out, a * load<f32>(x) + b * load<f32>(y));
    out += 4;
    x += 4;
    y += 4;
  }
}

/** values −= rate·sign(direction); a direction that is not a number makes the value none, 0 leaves it. */
export function signStep(values: usize, rate: f32, direction: usize, length: usize): void {
  const up = f32x4.splat(rate);
  const down = f32x4.splat(-rate);
  const zero = f32x4.splat(0);
  let rest = length;
  for (; rest >= 4; rest -= 4) {
    const towards = v128.load(direction);
    const step = v128.bitselect(
      up,
      v128.bitselect(down, towards, f32x4.lt(towards, zero)),
      f32x4.gt(towards, zero),
    );
    v128.store(values, f32x4.sub(v128.load(values), step));
    values += 16;
    direction += 16;
  }
  for (; rest > 0; rest--) {
    const towards = load<f32>(direction);
    store<f32>(values, load<f32>(values) - (towards > 0 ? rate : towards < 0 ? -rate : towards));
    values += 4;
    direction += 4;
  }
}
