/** The second worked example: a sparse autoencoder of a few latents, forward, penalty, backward and one update. */
import {
  initialise,
  refreshDerived,
  type SparseArena,
  type SparseModelSetup,
  type SparseTrace,
  type TracedMatrix,
} from "@sparseloom/core";
import { type Examples, SPARSE } from "./examples.ts";
import {
  type CommonOptions,
  exampleNames,
  lossSection,
  openExampleArena,
  trainOnExamples,
  updateSection,
} from "./session.ts";
import {
  asStored,
  type NamedMatrix,
  numbered,
  plain,
  type Section,
  transposed,
  type Walkthrough,
} from "./walkthrough.ts";

/** Options of {@link walkSparse}. */
export interface SparseOptions extends CommonOptions {
  readonly latents: number;
  /** λ of the L1 penalty; not used with k. */
  readonly l1: number;
  /** TopK with so many active latents per example; undefined: ReLU with the L1 penalty. */
  readonly k: number | undefined;
}

/** Works the example out. Throws OptionError if the model is malformed. */
export function walkSparse(examples: Examples, options: SparseOptions): Walkthrough {
  const { latents, l1, k, seed, steps } = options;
  const dIn = examples.rows[0]?.length ?? 0;
  const model: SparseModelSetup = {
    kind: "sparse",
    architecture: k === undefined ? "relu" : "topk",
    dIn,
    latents,
    k: k ?? 0,
    decoder: k === undefined ? "free" : "unit",
    applyBDecToInput: false,
  };
  const arena = openExampleArena(model, examples, options, k === undefined ? l1 : 0);
  if (arena.kind !== "sparse") throw new Error("internal: not a sparse arena");
  const own = seed === undefined && dIn === SPARSE.b_dec.length && latents === SPARSE.b_enc.length;
  if (own) setOwnWeights(arena);
  else initialise(arena, { seed: seed ?? 0 });
  const { first, last, losses } = trainOnExamples(arena, examples, steps);
  if (first.kind !== "sparse" || last.kind !== "sparse") throw new Error("internal: not a sparse trace");
  const weights = own
    ? "Weights and biases are the example's own."
    : `Decoder vectors are random directions (seed ${seed ?? 0}), the encoder their transpose, biases 0.`;
  const view = viewOf(first, examples);
  const { l1: _penalty, k: _count, ...common } = options;
  return {
    example: "sparse",
    options: {
      ...common,
      seed: own ? null : (seed ?? 0),
      architecture: model.architecture,
      ...(k === undefined ? { l1 } : { k }),
    },
    labels: examples.labels,
    sections: [
      introduction(view, examples, weights),
      encoderSection(view),
      activationSection(view, examples, k),
      decoderSection(view),
      ...(k === undefined ? penaltySections(view, l1) : []),
      errorSection(view, k),
      latentSection(view, k),
      gradientSection(view, k),
      updateSection(
        [
          ["W_enc", first.W_enc, asStored],
          ["b_enc", first.b_enc, asStored],
          ["W_dec", first.W_dec, transposed],
          ["b_dec", first.b_dec, asStored],
        ],
        options.learningRate,
        k === undefined ? "" : " Decoder vectors are then divided by their norms.",
      ),
      afterSection(viewOf(last, examples), losses, examples),
    ],
    losses,
  };
}

/** The example's weights; decoder vectors are shortened to norm 1 where the architecture wants that. */
function setOwnWeights(arena: SparseArena): void {
  arena.W_enc.value.set(SPARSE.W_enc.flat());
  arena.b_enc.value.set(SPARSE.b_enc);
  const unit = (vector: readonly number[]): number[] => vector.map((value) => value / Math.hypot(...vector));
  arena.W_dec.value.set(
    SPARSE.W_dec.flatMap((vector) => (arena.model.decoder === "unit" ? unit(vector) : vector)),
  );
  arena.b_dec.value.set(SPARSE.b_dec);
  refreshDerived(arena);
}

