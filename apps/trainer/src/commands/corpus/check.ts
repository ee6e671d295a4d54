/** `sparseloom corpus check`: reads everything and names each fault. */
import { checkCorpus, type CorpusError } from "@sparseloom/data";
import type { Command } from "commander";
import { printResult } from "../../json.ts";
import { EXIT } from "../../errors.ts";
import { counted, formatCount } from "../../progress.ts";
import { TaskProgress } from "../../task-progress.ts";
import { addColumnFlags, type ColumnFlags, columnOf, parseCount } from "../arguments.ts";

/** Adds the command to the group `corpus`. */
export function addCorpusCheck(corpus: Command): void {
  const command = corpus
    .command("check")
    .description("read everything and name each fault: file, batch, row; exit status 2 when there is one")
    .argument("<corpus...>", "Arrow files, folders or globs");
  addColumnFlags(command)
    .option("--limit <n>", "faults to name at most; all are counted", parseCount, 1000)
    .option("--json", "print one JSON object")
    .action(runCheck);
}

interface CheckFlags extends ColumnFlags {
  readonly limit: number;
  readonly json?: boolean;
}

async function runCheck(patterns: string[], flags: CheckFlags): Promise<void> {
  using progress = new TaskProgress("checking");
  const named: CorpusError[] = [];
  const { faults, ...rest } = await checkCorpus(patterns, {
    column: columnOf(flags),
    onFault: (fault) => {
      if (named.length < flags.limit) named.push(fault);
    },
    onProgress: (done, files) => progress.update(done, files),
  });
  progress[Symbol.dispose]();
  const report = {
    ...rest,
    faultCount: faults,
    faults: named.map(({ kind, path, batch, row, column, message }) => ({
      kind,
      path,
      batch,
      row,
      column,
      message,
    })),
  };
  printResult(flags.json, report, describeCheck);
  if (faults > 0) process.exitCode = EXIT.wrongRequest;
}

interface CheckReport {
  readonly files: number;
  readonly faultyFiles: number;
  readonly rows: number;
  /** All of them; `faults` has the first. */
  readonly faultCount: number;
  readonly faults: readonly { readonly message: string }[];
}

function describeCheck({ files, faultyFiles, rows, faultCount, faults }: CheckReport): string {
  const read = `${counted(rows, "row")} of ${counted(files, "file")} read`;
  if (faultCount === 0) return `${read}, no faults`;
  const more = faultCount - faults.length;
  return [
    ...faults.map(({ message }) => message),
    ...(more > 0 ? [`… and ${formatCount(more)} more`] : []),
    `${read}, ${counted(faultCount, "fault")} in ${formatCount(faultyFiles)}`,
  ].join("\n");
}
