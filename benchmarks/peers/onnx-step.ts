/**
 * The training step of onnxruntime-node, which runs graphs but makes no training ones: ours is built in onnx-graphs.ts.
 * What a step gives is what the next one takes; both lie in arrays of ours, so that nothing is copied. Asked by run.ts.
 */
import { answerLines } from "../src/line-process.ts";
import { fillNormal, randomSource } from "../src/random.ts";
import type { Shape } from "../src/shapes.ts";
import { ADAM, stepGraph } from "./onnx-graphs.ts";

// Types are ours: the package may not be installed.
interface Tensor {
  readonly data: Float32Array;
}
type Tensors = Record<string, Tensor>;
interface Session {
  run(feeds: Tensors, fetches: Tensors): Promise<Tensors>;
}
interface OnnxRuntime {
  readonly env: { readonly versions: { readonly node?: string; readonly common: string } };
  readonly Tensor: new (type: "float32", data: Float32Array, dims: readonly number[]) => Tensor;
  readonly InferenceSession: {
    create(model: Uint8Array, options: Readonly<Record<string, unknown>>): Promise<Session>;
  };
}

/** A model, its mini-batch and, for each number of threads asked for, a session. */
class Training {
  readonly #runtime: OnnxRuntime;
  readonly #model: Uint8Array;
  /** What goes in, and where what comes out is put; they change places after each step. */
  #now: Tensors = {};
  #next: Tensors = {};
  readonly #x: Tensor;
  readonly #loss: Tensor;
  readonly #sessions = new Map<number, Session>();
  #steps = 0;

  constructor(runtime: OnnxRuntime, shape: Shape, architecture: "topk" | "relu") {
    const { model, state } = stepGraph(shape, architecture);
    this.#runtime = runtime;
    this.#model = model;
    const random = randomSource(0);
    const tensor = (dims: readonly number[], fill?: (data: Float32Array) => void): Tensor => {
      const data = new Float32Array(dims.reduce((product, size) => product * size, 1));
      fill?.(data);
      return new runtime.Tensor("float32", data, dims);
    };
    const directions = tensor([shape.latents, shape.dIn], (data) => fillDirections(data, shape.dIn, random));
    const size = architecture === "topk" ? 1 : 0.1;
    for (const { name, dims } of state) {
      const isMatrix = name === "W_enc" || name === "W_dec";
      this.#now[name] = tensor(dims, (data) => {
        if (isMatrix) data.forEach((_, i) => (data[i] = size * directions.data[i]!));
      });
      this.#next[`${name}.next`] = tensor(dims);
    }
    this.#x = tensor([shape.rows, shape.dIn], (data) => fillNormal(data, random));
    this.#loss = tensor([1]);
  }

  /** Takes a step and returns its loss. */
  async step(threads: number): Promise<number> {
    let session = this.#sessions.get(threads);
    if (session === undefined) {
      const options = { intraOpNumThreads: threads, interOpNumThreads: 1, graphOptimizationLevel: "all" };
      session = await this.#runtime.InferenceSession.create(this.#model, options);
      this.#sessions.set(threads, session);
    }
    const { beta1, beta2, epsilon, learningRate } = ADAM;
    this.#steps++;
    const root = Math.sqrt(1 - beta2 ** this.#steps);
    const scalar = (value: number): Tensor =>
      new this.#runtime.Tensor("float32", Float32Array.of(value), [1]);
    const stepSize = scalar((learningRate * root) / (1 - beta1 ** this.#steps));
    const feeds = { ...this.#now, x: this.#x, stepSize, epsilon: scalar(epsilon * root) };
    await session.run(feeds, { ...this.#next, loss: this.#loss });
    const given = this.#next;
    this.#next = Object.fromEntries(
      Object.entries(this.#now).map(([name, tensor]) => [`${name}.next`, tensor]),
    );
    this.#now = Object.fromEntries(
      Object.entries(given).map(([name, tensor]) => [name.replace(/\.next$/, ""), tensor]),
    );
    return this.#loss.data[0]!;
  }
}

/** Rows of norm 1. */
function fillDirections(values: Float32Array, dIn: number, random: () => number): void {
  fillNormal(values, random);
  for (let at = 0; at < values.length; at += dIn) {
    const row = values.subarray(at, at + dIn);
    const norm = Math.hypot(...row);
    row.forEach((_, i) => (row[i]! /= norm));
  }
}

const runtime = (await import("onnxruntime-node" as string)) as OnnxRuntime;
let training: Training | undefined;
await answerLines(async (question) => {
  const { open, run, threads } = question as {
    open?: { shape: Shape; architecture: "topk" | "relu" };
    run?: number;
    threads?: number;
  };
  if (open !== undefined) {
    training = new Training(runtime, open.shape, open.architecture);
    return { version: `onnxruntime-node ${runtime.env.versions.node ?? runtime.env.versions.common}` };
  }
  if (training === undefined || run === undefined || threads === undefined)
    throw new Error("internal: asked to run before anything is open");
  const ms: number[] = [];
  let loss = Number.NaN;
  for (let done = 0; done < run; done++) {
    const began = performance.now();
    loss = await training.step(threads);
    ms.push(performance.now() - began);
    if (!Number.isFinite(loss)) throw new Error(`the loss is ${loss}`);
  }
  return { ms, loss };
});