/** A trace, and how its rows and columns are called. */
interface View {
  readonly trace: SparseTrace;
  readonly dimensions: string[];
  readonly latents: string[];
  readonly columns: string[];
  /** A matrix [examples, dIn], an example a column. */
  readonly inputs: (name: string, from: TracedMatrix) => NamedMatrix;
  /** A matrix [examples, latents], an example a column. */
  readonly features: (name: string, from: TracedMatrix) => NamedMatrix;
  /** A matrix [examples, 1]. */
  readonly perExample: (name: string, from: TracedMatrix) => NamedMatrix;
}

function viewOf(trace: SparseTrace, examples: Examples): View {
  const dimensions = numbered("x", trace.x.columns);
  const latents = numbered("f", trace.features.columns);
  const { columns } = exampleNames(examples);
  return {
    trace,
    dimensions,
    latents,
    columns,
    inputs: (name, from) => transposed(name, from, dimensions, columns),
    features: (name, from) => transposed(name, from, latents, columns),
    perExample: (name, from) => transposed(name, from, [], columns),
  };
}

function introduction({ trace, inputs }: View, examples: Examples, weights: string): Section {
  const { rows, columns } = trace.x;
  return {
    title: "The activations",
    text: [
      `Can each activation of ${columns} dimensions be mapped to ${trace.features.columns}, in which it is easier to understand? ${rows} activations; a column is one of them. ${weights}`,
      ...exampleNames(examples).legend,
    ],
    matrices: [inputs("X", trace.x)],
  };
}

function encoderSection({ trace, latents, dimensions, features }: View): Section {
  const { W_enc, b_enc, preActivations } = trace;
  return {
    title: "Encoder, linear",
    text: ["Z = W_enc·X + b_enc."],
    matrices: [
      asStored("W_enc", W_enc.before, latents, dimensions),
      asStored("b_enc", b_enc.before),
      features("Z", preActivations),
    ],
  };
}

function activationSection(view: View, examples: Examples, k: number | undefined): Section {
  const how =
    k === undefined
      ? "f = max(0, Z): negative values become zero. What is left are the sparse features."
      : `f keeps the ${k} largest of each column, if positive; all others become zero.`;
  return {
    title: k === undefined ? "ReLU" : "TopK",
    text: [how, ...readings(view, examples)],
    matrices: [view.features("f", view.trace.features)],
  };
}

/** For each feature, what lights it. */
function readings({ trace, latents, columns }: View, examples: Examples): string[] {
  const { rows, values, columns: count } = trace.features;
  const lines = latents.map((latent, index) => {
    const lit = Array.from({ length: rows }, (_, row) => row).filter(
      (row) => values[row * count + index] > 0,
    );
    const names = lit.map((row) => [columns[row], examples.labels[row]].filter(Boolean).join(" "));
    return `  ${latent} is lit by ${names.length === 0 ? "none" : names.join(", ")}`;
  });
  return ["A feature that only a few light up can be read from what they have in common:", ...lines];
}

function decoderSection({ trace, latents, dimensions, inputs }: View): Section {
  return {
    title: "Decoder, reconstruction",
    text: [
      "X′ = W_dec·f + b_dec, as close to X as training gets it. A column of W_dec is a latent's decoder vector.",
    ],
    matrices: [
      transposed("W_dec", trace.W_dec.before, dimensions, latents),
      asStored("b_dec", trace.b_dec.before),
      inputs("X′", trace.reconstruction),
    ],
  };
}

