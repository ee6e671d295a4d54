/** The `sparseloom` program: parses, runs one subcommand, and turns errors into one line and an exit status. */
import { flushCompileCache } from "node:module";
import { Command, CommanderError } from "commander";
import { addByhandCommand } from "./commands/byhand.ts";
import { addCompareCommand } from "./commands/compare.ts";
import { addCorpusCommands } from "./commands/corpus/index.ts";
import { addDemoCommand } from "./commands/demo.ts";
import { addDoctorCommand } from "./commands/doctor.ts";
import { addEvalCommand } from "./commands/eval.ts";
import { addInspectCommand } from "./commands/inspect.ts";
import { addTrainCommand } from "./commands/train.ts";
import { EXIT, hintOf, judge } from "./errors.ts";
import "./team/worker.ts";
import { VERSION } from "./version.ts";

// Workers load what is loaded here: with the cache on disk before they start, they need not strip types again.
flushCompileCache();

const program = new Command("sparseloom")
  .description(
    "Trains autoencoders and sparse autoencoders on neural activations, on the cores of one machine.",
  )
  .version(VERSION)
  // One line for one mistake: commander puts its suggestion on a second.
  .configureOutput({ outputError: (text, write) => write(`${text.trim().replaceAll(/\s*\n\s*/g, " ")}\n`) })
  .exitOverride();
addTrainCommand(program);
addEvalCommand(program);
addInspectCommand(program);
addCompareCommand(program);
addCorpusCommands(program);
addByhandCommand(program);
addDoctorCommand(program);
addDemoCommand(program);

// Whoever reads our output may leave early (`| head`): no reason to lose a run.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") throw error;
  });
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    // Commander has already written its line; help and version are no errors.
    process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.wrongRequest;
  } else {
    const { status, showStack } = judge(error);
    const message = error instanceof Error ? error.message + hintOf(error) : String(error);
    process.stderr.write(`error: ${showStack && error instanceof Error ? error.stack : message}\n`);
    process.exitCode = status;
  }
}
