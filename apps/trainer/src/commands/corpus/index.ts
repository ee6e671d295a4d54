/** `sparseloom corpus …`: the group of commands on corpora, one file each. */
import type { Command } from "commander";
import { addCorpusCheck } from "./check.ts";
import { addCorpusGenerate } from "./generate.ts";
import { addCorpusInfo } from "./info.ts";

/** Adds the commands to `program`. */
export function addCorpusCommands(program: Command): void {
  const corpus = program
    .command("corpus")
    .description("look at corpora of activations, and make synthetic ones");
  addCorpusInfo(corpus);
  addCorpusCheck(corpus);
  addCorpusGenerate(corpus);
}
