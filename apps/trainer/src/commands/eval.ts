/** `sparseloom eval <model> <corpus...>`: a model's metrics on a corpus. */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { isGroup, readGroup } from "../group/group-folder.ts";
import { printResult } from "../json.ts";
import { isFolder } from "../run/entries.ts";
import { RequestError, shellQuoted } from "../errors.ts";
import { describeEvaluation, describeEvaluations } from "../eval/describe.ts";
import { type EvalOptions, type EvalResult, evaluateModel } from "../eval/evaluate-model.ts";
import { addFilterFlags, modelFiltersOf } from "../flags.ts";
import { addColumnFlags, type ColumnFlags, columnOf, parseCount, parseWorkers } from "./arguments.ts";

/** The models that were trained together in a directory; undefined where there is one. */
async function namesOf(path: string, { dead = false }: EvalOptions): Promise<string[] | undefined> {
  if (!(await isGroup(path))) return undefined;
  if (dead) throw new RequestError(`--dead is for one model: name one in ${path}`);
  const { members, diverged } = await readGroup(path);
  const names = members.map(({ name }) => name).filter((name) => !(name in diverged));
  if (names.length === 0) throw new RequestError(`all runs of ${path} diverged: there is nothing to measure`);
  for (const name of names)
    if (!(await isFolder(join(path, name, "model"))))
      throw new RequestError(
        `${join(path, name)} has no model yet: go on with sparseloom train --resume ${shellQuoted(path)}`,
      );
  return names;
}

/** Adds arguments, options and the action to `command`. */
export function defineEval(command: Command): void {
  command
    .argument("<model>", "model folder (SAELens format), run directory, or that of several runs")
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
    .option("--json", "print one JSON object; of several runs an array");
  addFilterFlags(command).action(
    async (
      model: string,
      patterns: string[],
      flags: Omit<EvalOptions, "filters" | "column"> & ColumnFlags & { json?: boolean },
    ) => {
      const filters = modelFiltersOf(command);
      const options = { ...flags, column: columnOf(flags), filters };
      const names = await namesOf(model, options);
      const results: EvalResult[] = [];
      for (const name of names ?? ["."]) {
        const result = await evaluateModel(join(model, name), patterns, options);
        const of = names === undefined ? "" : `${name}: `;
        for (const warning of result.warnings) process.stderr.write(`warning: ${of}${warning}\n`);
        results.push(result);
      }
      if (names === undefined) printResult(flags.json, results[0], describeEvaluation);
      else printResult(flags.json, results, (all) => describeEvaluations(all, names));
    },
  );
}
