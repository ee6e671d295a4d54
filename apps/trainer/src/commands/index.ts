/**
 * The subcommands by name and description. What one of them needs is loaded when it is asked for: neither `--help` nor
 * another command waits for it, or keeps it in memory.
 */
import type { Command } from "commander";

/** A subcommand that is not loaded yet. */
export interface LazyCommand {
  readonly name: string;
  readonly description: string;
  /** Loads what adds its arguments, options and action to a command. */
  readonly load: () => Promise<(command: Command) => void>;
}

/** In the order of `--help`. */
export const COMMANDS: readonly LazyCommand[] = [
  {
    name: "train",
    description: "train an autoencoder on Arrow files of activations",
    load: async () => (await import("./train.ts")).defineTrain,
  },
  {
    name: "eval",
    description:
      "measure a model on a corpus: errors, sparsity, dead latents, density, and true features found",
    load: async () => (await import("./eval.ts")).defineEval,
  },
  {
    name: "inspect",
    description:
      "what features respond to: the rows that activate them most, the most readable features first",
    load: async () => (await import("./inspect.ts")).defineInspect,
  },
  {
    name: "encode",
    description: "write the active features of each row of a corpus, as an Arrow file",
    load: async () => (await import("./encode.ts")).defineEncode,
  },
  {
    name: "compare",
    description:
      "match the latents of sparse models: what they share, and how stable each latent is across seeds",
    load: async () => (await import("./compare.ts")).defineCompare,
  },
  {
    name: "export",
    description: "write the model of a run's checkpoint, complete or not",
    load: async () => (await import("./export.ts")).defineExport,
  },
  {
    name: "corpus",
    description: "look at corpora of activations, pack and split them, and make synthetic ones",
    load: async () => (await import("./corpus/index.ts")).defineCorpus,
  },
  {
    name: "byhand",
    description: "one training step worked out as on paper, every matrix printed and named",
    load: async () => (await import("./byhand.ts")).defineByhand,
  },
  {
    name: "doctor",
    description: "what this machine offers: cores, kernels, memory, and the speed of a TopK training step",
    load: async () => (await import("./doctor.ts")).defineDoctor,
  },
  {
    name: "demo",
    description:
      "train a TopK autoencoder on the bundled word vectors and show ten features (under a minute)",
    load: async () => (await import("./demo.ts")).defineDemo,
  },
];
