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

it("docs/architectures.md names every architecture, and no option that is not there", () => {
  const page = readFileSync(join(import.meta.dirname, "../../../docs/architectures.md"), "utf8");
  for (const name of ARCHITECTURES) expect(page).toContain(`\`${name}`);
  const flags = Object.keys(trainSchema.shape).map(flagOf);
  const known = new Set([...flags, "--help", "--dead", "--full", "--seeds"]);
  const named = [...page.matchAll(/--[a-z][a-z0-9-]*/g)].map(([flag]) => flag);
  expect(named.filter((flag) => !known.has(flag))).toEqual([]);
});
