/** The directory of runs that were trained together: `group.json`, `result.json`, and a run directory for each. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { jsonParts } from "../json.ts";
import { RunError } from "../errors.ts";
import { isFile } from "../run/entries.ts";
import { writeFileWhole } from "../run/write-folder.ts";

const GROUP_FILE = "group.json";

const groupSchema = z.object({
  /** The runs' folders, and in what they differ. */
  members: z
    .array(z.object({ name: z.string(), settings: z.record(z.string(), z.union([z.number(), z.string()])) }))
    .min(1),
  /** Runs that were given up, with the reason. */
  diverged: z.record(z.string(), z.string()),
});

/** What `group.json` holds. */
export type Group = z.output<typeof groupSchema>;

/** Whether runs were trained together in `directory`. */
export async function isGroup(directory: string): Promise<boolean> {
  return await isFile(join(directory, GROUP_FILE));
}

/** Reads `group.json`. @throws RunError when it is damaged */
export async function readGroup(directory: string): Promise<Group> {
  const path = join(directory, GROUP_FILE);
  try {
    return groupSchema.parse(JSON.parse(await readFile(path, "utf8")));
  } catch (error) {
    throw new RunError(`${path} is damaged: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

/** Writes `group.json`, whole. */
export async function writeGroup(directory: string, group: Group): Promise<void> {
  await writeJson(join(directory, GROUP_FILE), group);
}

/** Writes what a complete group came to. */
export async function writeGroupResult(directory: string, result: object): Promise<void> {
  await writeJson(join(directory, "result.json"), result);
}

async function writeJson(path: string, value: object): Promise<void> {
  await writeFileWhole(path, jsonParts(value));
}
