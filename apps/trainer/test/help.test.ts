/** What a newcomer reads first: `train --help` and docs/architectures.md know every architecture. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command } from "commander";
import { expect, it } from "vitest";
import { COMMANDS } from "../src/commands/index.ts";
import { trainSchema } from "../src/options.ts";
import { flagOf } from "../src/options/describe-issue.ts";
import { runCli } from "./support.ts";

const ARCHITECTURES = trainSchema.shape.arch.unwrap().options;

it("train --help says which architecture is for what, and lists every option once", async () => {
  const { status, stdout } = await runCli(["train", "--help"]);
  expect(status).toBe(0);
  const which = stdout.slice(stdout.indexOf("Which architecture for what"));
  for (const name of ARCHITECTURES) expect(which).toMatch(new RegExp(`^  ${name} {2,}\\S`, "m"));
  const listed = [...stdout.matchAll(/^ {2}(--[a-z0-9-]+)/gm)].map(([, flag]) =>
    flag?.replace("--no-", "--"),
  );
  for (const key of Object.keys(trainSchema.shape))
    expect(listed.filter((flag) => flag === flagOf(key))).toEqual([flagOf(key)]);
});

it("--help lists every command without loading it, and each has a help of its own", async () => {
  const { status, stdout } = await runCli(["--help"]);
  expect(status).toBe(0);
  const listed = [...stdout.slice(stdout.indexOf("Commands:")).matchAll(/^ {2}([a-z]+)/gm)].map(
    ([, name]) => name,
  );
  expect(listed).toEqual([...COMMANDS.map(({ name }) => name), "help"]);
  for (const { name, description, load } of COMMANDS) {
    const command = new Command(name).description(description);
    (await load())(command);
    expect(command.helpInformation()).toMatch(new RegExp(`^Usage: ${name} \\[options\\]`));
    expect(command.options.length + command.commands.length).toBeGreaterThan(1);
  }
  expect((await runCli(["help", "eval"])).stdout).toMatch(
    /^Usage: sparseloom eval \[options\] <model> <corpus\.\.\.>/,
  );
});

const documentOf = (name: string): string =>
  readFileSync(join(import.meta.dirname, "../../..", name), "utf8");

it("docs/architectures.md names every architecture", () => {
  const page = documentOf("docs/architectures.md");
  for (const name of ARCHITECTURES) expect(page).toContain(`\`${name}`);
});

/** Options of npx, of the benchmarks and of the check against SAELens. */
const FOREIGN = ["--yes", "--suite", "--shape", "--model", "--no-one-thread", "--race", "--python"];

it("documents for users name no option that no command has", async () => {
  const known = new Set(["--help", "--version", ...FOREIGN]);
  const learn = ({ options, commands }: Command): void => {
    for (const { long } of options) known.add(long ?? "");
    commands.forEach(learn);
  };
  for (const { name, load } of COMMANDS) {
    const command = new Command(name);
    (await load())(command);
    learn(command);
  }
  for (const name of ["README.md", "docs/architectures.md", "docs/presets.md", "apps/trainer/README.md"]) {
    const named = [...documentOf(name).matchAll(/(?<![\w-])--[a-z][a-z0-9-]*/g)].map(([flag]) => flag);
    expect(named.length).toBeGreaterThan(0);
    expect([name, ...new Set(named.filter((flag) => !known.has(flag)))]).toEqual([name]);
  }
});
