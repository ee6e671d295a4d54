/**
 * The training step of TensorFlow.js on its WebAssembly backend (one thread: it has no others in Node), dense TopK as
 * one would write it there. Asked by run.ts, like torch_step.py. Types are ours: the packages may not be installed.
 */
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { answerLines } from "../src/line-process.ts";
import type { Shape } from "../src/shapes.ts";

interface Tensor {
  add(other: Tensor): Tensor;
  sub(other: Tensor): Tensor;
  mul(other: Tensor): Tensor;
  div(other: Tensor): Tensor;
  matMul(other: Tensor): Tensor;
  square(): Tensor;
  sqrt(): Tensor;
  sum(axis?: number, keepDimensions?: boolean): Tensor;
  mean(): Tensor;
  relu(): Tensor;
  transpose(): Tensor;
  greaterEqual(other: Tensor): Tensor;
  cast(type: "float32"): Tensor;
  slice(begin: readonly number[], size: readonly number[]): Tensor;
  dataSync(): Float32Array;
}
interface Variable extends Tensor {
  readonly name: string;
  assign(value: Tensor): void;
}
interface TensorFlow {
  readonly version: { readonly tfjs: string };
  readonly train: {
    adam(learningRate: number): { applyGradients(gradients: Readonly<Record<string, Tensor>>): void };
  };
  setBackend(name: string): Promise<boolean>;
  randomNormal(shape: readonly number[], mean: number, deviation: number): Tensor;
  zeros(shape: readonly number[]): Tensor;
  variable(value: Tensor): Variable;
  topk(values: Tensor, k: number): { readonly values: Tensor };
  variableGrads(loss: () => Tensor): {
    readonly value: Tensor;
    readonly grads: Readonly<Record<string, Tensor>>;
  };
  /** A function whose inside is not differentiated: its gradient is what it says. */
  customGrad(
    compute: (
      input: Tensor,
      save: (tensors: readonly Tensor[]) => void,
    ) => {
      readonly value: Tensor;
      readonly gradFunc: (gradient: Tensor, saved: readonly Tensor[]) => Tensor;
    },
  ): (input: Tensor) => Tensor;
  tidy<Result>(compute: () => Result): Result;
}
interface WasmBackend {
  setWasmPaths(this: void, folder: string): void;
}

const LEARNING_RATE = 1e-4;

async function load(): Promise<TensorFlow> {
  // Named by variables: whether they are there is known only when this runs.
  const [core, backend] = ["@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm"];
  const tf = (await import(core)) as TensorFlow;
  const { setWasmPaths } = (await import(backend)) as WasmBackend;
  setWasmPaths(`${join(dirname(fileURLToPath(import.meta.resolve(`${backend}/package.json`))), "dist")}/`);
  if (!(await tf.setBackend("wasm"))) throw new Error("TensorFlow.js has no WebAssembly backend here");
  return tf;
}

/** A step on one fixed mini-batch of random rows; returns its loss. */
function denseTopK(tf: TensorFlow, { dIn, latents, k, rows }: Shape): () => number {
  const x = tf.randomNormal([rows, dIn], 0, 1);
  const directions = tf.randomNormal([latents, dIn], 0, 1 / Math.sqrt(dIn));
  const W_enc = tf.variable(directions.transpose());
  const W_dec = tf.variable(directions);
  const b_enc = tf.variable(tf.zeros([latents]));
  const b_dec = tf.variable(tf.zeros([dIn]));
  const adam = tf.train.adam(LEARNING_RATE);
  // topk has no gradient here: what is kept of `pre` is f with the gradient of a mask that is constant.
  const topK = tf.customGrad((pre, save) => {
    const threshold = tf.topk(pre, k).values.slice([0, k - 1], [rows, 1]);
    const kept = pre.greaterEqual(threshold).cast("float32");
    save([kept]);
    return { value: pre.mul(kept), gradFunc: (gradient, [saved]) => gradient.mul(saved!) };
  });
  const loss = (): Tensor => {
    const pre = x.sub(b_dec).matMul(W_enc).add(b_enc);
    return topK(pre).relu().matMul(W_dec).add(b_dec).sub(x).square().sum(1).mean();
  };
  return () =>
    tf.tidy(() => {
      const { value, grads } = tf.variableGrads(loss);
      const gradient = grads[W_dec.name]!;
      const along = gradient.mul(W_dec).sum(1, true);
      adam.applyGradients({ ...grads, [W_dec.name]: gradient.sub(along.mul(W_dec)) });
      W_dec.assign(W_dec.div(W_dec.square().sum(1, true).sqrt()));
      return value.dataSync()[0]!;
    });
}

const tf = await load();
let step: (() => number) | undefined;
await answerLines(async (question) => {
  const { open, run } = question as { open?: { shape: Shape }; run?: number };
  if (open !== undefined) {
    step = denseTopK(tf, open.shape);
    return { version: `tfjs ${tf.version.tfjs}` };
  }
  if (step === undefined || run === undefined)
    throw new Error("internal: asked to run before anything is open");
  const ms: number[] = [];
  for (let done = 0; done < run; done++) {
    const began = performance.now();
    const loss = step();
    ms.push(performance.now() - began);
    if (!Number.isFinite(loss)) throw new Error(`the loss is ${loss}`);
  }
  return { ms };
});
