/** `pnpm bench`: see command.ts for the options and README.md for how to read the table. */
import { benchCommand } from "./command.ts";
import { SHAPES } from "./shapes.ts";

await benchCommand(SHAPES, {
  out: (text) => void process.stdout.write(text),
  progress: (text) => void process.stderr.write(text),
}).parseAsync();
