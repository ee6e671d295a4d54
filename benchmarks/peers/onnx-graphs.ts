/**
 * A training step of a sparse autoencoder as one ONNX graph: forward, gradients written out, Adam. Parameters and moments
 * go in and come out again; all products are dense, as autograd would make them.
 */
import type { Shape } from "../src/shapes.ts";
import { GraphBuilder, type Value } from "./onnx-model.ts";

/** Constants of the step. */
export const ADAM = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, learningRate: 1e-4 } as const;
const L1_COEFFICIENT = 1;

/** What a graph takes and gives beside its mini-batch: each comes out as `<name>.next`. */
export interface State {
  readonly name: string;
  readonly dims: readonly number[];
}

/** The model's bytes, and its state. Further inputs: x [rows, d], stepSize [1], epsilon [1]; output: loss [1]. */
export interface StepGraph {
  readonly model: Uint8Array;
  readonly state: readonly State[];
}

/** The graph of a shape. TopK has a decoder of unit rows; ReLU a free one, and a penalty weighted by its norms. */
export function stepGraph({ dIn, latents, rows, k }: Shape, architecture: "topk" | "relu"): StepGraph {
  const graph = new GraphBuilder();
  const op = graph.apply.bind(graph);
  const parameters: readonly State[] = [
    { name: "W_enc", dims: [latents, dIn] },
    { name: "b_enc", dims: [latents] },
    { name: "W_dec", dims: [latents, dIn] },
    { name: "b_dec", dims: [dIn] },
  ];
  const state = parameters.flatMap(({ name, dims }) =>
    ["", ".m", ".v"].map((suffix) => ({ name: name + suffix, dims })),
  );
  const x = graph.input("x", [rows, dIn]);
  const stepSize = graph.input("stepSize", [1]);
  const epsilon = graph.input("epsilon", [1]);
  for (const { name, dims } of state) graph.input(name, dims);
  const [overRows, overUnits] = [graph.integers(0), graph.integers(1)];
  const sum = (value: Value, axes: Value, keepdims: 0 | 1 = 0): Value =>
    op("ReduceSum", [value, axes], { keepdims });

  // Forward. Gemm multiplies by the transposed encoder and adds the bias.
  const centred = op("Sub", [x, "b_dec"]);
  const pre = op("Gemm", [centred, "W_enc", "b_enc"], { transB: 1 });
  const f = op("Relu", [architecture === "topk" ? keepLargest(graph, pre, k) : pre]);
  const error = op("Sub", [op("Gemm", [f, "W_dec", "b_dec"]), x]);
  const squaredError = sum(op("Mul", [error, error]), graph.integers(0, 1));
  const perRow = graph.scalar(1 / rows);

  // Gradients.
  const gradient = op("Mul", [error, graph.scalar(2 / rows)]);
  const open = op("Greater", [f, graph.scalar(0)]);
  let loss = squaredError;
  let byActivation = op("Gemm", [gradient, "W_dec"], { transB: 1 });
  let byDecoder = op("Gemm", [f, gradient], { transA: 1 });
  if (architecture === "relu") {
    const norms = op("Sqrt", [sum(op("Mul", ["W_dec", "W_dec"]), overUnits)]);
    const sums = sum(f, overRows);
    const penalty = graph.scalar(L1_COEFFICIENT / rows);
    loss = op("Add", [
      loss,
      op("Mul", [sum(op("Mul", [sums, norms]), overRows), graph.scalar(L1_COEFFICIENT)]),
    ]);
    byActivation = op("Add", [byActivation, op("Mul", [norms, penalty])]);
    const pull = op("Unsqueeze", [op("Mul", [op("Div", [sums, norms]), penalty]), overUnits]);
    byDecoder = op("Add", [byDecoder, op("Mul", ["W_dec", pull])]);
  } else {
    const along = sum(op("Mul", [byDecoder, "W_dec"]), overUnits, 1);
    byDecoder = op("Sub", [byDecoder, op("Mul", ["W_dec", along])]);
  }
  const byPre = op("Where", [open, byActivation, graph.scalar(0)]);
  const byBias = sum(byPre, overRows);
  const throughInput = op("Squeeze", [
    op("MatMul", [op("Unsqueeze", [byBias, overRows]), "W_enc"]),
    overRows,
  ]);
  const gradients: Readonly<Record<string, Value>> = {
    W_enc: op("Gemm", [byPre, centred], { transA: 1 }),
    b_enc: byBias,
    W_dec: byDecoder,
    b_dec: op("Sub", [sum(gradient, overRows), throughInput]),
  };

  // Adam.
  for (const { name, dims } of parameters) {
    const slope = gradients[name]!;
    const m = towards(graph, `${name}.m`, slope, 1 - ADAM.beta1);
    const v = towards(graph, `${name}.v`, op("Mul", [slope, slope]), 1 - ADAM.beta2);
    const direction = op("Div", [m, op("Add", [op("Sqrt", [v]), epsilon])]);
    let value = op("Sub", [name, op("Mul", [direction, stepSize])]);
    if (name === "W_dec" && architecture === "topk") {
      const norms = op("Sqrt", [sum(op("Mul", [value, value]), overUnits, 1)]);
      value = op("Div", [value, norms]);
    }
    for (const [suffix, next] of [
      ["", value],
      [".m", m],
      [".v", v],
    ] as const) {
      graph.output(`${name}${suffix}.next`, next, dims);
    }
  }
  graph.output("loss", op("Reshape", [op("Mul", [loss, perRow]), graph.integers(1)]), [1]);
  return { model: graph.finish(), state };
}

/** Everything below the k-th largest of its row becomes zero. */
function keepLargest(graph: GraphBuilder, pre: Value, k: number): Value {
  const largest = graph.applyFirst("TopK", [pre, graph.integers(k)], { axis: 1, largest: 1, sorted: 0 });
  const least = graph.apply("ReduceMin", [largest], { axes: [1], keepdims: 1 });
  return graph.apply("Where", [graph.apply("GreaterOrEqual", [pre, least]), pre, graph.scalar(0)]);
}

/** before + share · (target − before). */
function towards(graph: GraphBuilder, before: Value, target: Value, share: number): Value {
  const way = graph.apply("Mul", [graph.apply("Sub", [target, before]), graph.scalar(share)]);
  return graph.apply("Add", [before, way]);
}
