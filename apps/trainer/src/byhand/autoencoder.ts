/** The first worked example: an autoencoder of fully connected layers, forward, backward and one update. */
import { type DeepTrace, initialise, type DeepModelSetup } from "@sparseloom/core";
import { AUTOENCODER, type Examples } from "./examples.ts";
import {
  type CommonOptions,
  exampleNames,
  lossSection,
  openExampleArena,
  trainOnExamples,
  updateSection,
} from "./session.ts";
import { asStored, numbered, plain, type Section, transposed, type Walkthrough } from "./walkthrough.ts";

/** Options of {@link walkAutoencoder}. */
export interface AutoencoderOptions extends CommonOptions {
  /** Widths of all layers, the input's first. */
  readonly widths: readonly number[];
  readonly outputActivation: "relu" | "linear";
}

/** Works the example out. Throws OptionError if widths are malformed or do not fit the examples. */
export function walkAutoencoder(examples: Examples, options: AutoencoderOptions): Walkthrough {
  const { widths, outputActivation, seed, steps } = options;
  const model: DeepModelSetup = { kind: "deep", architecture: "autoencoder", widths, outputActivation };
  const arena = openExampleArena(model, examples, options, 0);
  if (arena.kind !== "deep") throw new Error("internal: not a deep arena");
  const own = seed === undefined && widths.join() === "4,3,2,3,4";
  if (own) {
    AUTOENCODER.layers.forEach(({ weight, bias }, layer) => {
      arena.layers[layer].weight.value.set(weight.flat());
      arena.layers[layer].bias.value.set(bias);
    });
  } else initialise(arena, { seed: seed ?? 0 });
  const { first, last, losses } = trainOnExamples(arena, examples, steps);
  if (first.kind !== "deep" || last.kind !== "deep") throw new Error("internal: not a deep trace");
  const weights = own
    ? "Weights and biases are the example's own."
    : `Weights are drawn at random (seed ${seed ?? 0}), biases are 0.`;
  return {
    example: "autoencoder",
    options: { ...options, seed: own ? null : (seed ?? 0) },
    labels: examples.labels,
    sections: [
      introduction(first, examples, weights),
      copySection(first, examples),
      ...forwardSections(first, model, examples),
      gradientSection(first, outputActivation),
      ...backwardSections(first, examples),
      updateSection(
        first.layers.flatMap(({ weight, bias }, index) => [
          [`W${index + 1}`, weight, asStored] as const,
          [`b${index + 1}`, bias, asStored] as const,
        ]),
        options.learningRate,
      ),
      afterSection(last, losses, examples),
    ],
    losses,
  };
}

function introduction(trace: DeepTrace, examples: Examples, weights: string): Section {
  const { columns, legend } = exampleNames(examples);
  return {
    title: "The examples",
    text: [
      `An autoencoder learns to rebuild its input through a bottleneck. ${examples.rows.length} examples of ${trace.x.columns} features; a column is an example. ${weights}`,
      ...legend,
    ],
    matrices: [transposed("X", trace.x, numbered("x", trace.x.columns), columns)],
  };
}

function copySection(trace: DeepTrace, examples: Examples): Section {
  const { columns } = exampleNames(examples);
  return {
    title: "Copy",
    text: ["The examples themselves are the targets: Y′ = X."],
    matrices: [transposed("Y′", trace.x, numbered("y", trace.x.columns), columns)],
  };
}

function forwardSections(trace: DeepTrace, { widths }: DeepModelSetup, examples: Examples): Section[] {
  const { columns } = exampleNames(examples);
  const bottleneck = widths.indexOf(Math.min(...widths));
  return trace.layers.map(({ relu, weight, bias, preActivations, activation }, index) => {
    const n = index + 1;
    const half = n <= bottleneck ? `Encoder, layer ${n}` : `Decoder, layer ${n - bottleneck}`;
    const input = index === 0 ? "X" : `A${index}`;
    const isLast = n === trace.layers.length;
    const output = isLast ? "Y" : `A${n}`;
    const from = `${widths[index]}×${trace.x.rows}`;
    const to = `${widths[n]}×${trace.x.rows}`;
    const what = n === bottleneck ? ": the bottleneck" : isLast ? ": the reconstruction" : "";
    const formula = relu
      ? `Z${n} = W${n}·${input} + b${n}, then ${output} = max(0, Z${n}).`
      : `Z${n} = W${n}·${input} + b${n}, and ${output} = Z${n}: the last layer is linear.`;
    return {
      title: `${half}${relu ? " + ReLU" : ""}`,
      text: [`${formula} ${from} becomes ${to}${what}.`],
      matrices: [
        asStored(`W${n}`, weight.before),
        asStored(`b${n}`, bias.before),
        transposed(`Z${n}`, preActivations, [], columns),
        transposed(output, activation, [], columns),
      ],
    };
  });
}

function gradientSection(trace: DeepTrace, outputActivation: "relu" | "linear"): Section {
  const last = trace.layers.length;
  const rows = trace.x.rows;
  const { columns } = exampleNames({ rows: Array.from({ length: rows }, () => []), labels: [] });
  const masked = outputActivation === "relu" ? `, and 0 where ReLU was at rest (Y = 0)` : "";
  return {
    title: "Loss and its gradient",
    text: [
      `The loss is the squared error of each example, summed over features, averaged over the ${rows} examples: ${plain(trace.loss)}. Its gradient is 2·(Y − Y′) per element, divided by ${rows} for the average${masked}.`,
    ],
    matrices: [
      transposed("Y − Y′", trace.error, [], columns),
      transposed("squared errors", trace.rowSquaredError, [], columns),
      transposed(
        `dZ${last} = 2/${rows}·(Y − Y′)`,
        (trace.layers[last - 1] as DeepTrace["layers"][0]).delta,
        [],
        columns,
      ),
    ],
  };
}

function backwardSections(trace: DeepTrace, examples: Examples): Section[] {
  const { columns } = exampleNames(examples);
  return trace.layers
    .map(({ weight, bias, delta }, index): Section => {
      const n = index + 1;
      const input = index === 0 ? "X" : `A${index}`;
      const isLast = n === trace.layers.length;
      const flows = isLast
        ? ""
        : `What flows back: dZ${n} = W${n + 1}ᵀ·dZ${n + 1}, 0 where ReLU was at rest (Z${n} ≤ 0). `;
      return {
        title: `Backpropagation, W${n} and b${n}`,
        text: [`${flows}Gradients: dW${n} = dZ${n}·${input}ᵀ, and db${n} is the sum of dZ${n}'s columns.`],
        matrices: [
          ...(isLast ? [] : [transposed(`dZ${n}`, delta, [], columns)]),
          asStored(`dW${n}`, weight.gradient),
          asStored(`db${n}`, bias.gradient),
        ],
      };
    })
    .toReversed();
}

function afterSection(trace: DeepTrace, losses: readonly number[], examples: Examples): Section {
  const { columns } = exampleNames(examples);
  const output = trace.layers.at(-1) as DeepTrace["layers"][0];
  return lossSection(losses, `The squared error is now ${plain(trace.mse)}, and the reconstruction:`, [
    transposed("Y", output.activation, [], columns),
    transposed("Y′ = X", trace.x, [], columns),
  ]);
}
