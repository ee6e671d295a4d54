/** `sparseloom eval <model> <corpus...>`: a model's metrics on a corpus. */
import { availableParallelism } from "node:os";
import { type Command, Option } from "commander";
import { printResult } from "../json.ts";
import { describeEvaluation } from "../eval/describe.ts";
import { type EvalOptions, evaluateModel } from "../eval/evaluate-model.ts";
import { addFlags, givenFilters } from "../flags.ts";
import { filterShape } from "../row-filters.ts";
import { addColumnFlags, type ColumnFlags, columnOf, parseCount, parseWorkers } from "./arguments.ts";

/** Adds arguments, options and the action to `command`. */
export function defineEval(command: Command): void {
  command
    .argument("<model>", "model folder (SAELens format) or run directory")
    .argument("<corpus...>", "Arrow files, folders or globs");
  addColumnFlags(command, "the model's own, or the only one there is")
    .addOption(
      new Option("--split <split>", "which rows, by the seed and share in the model's metadata")
        .choices(["all", "train", "held-out"])
        .default("all"),
    )
    .option(
      "--features <file>",
      "true features of a synthetic corpus (default: <corpus>.features.safetensors, if there is one)",
    )
    .option("--dead", "find the cause of each dead latent, and what to try")
    .option("--rows <n>", "rows at most", parseCount, 1_000_000)
    .option("--workers <n>", "worker threads", parseWorkers, availableParallelism())
    .option("--json", "print one JSON object");
  addFlags(command, filterShape);
  command
    .option("--no-filters", "without the model's own row filters; those given here still hold")
    .action(
      async (
        model: string,
        patterns: string[],
        flags: Omit<EvalOptions, "filters" | "column"> & ColumnFlags & { json?: boolean; filters: boolean },
      ) => {
        const filters = { request: givenFilters(command), useModels: flags.filters };
        const result = await evaluateModel(model, patterns, { ...flags, column: columnOf(flags), filters });
        for (const warning of result.warnings) process.stderr.write(`warning: ${warning}\n`);
        printResult(flags.json, result, describeEvaluation);
      },
    );
}
