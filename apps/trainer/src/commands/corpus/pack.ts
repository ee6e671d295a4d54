/** `sparseloom corpus pack`: arrays, folders and corpora of any form into one Arrow file. */
import { packCorpus } from "@sparseloom/data";
import { type Command, Option } from "commander";
import { jsonText } from "../../json.ts";
import { counted, formatCount } from "../../progress.ts";
import { TaskProgress } from "../../task-progress.ts";
import { addColumnFlags, type ColumnFlags, columnOf } from "../arguments.ts";

/** Adds the command to the group `corpus`. */
export function addCorpusPack(corpus: Command): void {
  const command = corpus
    .command("pack")
    .description(
      "write safetensors, npy, Parquet, Hugging Face folders, or any corpus as one Arrow file, uncompressed; goes on where it was broken off",
    )
    .argument("<file>", "Arrow IPC file to write")
    .argument("<inputs...>", "files, folders or globs, in order; the arrays of a file are its columns");
  addColumnFlags(command)
    .option("--labels <name,name,…>", "label columns to keep (default: all that every input has)", (text) =>
      text.split(","),
    )
    .option("--no-labels", "keep no labels")
    .addOption(
      new Option("--type <type>", "how numbers are stored")
        .choices(["float32", "float16"])
        .default("float32"),
    )
    .option("--overwrite", "replace an existing file")
    .option("--json", "print one JSON object")
    .action(runPack);
}

interface PackFlags extends ColumnFlags {
  readonly labels?: readonly string[] | boolean;
  readonly type: "float32" | "float16";
  readonly overwrite?: boolean;
  readonly json?: boolean;
}

async function runPack(path: string, inputs: string[], flags: PackFlags): Promise<void> {
  const column = columnOf(flags);
  using progress = new TaskProgress(`packing ${path}`);
  const result = await packCorpus(path, inputs, {
    type: flags.type,
    column,
    labels: flags.labels === false ? [] : flags.labels === true ? undefined : flags.labels,
    overwrite: flags.overwrite ?? false,
    onProgress: (rows, ofRows) => progress.update(rows, ofRows),
  });
  if (flags.json) {
    process.stdout.write(jsonText({ path, ...result }));
    return;
  }
  const { rows, bytes, sources, resumedRows, statistics } = result;
  const from = sources === 1 ? "one source" : `${formatCount(sources)} sources`;
  const resumed = resumedRows > 0 ? `, ${formatCount(resumedRows)} of them from before` : "";
  const kept =
    statistics === undefined
      ? "for statistics: sparseloom corpus info --full"
      : `statistics in ${statistics}`;
  process.stdout.write(
    `${path}: ${counted(rows, "row")} from ${from}${resumed}, ${(bytes / 1e6).toFixed(1)} MB; ${kept}\n`,
  );
}
