/** README.md's commands and examples, run as they stand there, one after the other, on a small corpus. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { copyFile, readFile, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ObjectServer } from "../../../packages/data/test/object-server.ts";
import { writePairedColumns } from "./paired-columns.ts";
import { CLI, temporaryFolder, writeSmallCorpus } from "./support.ts";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const README = readFileSync(join(ROOT, "README.md"), "utf8");
const folder = temporaryFolder();

/** The contents of README's fenced blocks of a language. */
function blocks(language: string): string[] {
  return [...README.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm)]
    .filter((match) => match[1] === language)
    .map((match) => match[2] ?? "");
}

/** Commands that install, test or time the whole workspace: .ci/run runs them. */
const RUN_BY_CI = ["npx --yes pnpm@12 demo", "npx --yes pnpm@12 test", "pnpm bench"];

const commands = blocks("sh")
  .flatMap((block) => block.trim().split("\n"))
  .filter((line) => !RUN_BY_CI.includes(line));

/** Stands for the servers in README's addresses. */
let server: ObjectServer;

/** The arguments of Node for a command of README. */
function nodeArguments(command: string): string[] {
  const words = command.replace("https://example.org", server.origin).match(/"[^"]*"|\S+/g) ?? [];
  const [runner, file, ...rest] = words.map((word) => word.replaceAll('"', ""));
  if (runner === "pnpm" && file === "sparseloom") return [CLI, ...rest];
  if (runner === "node_modules/.bin/node" && file !== undefined) return [join(ROOT, file), ...rest];
  throw new Error(`this test does not know how to run README's command: ${command}`);
}

/** Runs Node to its end. Rejects, with what it wrote to stderr, when its exit status is not 0. */
async function runNode(args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  const env = {
    ...process.env,
    XDG_CACHE_HOME: join(folder, "cache"),
    AWS_ENDPOINT_URL_S3: server.origin,
    AWS_ACCESS_KEY_ID: "any",
    AWS_SECRET_ACCESS_KEY: "any",
  };
  return await promisify(execFile)(process.execPath, args, { cwd: folder, env });
}

beforeAll(async () => {
  // What README's Python examples would have written, only smaller.
  await writeSmallCorpus(join(folder, "acts.arrow"), 3000, 6);
  const array = fileURLToPath(new URL("../../../packages/data/test/fixtures/arrays/f2.npy", import.meta.url));
  for (let chunk = 0; chunk < 2; chunk++) await copyFile(array, join(folder, `chunk-${chunk}.npy`));
  await writePairedColumns(join(folder, "layers.arrow"), 3000, { before: "layer6", after: "layer8" });
  await writeFile(join(folder, "tokens.csv"), "token,x,y\nriver,1,0\nlake,2,0.5\npeak,-1,3\n");
  server = await ObjectServer.start();
  for (const path of ["/acts.arrow", "/example/acts/acts.arrow"]) {
    server.put(path, await readFile(join(folder, "acts.arrow")));
  }
  // Where the TypeScript examples find @sparseloom/core.
  await symlink(fileURLToPath(new URL("../node_modules", import.meta.url)), join(folder, "node_modules"));
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

describe("README", () => {
  it("has commands and examples", () => {
    expect(commands.length).toBeGreaterThanOrEqual(10);
    expect(blocks("ts").length).toBeGreaterThanOrEqual(2);
  });

  // Checking against SAELens imports torch, where Python has them.
  it.each(commands)("%s", { timeout: 120_000 }, async (command) => {
    await expect(runNode(nodeArguments(command))).resolves.toBeDefined();
  });

  it.each(blocks("ts").map((code, index) => [index + 1, code] as const))(
    "TypeScript example %i",
    async (index, code) => {
      const file = join(folder, `example-${index}.ts`);
      await writeFile(file, code);
      await expect(runNode([file])).resolves.toBeDefined();
    },
  );
});
