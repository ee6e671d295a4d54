/** The package's README: its TypeScript examples, run as they stand there, by a package that depends on this one alone. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { intColumn, textColumn, vectorColumn, writeArrow } from "./arrow-files.ts";
import { useTemporaryFolder } from "./temporary-folder.ts";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const EXAMPLES = [...readFileSync(`${PACKAGE}README.md`, "utf8").matchAll(/^```ts\n([\s\S]*?)^```$/gm)].map(
  (match) => match[1] ?? "",
);
const path = useTemporaryFolder();

it("runs its examples, one after the other", async () => {
  expect(EXAMPLES.length).toBeGreaterThanOrEqual(3);
  await mkdir(path("activations"));
  await mkdir(path("node_modules/@sparseloom"), { recursive: true });
  await symlink(PACKAGE, path("node_modules/@sparseloom/data"));
  const columns = {
    activation: vectorColumn({ dIn: 8 }),
    token: textColumn((row) => `token ${row}`),
    document: intColumn((row) => row >> 5),
  };
  await writeArrow(path("activations/first.arrow"), columns, [3000, 3000]);
  await writeFile(path("package.json"), JSON.stringify({ type: "module" }));
  const printed: string[] = [];
  for (const [i, code] of EXAMPLES.entries()) {
    await writeFile(path(`example-${i}.ts`), code);
    const { stdout } = await promisify(execFile)(process.execPath, [`example-${i}.ts`], { cwd: path("") });
    printed.push(stdout);
  }
  // 12,000 rows of two epochs: mini-batches of 4096, 4096 and 3808, each with a token.
  expect(printed[0]).toMatch(/^4096 4096 token \d+ .*\n4096 4096 token \d+ .*\n3808 3808 token \d+ /);
});