function penaltySections({ trace, latents, features, perExample }: View, l1: number): Section[] {
  const { decoderNorm, rowPenalty, penaltyGradient, loss, mse } = trace;
  const direction = features("−1 where f > 0", trace.features);
  const active = direction.values.map((row) => row.map((value) => value > 0));
  const norms = asStored("", decoderNorm).values.flat();
  const scaled = { ...direction, name: "times ‖W_dec‖" };
  const rows = trace.x.rows;
  return [
    {
      title: "Decoder weights, L2 norm",
      text: ["‖W_dec,i‖ = √(Σ x²) of each latent's decoder vector, kept for step 8."],
      matrices: [transposed("‖W_dec‖", decoderNorm, [], latents)],
    },
    {
      title: "Sparsity, L1 loss",
      text: [
        `λ·Σ f·‖W_dec‖ with λ = ${l1} penalises active features, so that most are zero. Averaged over ${rows} examples: ${plain(loss - mse)}.`,
      ],
      matrices: [perExample("Σ f·‖W_dec‖", rowPenalty)],
    },
    {
      title: "Sparsity, gradient where f > 0",
      text: ["−1, the direction of descent, for each active feature."],
      matrices: [{ ...direction, values: active.map((row) => row.map((on) => (on ? -1 : 0))) }],
    },
    {
      title: "Sparsity, gradient where f = 0",
      text: [
        `Zero stays zero: ${active.flat().filter((on) => !on).length} of ${active.flat().length} features have nothing to give up, and the penalty does not reach them.`,
      ],
      matrices: [],
    },
    {
      title: "Sparsity, gradient times decoder norm",
      text: [
        `Each row is multiplied by its norm of step 4, which keeps the model from escaping the penalty by growing decoder weights. The gradient itself points uphill and is an average: ∂L1/∂f = λ/${rows}·‖W_dec‖ where f > 0.`,
      ],
      matrices: [
        { ...scaled, values: active.map((row, i) => row.map((on) => (on ? -(norms[i] ?? 0) : 0))) },
        features("∂L1/∂f", penaltyGradient),
      ],
    },
  ];
}

function errorSection({ trace, inputs, perExample }: View, k: number | undefined): Section {
  const rows = trace.x.rows;
  const total = k === undefined ? ` With the penalty the loss is ${plain(trace.loss)}.` : "";
  return {
    title: "Reconstruction, gradient",
    text: [
      `The squared error, summed over dimensions, averaged over ${rows} examples: ${plain(trace.mse)}.${total} Its gradient is 2·(X′ − X) per element, divided by ${rows} for the average.`,
    ],
    matrices: [
      inputs("X′ − X", trace.error),
      perExample("squared errors", trace.rowSquaredError),
      inputs(`dX′ = 2/${rows}·(X′ − X)`, trace.outputGradient),
    ],
  };
}

function latentSection({ trace, features }: View, k: number | undefined): Section {
  const back = "The error flows back through the decoder, to active features only: W_decᵀ·dX′ where f > 0";
  return {
    title: k === undefined ? "Both gradients meet at the features" : "The gradient reaches the features",
    text: [
      k === undefined
        ? `${back}. With the penalty's part it is the gradient of the pre-activations: dZ = W_decᵀ·dX′ + ∂L1/∂f.`
        : `${back}. It is the gradient of the pre-activations: dZ.`,
    ],
    matrices:
      k === undefined
        ? [features("W_decᵀ·dX′", trace.errorGradient), features("dZ", trace.latentGradient)]
        : [features("dZ", trace.latentGradient)],
  };
}

function gradientSection({ trace, latents, dimensions }: View, k: number | undefined): Section {
  const { W_enc, b_enc, W_dec, b_dec, decoderErrorGradient } = trace;
  const decoder =
    k === undefined
      ? "The penalty also pulls on the decoder itself: dW_dec = dX′·fᵀ + λ·mean(f_i)·W_dec,i/‖W_dec,i‖."
      : "Decoder vectors keep norm 1: dW_dec is dX′·fᵀ without its component along each vector.";
  return {
    title: "Gradients of weights and biases",
    text: [
      `dW_enc = dZ·Xᵀ and db_enc, the sum of dZ's columns. ${decoder} db_dec is the sum of the columns of dX′.`,
    ],
    matrices: [
      asStored("dW_enc", W_enc.gradient, latents, dimensions),
      asStored("db_enc", b_enc.gradient),
      transposed("dX′·fᵀ", decoderErrorGradient, dimensions, latents),
      transposed("dW_dec", W_dec.gradient, dimensions, latents),
      asStored("db_dec", b_dec.gradient),
    ],
  };
}

function afterSection(view: View, losses: readonly number[], examples: Examples): Section {
  const { trace, features, inputs } = view;
  const sentence = `Now ${plain(trace.l0)} features are active per example (L0), and the squared error is ${plain(trace.mse)}.`;
  const section = lossSection(losses, sentence, [
    features("f", trace.features),
    inputs("X′", trace.reconstruction),
    inputs("X", trace.x),
  ]);
  return { ...section, text: [...section.text, ...readings(view, examples)] };
}
