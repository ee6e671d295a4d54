/** Own data for a worked example: a small file of comma-separated numbers, one example per line. */
import { readFile } from "node:fs/promises";
import { RequestError } from "../errors.ts";
import type { Examples } from "./examples.ts";

/** More than this is no longer worked out by hand. */
const MOST_EXAMPLES = 64;
const MOST_DIMENSIONS = 64;

/**
 * Reads examples. A first line in which nothing is a number is taken for column titles; a first column in which
 * nothing is a number, for the examples' names. Empty lines are skipped.
 *
 * @throws RequestError naming file, line and field
 */
export async function readExamples(path: string): Promise<Examples> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    throw new RequestError(`--input ${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  return parseExamples(text, `--input ${path}`);
}

/** {@link readExamples} of a text; `where` begins the messages of errors. */
export function parseExamples(text: string, where: string): Examples {
  const lines = text
    .replace(/^\uFEFF/, "")
    .split(/\r?\n/)
    .map((line, index) => ({ number: index + 1, fields: line.split(",").map((field) => field.trim()) }))
    .filter(({ fields }) => fields.some((field) => field !== ""));
  if (lines[0]?.fields.every((field) => !isNumber(field))) lines.shift();
  const named = lines.length > 0 && lines.every(({ fields }) => !isNumber(fields[0] ?? ""));
  const labels = named ? lines.map(({ fields }) => fields[0] ?? "") : [];
  const dIn = (lines[0]?.fields.length ?? 0) - (named ? 1 : 0);
  if (dIn < 1) throw new RequestError(`${where} has no numbers: give one example per line, as in 1,0.5,-2`);
  const rows = lines.map(({ number, fields }) => {
    const texts = named ? fields.slice(1) : fields;
    if (texts.length !== dIn) {
      throw new RequestError(
        `${where}, line ${number}: expected ${dIn} numbers as in line ${lines[0]?.number}, got ${texts.length}`,
      );
    }
    return texts.map((field, column) => {
      if (!isNumber(field)) {
        const place = `${where}, line ${number}, field ${column + (named ? 2 : 1)}`;
        throw new RequestError(`${place}: expected a finite number, got "${field}"`);
      }
      return Number(field);
    });
  });
  if (rows.length > MOST_EXAMPLES || dIn > MOST_DIMENSIONS) {
    throw new RequestError(
      `${where} has ${rows.length} examples of ${dIn} numbers: at most ${MOST_EXAMPLES} of ${MOST_DIMENSIONS} are worked out by hand; use \`sparseloom train\` for more`,
    );
  }
  return { rows, labels };
}

/** Whether float32 can hold it. */
function isNumber(field: string): boolean {
  return field !== "" && Number.isFinite(Math.fround(Number(field)));
}
