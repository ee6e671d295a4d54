/** Makes commander's options from the schema, so that flags, `--config` and `--help` cannot differ. */
import { readFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import { z } from "zod";
import { RequestError } from "./errors.ts";
import { flagOf, trainSchema } from "./options.ts";

type Kind = "number" | "numbers" | "boolean" | "string";

interface Field {
  readonly kind: Kind;
  readonly choices: readonly string[] | undefined;
  readonly description: string;
  readonly fallback: unknown;
}

/** What a key of the schema looks like on the command line, read off its JSON schema. */
function fieldOf(key: keyof typeof trainSchema.shape): Field {
  const json = z.toJSONSchema(trainSchema.shape[key], { io: "input" }) as Record<string, unknown>;
  const { type, default: fallback, description = "" } = json;
  const kind =
    type === "boolean" ? "boolean" : type === "array" ? "numbers" : type === "string" ? "string" : "number";
  return { kind, choices: json["enum"] as string[] | undefined, description: String(description), fallback };
}

function parserOf(kind: Kind): (text: string) => unknown {
  // What is not a number goes on as text, and the schema says what would be right.
  const number = (text: string): unknown =>
    text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  if (kind === "number") return number;
  if (kind === "numbers") return (text) => text.split(/[,-]/).map(number);
  return (text) => text;
}

/** Adds a flag for every option of the schema. Defaults are shown, but filled in by the schema. */
export function addTrainFlags(command: Command): void {
  for (const key of Object.keys(trainSchema.shape) as (keyof typeof trainSchema.shape)[]) {
    const { kind, choices, description, fallback } = fieldOf(key);
    const shown =
      fallback === undefined ? description : `${description} (default ${JSON.stringify(fallback)})`;
    if (kind === "boolean") {
      // What is done by default has a flag that leaves it.
      command.addOption(
        fallback === true
          ? new Option(flagOf(key).replace("--", "--no-"), `do not ${description}`)
          : new Option(flagOf(key), description),
      );
      if (fallback === true) command.addOption(new Option(flagOf(key)).hideHelp());
      continue;
    }
    const argument =
      choices === undefined
        ? kind === "numbers"
          ? "<n,n,…>"
          : kind === "number"
            ? "<n>"
            : "<text>"
        : `<${choices.join("|")}>`;
    command.addOption(new Option(`${flagOf(key)} ${argument}`, shown).argParser(parserOf(kind)));
  }
}

/** The options that were given: those of `--config`, overridden by flags. `flags` are commander's parsed options. */
export async function gatherRequest(command: Command): Promise<Record<string, unknown>> {
  const flags = command.opts<Record<string, unknown>>();
  const request: Record<string, unknown> = {};
  if (typeof flags["config"] === "string") Object.assign(request, await readConfigFile(flags["config"]));
  for (const key of Object.keys(trainSchema.shape)) {
    if (command.getOptionValueSource(key) === "cli") request[key] = flags[key];
  }
  return request;
}

async function readConfigFile(path: string): Promise<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    throw new RequestError(`--config ${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new RequestError(
      `--config ${path} must hold a JSON object of options, e.g. {"arch": "topk", "k": 32}`,
    );
  }
  return value as Record<string, unknown>;
}
