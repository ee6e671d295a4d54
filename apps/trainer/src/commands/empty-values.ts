/** Values that are empty, as those of a shell's variable that is not set: of no argument or option is that what was meant. */
import type { Command } from "commander";
import { RequestError } from "../errors.ts";

/** @throws RequestError naming the first argument or option of a command that was given an empty text */
export function refuseEmptyValues(command: Command): void {
  const { registeredArguments } = command;
  const at = command.args.indexOf("");
  if (at >= 0) {
    const name = registeredArguments[Math.min(at, registeredArguments.length - 1)]?.name() ?? "argument";
    throw new RequestError(`<${name}> is empty: give a path`);
  }
  for (const option of command.options) {
    const key = option.attributeName();
    if (command.getOptionValueSource(key) !== "cli" || command.getOptionValue(key) !== "") continue;
    const value = option.flags.replace(/^\S+ /, "");
    throw new RequestError(
      `${option.long} is empty: give ${value}${option.mandatory ? "" : ", or leave it out"}`,
    );
  }
}
