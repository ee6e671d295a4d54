/** The `sparseloom` program: parses, runs one subcommand, and turns errors into one line and an exit status. */
import { flushCompileCache } from "node:module";
import { Command, CommanderError } from "commander";
import { COMMANDS } from "./commands/index.ts";
import { OUTLIVES_TERMINAL } from "./hangups.ts";
import { VERSION } from "./version.ts";

/** The subcommand whose action runs; undefined until then. */
let running: Command | undefined;

const program = new Command("sparseloom")
  .description(
    "Trains autoencoders and sparse autoencoders on neural activations, on the cores of one machine.",
  )
  .version(VERSION)
  // One line for one mistake: commander puts its suggestion on a second.
  .configureOutput({ outputError: (text, write) => write(`${text.trim().replaceAll(/\s*\n\s*/g, " ")}\n`) })
  .hook("preAction", async (_, command) => {
    running = command;
    const { refuseEmptyValues } = await import("./commands/empty-values.ts");
    refuseEmptyValues(command);
  })
  .exitOverride();

const asked = process.argv.slice(2).find((word) => word !== "help" && !word.startsWith("-"));
for (const { name, description, load } of COMMANDS) {
  const command = program.command(name).description(description);
  if (name === asked) (await load())(command);
}
// Workers load what is loaded here: with the cache on disk before they start, they need not strip types again.
flushCompileCache();

// Whoever reads our output may leave early (`| head`), or the disk of a log be full: no reason to lose a run.
process.stderr.on("error", () => {});
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") return;
  process.stderr.write(`error: stdout cannot be written (${error.code})\n`);
  // The status of a signal that came before tells more: a terminal that is closed cannot be written.
  process.exitCode ||= 1;
});
// Else its default, to end the process, would hold again.
if (OUTLIVES_TERMINAL) process.on("SIGHUP", () => {});

try {
  await program.parseAsync();
} catch (error) {
  const { EXIT, hintOf, judge } = await import("./errors.ts");
  if (error instanceof CommanderError) {
    // Commander has already written its line; help and version are no errors.
    process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.wrongRequest;
  } else {
    const { status, showStack } = judge(error);
    // What is quoted in it, such as a damaged file's text or a path, may have several lines.
    const message = (
      error instanceof Error ? error.message + hintOf(error, running) : String(error)
    ).replaceAll(/\s*\n\s*/g, " ");
    process.stderr.write(`error: ${showStack && error instanceof Error ? error.stack : message}\n`);
    process.exitCode = status;
  }
}
