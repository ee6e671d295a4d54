/** `sparseloom corpus split`: the training rows and the held-out rows as files of their own. */
import { mkdir } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { splitCorpus } from "@sparseloom/data";
import type { Command } from "commander";
import { jsonText } from "../../json.ts";
import { RequestError } from "../../errors.ts";
import { notCopied } from "../../label-columns.ts";
import { openInput } from "../../open-corpus.ts";
import { counted } from "../../progress.ts";
import { TaskProgress } from "../../task-progress.ts";
import { addColumnFlags, type ColumnFlags, columnOf, parseHeldOut, parseSeed } from "../arguments.ts";

/** Adds the command to the group `corpus`. */
export function addCorpusSplit(corpus: Command): void {
  const command = corpus
    .command("split")
    .description("write train.arrow and held-out.arrow: whole documents, the same that train holds out")
    .argument("<corpus...>", "files, folders or globs");
  addColumnFlags(command)
    .requiredOption("--out <folder>", "where to write them")
    .option(
      "--held-out <share>",
      "share of documents (of rows, where there are none) held out",
      parseHeldOut,
      0.01,
    )
    .option("--document-column <name>", "label column whose value names a row's document")
    .option("--seed <n>", "decides who is held out", parseSeed, 0)
    .option("--overwrite", "replace existing files")
    .option("--json", "print one JSON object")
    .action(runSplit);
}

interface SplitFlags extends ColumnFlags {
  readonly out: string;
  readonly heldOut: number;
  readonly documentColumn?: string;
  readonly seed: number;
  readonly overwrite?: boolean;
  readonly json?: boolean;
}

async function runSplit(patterns: string[], flags: SplitFlags): Promise<void> {
  await using corpus = await openInput(patterns, availableParallelism(), { column: columnOf(flags) });
  await mkdir(flags.out, { recursive: true }).catch((error: Error) => {
    throw new RequestError(`--out ${flags.out} cannot be made a folder: ${error.message}`, { cause: error });
  });
  using progress = new TaskProgress(`splitting into ${flags.out}`);
  const result = await splitCorpus(corpus, flags.out, {
    seed: flags.seed,
    heldOut: { fraction: flags.heldOut, documentColumn: flags.documentColumn },
    overwrite: flags.overwrite ?? false,
    onProgress: (rows, ofRows) => progress.update(rows, ofRows),
  });
  const warnings = notCopied(corpus);
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  if (flags.json) {
    process.stdout.write(jsonText({ ...result, warnings }));
    return;
  }
  for (const { path, rows, bytes } of [result.train, result.heldOut]) {
    process.stdout.write(`${path}: ${counted(rows, "row")}, ${(bytes / 1e6).toFixed(1)} MB\n`);
  }
}
