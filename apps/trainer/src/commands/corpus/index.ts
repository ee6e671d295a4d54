/** `sparseloom corpus …`: the group of commands on corpora, one file each. */
import type { Command } from "commander";
import { addCorpusCheck } from "./check.ts";
import { addCorpusGenerate } from "./generate.ts";
import { addCorpusInfo } from "./info.ts";
import { addCorpusPack } from "./pack.ts";
import { addCorpusSplit } from "./split.ts";

/** Adds the commands to `program`. */
export function addCorpusCommands(program: Command): void {
  const corpus = program
    .command("corpus")
    .description("look at corpora of activations, pack and split them, and make synthetic ones");
  addCorpusInfo(corpus);
  addCorpusCheck(corpus);
  addCorpusGenerate(corpus);
  addCorpusPack(corpus);
  addCorpusSplit(corpus);
}
