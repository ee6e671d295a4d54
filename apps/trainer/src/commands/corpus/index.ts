/** `sparseloom corpus …`: the group of commands on corpora, one file each. */
import type { Command } from "commander";
import { addCorpusCheck } from "./check.ts";
import { addCorpusGenerate } from "./generate.ts";
import { addCorpusInfo } from "./info.ts";
import { addCorpusPack } from "./pack.ts";
import { addCorpusSplit } from "./split.ts";

/** Adds arguments, options and the action to `command`. */
export function defineCorpus(command: Command): void {
  addCorpusInfo(command);
  addCorpusCheck(command);
  addCorpusGenerate(command);
  addCorpusPack(command);
  addCorpusSplit(command);
}
