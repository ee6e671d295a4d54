/** Makes commander's options from the schema, so that flags, `--config` and `--help` cannot differ. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { z } from "zod";
import { RequestError } from "./errors.ts";
import { LIST_OPTIONS } from "./group/grid.ts";
import { trainSchema } from "./options.ts";
import { describeIssue, flagOf } from "./options/describe-issue.ts";
import { hasUnits } from "./options/combinations.ts";
import { overridden } from "./options/replaced.ts";
import { overriddenInUnits } from "./presets.ts";
import { type FilterRequest, filterShape, type ModelFilterOptions } from "./row-filters.ts";

type Kind = "number" | "numbers" | "texts" | "boolean" | "string";

/** Options by key: a schema's. */
type Shape = Readonly<Record<string, z.ZodType>>;

interface Field {
  readonly kind: Kind;
  readonly choices: readonly string[] | undefined;
  readonly description: string;
  readonly fallback: unknown;
}

/** What a key of the schema looks like on the command line, read off its JSON schema. */
function fieldOf(schema: z.ZodType): Field {
  const json = z.toJSONSchema(schema, { io: "input" }) as Record<string, unknown>;
  const { type, items, default: fallback, description = "" } = json;
  const list = (items as { type?: string } | undefined)?.type === "integer" ? "numbers" : "texts";
  const kind =
    type === "boolean" ? "boolean" : type === "array" ? list : type === "string" ? "string" : "number";
  return { kind, choices: json["enum"] as string[] | undefined, description: String(description), fallback };
}

function parserOf(kind: Kind, key: string): (text: string) => unknown {
  // What is not a number goes on as text, and the schema says what would be right.
  const number = (text: string): unknown =>
    text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  const isList = (LIST_OPTIONS as readonly string[]).includes(key);
  if (isList) {
    const value = kind === "number" ? number : (text: string) => text.trim();
    return (text) => (text.includes(",") ? text.split(",").map(value) : value(text));
  }
  if (kind === "number") return number;
  // Widths are often written 768-64-768; elsewhere that would look like a range.
  const separator = key === "widths" ? /[,-]/ : ",";
  if (kind === "numbers") return (text) => text.split(separator).map(number);
  if (kind === "texts") return (text) => text.split(",");
  return (text) => text;
}

/** What stands for an option's value in `--help`. */
const ARGUMENTS: Readonly<Record<Kind, string>> = {
  number: "<n>",
  numbers: "<n,n,…>",
  texts: "<text,…>",
  string: "<text>",
  boolean: "",
};

/** Characters of an option's choices that still stand beside its flag. */
const MOST_CHOICES = 24;

/** Parts of `train --help`: the option with which each begins, in the schema's order. */
const HEADINGS: Readonly<Partial<Record<keyof typeof trainSchema.shape, string>>> = {
  preset: "Model:",
  k: "Sparsity (each for some architectures):",
  widths: "Deep autoencoder:",
  batch: "Training:",
  normalize: "Scaling of rows, first parameters, export:",
  column: "Data:",
  workers: "Machine:",
  seed: "Run:",
};

/** Adds a flag for every option of `train`, under headings; some take a list of values. */
export function addTrainFlags(command: Command): void {
  addFlags(command, trainSchema.shape, HEADINGS);
  for (const key of LIST_OPTIONS) {
    const option = command.options.find((one) => one.long === flagOf(key));
    if (option !== undefined) {
      option.flags = `${flagOf(key)} <${key === "arch" ? "name" : "n"},…>`;
      option.description += "; several: a model for each, in one pass";
    }
  }
  command.addOption(
    new Option(
      "--seeds <n,n,…>",
      "instead of --seed: a model for each, in one pass, on the data of --data-seed (default the first seed)",
    )
      .argParser(parserOf("numbers", "seeds"))
      .helpGroup(HEADINGS.seed ?? ""),
  );
}

/**
 * Adds a flag for every option of a schema. Defaults are shown, but filled in by the schema.
 * @param headings above which options a new part of `--help` begins
 */
export function addFlags(
  command: Command,
  shape: Shape,
  headings: Readonly<Record<string, string>> = {},
): void {
  let heading: string | undefined;
  const add = (option: Option): void => {
    command.addOption(heading === undefined ? option : option.helpGroup(heading));
  };
  for (const [key, schema] of Object.entries(shape)) {
    heading = headings[key] ?? heading;
    const { kind, choices, description, fallback } = fieldOf(schema);
    // Many choices would push all descriptions to the right.
    const inside = choices !== undefined && choices.join("|").length <= MOST_CHOICES;
    const listed = choices !== undefined && !inside ? `${description}: ${choices.join(", ")}` : description;
    const shown = fallback === undefined ? listed : `${listed} (default ${JSON.stringify(fallback)})`;
    if (kind === "boolean") {
      // What is done by default has a flag that leaves it.
      add(
        fallback === true
          ? new Option(flagOf(key).replace("--", "--no-"), `do not ${description}`)
          : new Option(flagOf(key), description),
      );
      // The other way round, too: what a preset or a resumed run has can be undone.
      const opposite = fallback === true ? flagOf(key) : flagOf(key).replace("--", "--no-");
      command.addOption(new Option(opposite).hideHelp());
      continue;
    }
    const argument = choices === undefined ? ARGUMENTS[kind] : inside ? `<${choices.join("|")}>` : "<name>";
    add(new Option(`${flagOf(key)} ${argument}`, shown).argParser(parserOf(kind, key)));
  }
}

/** The options that were given: those of `--config`, overridden by flags. `flags` are commander's parsed options. */
export async function gatherRequest(command: Command): Promise<Record<string, unknown>> {
  const flags = command.opts<Record<string, unknown>>();
  const configured = typeof flags["config"] === "string" ? await readConfigFile(flags["config"]) : {};
  const run = runOptions(configured);
  const given = givenFlags(command, trainSchema.shape);
  if (flags["seeds"] !== undefined) given["seeds"] = flags["seeds"];
  if (run === undefined) return overridden(configured, given);
  // As beside the preset itself.
  const combine = run["preset"] === undefined ? overridden : overriddenInUnits;
  return combine(optionsOfRun(run), given);
}

/** The options of a schema that were given as flags. */
function givenFlags(command: Command, shape: Shape): Record<string, unknown> {
  const flags = command.opts<Record<string, unknown>>();
  const given = Object.keys(shape).filter((key) => command.getOptionValueSource(key) === "cli");
  return Object.fromEntries(given.map((key) => [key, flags[key]]));
}

/** Adds the row filters of a command that takes a finished model, and `--no-filters`. */
export function addFilterFlags(command: Command): Command {
  addFlags(command, filterShape);
  return command.option("--no-filters", "without the model's own row filters; those given here still hold");
}

/** What {@link addFilterFlags} was given. @throws RequestError naming the first filter that is wrong */
export function modelFiltersOf(command: Command): ModelFilterOptions {
  return { request: givenFilters(command), useModels: command.opts<{ filters: boolean }>().filters };
}

/**
 * The row filters that were given as flags, of a command to which they were added.
 *
 * @throws RequestError naming the first that is wrong
 */
export function givenFilters(command: Command): FilterRequest {
  const given = givenFlags(command, filterShape);
  const parsed = z.strictObject(filterShape).safeParse(given);
  if (!parsed.success) throw new RequestError(describeIssue(parsed.error, given));
  return parsed.data;
}

async function readConfigFile(path: string): Promise<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EISDIR")
      throw new RequestError(
        `--config ${path} is a folder: give a file, such as ${join(path, "config.json")}`,
      );
    throw new RequestError(`--config ${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new RequestError(
      `--config ${path} must hold a JSON object of options, e.g. {"arch": "topk", "k": 32}`,
    );
  }
  return value as Record<string, unknown>;
}

/** The options of a run, if `value` is its `config.json`. */
function runOptions(value: Readonly<Record<string, unknown>>): Record<string, unknown> | undefined {
  const { options, kernelVariant } = value;
  const isRun = kernelVariant !== undefined && typeof options === "object" && options !== null;
  return isRun ? (options as Record<string, unknown>) : undefined;
}

/**
 * What was chosen of a run's recorded options: all but those that are of that run alone, and defaults, of which some are
 * for other architectures. A preset goes, too: its options are among them, and it would fill in those that were
 * overridden by a default.
 */
function optionsOfRun(options: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const shape: Shape = trainSchema.shape;
  const { arch, clipNorm, normalize, target, initFrom } = options;
  const isChosen = ([key, value]: [string, unknown]): boolean => {
    switch (key) {
      case "out":
      case "stopAt":
      case "preset":
        return false;
      case "arch":
      case "normalize":
        // What its numbers are meant for.
        return true;
      case "center":
        // Of LayerNorm it follows, and not of what may take its place.
        if (normalize === "layer-norm") return false;
        break;
      case "units":
        // Presets once gave them where no number is in them.
        return hasUnits({ arch: String(arch), clipNorm });
      case "initBias":
        // A transcoder's default is another; it was once recorded beside --init-from, too.
        if (target !== undefined) return initFrom === undefined;
        break;
    }
    return !(key in shape) || value !== fieldOf(shape[key]).fallback;
  };
  return Object.fromEntries(Object.entries(options).filter(isChosen));
}
